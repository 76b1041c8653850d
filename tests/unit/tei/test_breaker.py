"""When a replica is asked, left out, and tried out."""

import pytest

from gateway.tei.breaker import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Breaker, State


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(time: Time) -> Breaker:
    breaker = Breaker(time)
    breaker.fail("connection refused", at_once=True)
    return breaker


def test_a_few_failures_in_a_row_open_it() -> None:
    breaker = Breaker(Time())
    for _ in range(FAILURES - 1):
        breaker.fail("reset")
    assert breaker.state is State.CLOSED
    breaker.succeed()
    for _ in range(FAILURES - 1):
        breaker.fail("reset")
    assert breaker.state is State.CLOSED
    breaker.fail("reset")
    assert (breaker.state, breaker.reason) == (State.OPEN, "reset")


def test_a_pause_is_jittered(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--draws"):
        pytest.skip("pauses are not drawn")
    time = Time()
    pauses = {opened(time).pause_left for _ in range(50)}
    assert len(pauses) > 10
    assert min(pauses) >= FIRST_PAUSE_SECONDS / 2
    assert max(pauses) <= FIRST_PAUSE_SECONDS


def test_a_pause_ends() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 60.0
    assert breaker.pause_left == 0.0


def test_one_failed_trial_doubles_the_pause_up_to_a_bound() -> None:
    time = Time()
    breaker = opened(time)
    for trial in range(1, 12):
        breaker.try_out()
        assert breaker.state is State.HALF_OPEN
        breaker.fail("still down")
        assert breaker.state is State.OPEN
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**trial)
        assert longest / 2 <= breaker.pause_left <= longest


def test_a_trial_that_succeeds_closes_it_and_forgets() -> None:
    time = Time()
    breaker = opened(time)
    breaker.try_out()
    breaker.fail("no")
    breaker.try_out()
    breaker.succeed()
    assert (breaker.state, breaker.reason, breaker.pause_left) == (State.CLOSED, "", 0.0)
    breaker.fail("again", at_once=True)
    assert breaker.pause_left <= FIRST_PAUSE_SECONDS


def test_failures_of_requests_still_under_way_do_not_prolong_a_pause() -> None:
    breaker = opened(Time())
    before = breaker.pause_left
    for _ in range(20):
        breaker.fail("late")
    assert breaker.pause_left == before
