"""Servers that make unit vectors of the right size in a wrong space."""

import time
from typing import Final

import pytest

from gateway.events import discard
from gateway.modelserver.faults import FaultKind
from gateway.tei.canary import Canary
from gateway.tei.examiner import LONG_TURNS
from gateway.wiring.consistency import require_consistent
from gateway.wiring.encoders import expectation
from tests.silent_faults.conftest import Server
from tests.silent_faults.marks import injects
from tests.silent_faults.trial import Bench
from tests.support.tei_pools import pool_of

pytestmark = pytest.mark.anyio

KINDS: Final[dict[str, tuple[FaultKind, str]]] = {
    "double-prompt": ("hidden-prompt", "adds a prompt of its own"),
    "causal": ("causal", r"cosine 0\..* it runs another model"),
    "other-model": ("other-model", "cosine"),
    "fine-tune": ("fine-tune", r"cosine 0\.99"),
    "quantised": ("quantised", r"cosine 0\.99\d+ .* quantisation"),
    "silent-truncation": ("silent-truncation", "item 8"),
    "reordered": ("swapped", "cosine"),
    "unnormalised": ("unnormalised", "broken vector.*norm"),
    "big-endian": ("big-endian", "broken vector"),
    "null": ("null", "broken vector"),
    "zero": ("zero", "broken vector"),
    "wrong-size": ("short-rows", "size 384"),
    "missing": ("too-few", "does not answer as TEI does"),
    "same-index": ("same-index", "disagrees|cosine|does not answer as TEI does"),
}
LATER: Final = {
    "unnormalised": "not of unit length",
    "big-endian": "no direction|not of unit length",
    "null": "no direction",
    "zero": "no direction",
    "wrong-size": "size 384",
    "missing": "wrong indexes",
    "same-index": "wrong indexes",
}
"""Faults that are seen in every answer, so that they may begin whenever they like."""
BY_CANARY: Final = tuple(fault for fault in KINDS if fault not in LATER)
"""Faults that no single answer shows: the canary finds them when they begin later."""
UNSEEN: Final[tuple[FaultKind, ...]] = ("causal", "other-model", "fine-tune", "swapped")


async def test_without_a_fault_everything_is_right(bench: Bench, server: Server) -> None:
    with server() as healthy:
        outcome = await bench.tried(bench.configured(tei={"urls": [healthy.url]}))
    outcome.require_harmless()
    assert outcome.hits == 3 * outcome.points


async def test_verification_at_start_costs_less_than_five_seconds_of_cpu(
    bench: Bench, server: Server
) -> None:
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]})
        before = time.process_time()
        outcome = await bench.tried(settings, documents=(), queries=())
        spent = time.process_time() - before
    assert not outcome.refusals
    assert spent < 5


@pytest.mark.parametrize("kind", UNSEEN)
async def test_the_judge_sees_what_a_gateway_without_a_recording_lets_through(
    bench: Bench, server: Server, kind: FaultKind
) -> None:
    with server() as wrong:
        wrong.fail(kind, times=None)
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}, recording=None))
    assert len(outcome.wrong) > outcome.points / 2, "a judge that finds nothing proves nothing"


@injects(*KINDS)
async def test_a_server_that_is_wrong_from_the_start_is_refused(
    bench: Bench, server: Server, fault: str
) -> None:
    kind, told = KINDS[fault]
    with server() as wrong:
        wrong.fail(kind, times=None)
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught(told)
    assert outcome.points == outcome.hits == 0


@injects(*LATER)
async def test_an_answer_that_is_wrong_later_is_refused(
    bench: Bench, server: Server, fault: str
) -> None:
    with server() as wrong:
        settings = bench.configured(tei={"urls": [wrong.url], "timeout_seconds": 20})
        outcome = await bench.tried(
            settings, once_open=lambda: wrong.fail(KINDS[fault][0], times=None)
        )
        assert wrong.log.requests, "it was asked"
    outcome.require_caught(LATER[fault])
    assert outcome.hits == 0


@injects(*BY_CANARY)
async def test_a_fault_that_begins_later_is_found_by_the_canary_within_ten_turns(
    bench: Bench, server: Server, fault: str
) -> None:
    """By its own first answers alone: without a recording."""
    with server() as wrong:
        settings = bench.configured(tei={"urls": [wrong.url]}, recording=None)
        expect = expectation(settings, require_consistent(settings))
        async with pool_of(wrong, expect=expect) as pool:
            await pool.replica.meet()
            canary = Canary(lambda: pool.pool.replicas, seconds=300.0, sink=discard)
            first = await canary.probe(pool.replica)
            assert first is not None
            assert first.outcome == "ok"
            wrong.fail(KINDS[fault][0], times=None)
            turns = [await canary.probe(pool.replica) for _ in range(LONG_TURNS)]
            assert "drift" in [turn.outcome for turn in turns if turn is not None]
            assert not pool.replica.ready


@injects("silent-truncation")
async def test_texts_cut_without_a_word_are_refused_by_their_tokens_where_nothing_is_recorded(
    bench: Bench, server: Server
) -> None:
    with server() as wrong:
        wrong.fail("silent-truncation", times=None)
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}, recording=None))
    outcome.require_caught(r"read 1024 tokens of a text of 2\d\d\d")
    assert outcome.points == outcome.hits == 0


@injects("double-prompt")
async def test_a_default_prompt_of_the_server_is_refused(bench: Bench, server: Server) -> None:
    prompt = bench.reference.model.prompts["query"]
    with server(default_prompt=prompt) as wrong:
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught("--default-prompt")


@injects("another-id")
async def test_a_server_of_another_model_of_the_same_size_is_refused_by_its_name(
    bench: Bench, server: Server
) -> None:
    with server(model_id="google/embeddinggemma-2") as wrong:
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught("serves model 'google/embeddinggemma-2'")


@injects("items-in-another-order")
async def test_items_in_another_order_that_say_their_places_are_accepted(
    bench: Bench, server: Server
) -> None:
    with server() as honest:
        honest.fail("reversed", times=None)
        outcome = await bench.tried(bench.configured(tei={"urls": [honest.url]}))
    outcome.require_harmless()
