import asyncio
from collections.abc import Callable, Iterable

import pytest

from gateway.api.gathering import HELD_BYTES, Gathering


class Recorder(asyncio.Transport):
    """Keeps what would have been sent, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def writelines(self, list_of_data: "Iterable[bytes | bytearray | memoryview[int]]") -> None:
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def steps() -> list[Callable[[], None]]:
    """What runs when the present step of the event loop is over."""
    return []


@pytest.fixture
def gathering(recorder: Recorder, steps: list[Callable[[], None]]) -> Gathering:
    return Gathering(recorder, steps.append)


def test_what_one_step_writes_is_sent_in_one_piece_after_it(
    gathering: Gathering, recorder: Recorder, steps: list[Callable[[], None]]
) -> None:
    gathering.write(b"head ")
    gathering.write(b"body")
    assert recorder.sent == []
    assert len(steps) == 1
    steps[0]()
    assert recorder.sent == [b"head body"]


def test_steps_are_sent_apart(
    gathering: Gathering, recorder: Recorder, steps: list[Callable[[], None]]
) -> None:
    for part in (b"one", b"two"):
        gathering.write(part)
        steps.pop()()
    assert recorder.sent == [b"one", b"two"]


def test_more_than_may_be_held_is_sent_at_once(
    gathering: Gathering, recorder: Recorder, steps: list[Callable[[], None]]
) -> None:
    gathering.write(b"head")
    gathering.write(bytes(HELD_BYTES))
    assert recorder.sent == [b"head" + bytes(HELD_BYTES)]
    steps.pop()()
    assert len(recorder.sent) == 1


def test_closing_sends_what_is_held(gathering: Gathering, recorder: Recorder) -> None:
    gathering.write(b"last")
    gathering.close()
    assert recorder.sent == [b"last"]
    assert gathering.is_closing()
