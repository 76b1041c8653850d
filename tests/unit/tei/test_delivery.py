"""Property: whatever fails on the way, every text gets its own vector, or is named as refused."""

import asyncio
import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.vectors import Matrix
from gateway.events import discard
from gateway.ports import Encoding, Lane
from gateway.tei.client import TEIClient
from gateway.tei.delivery import Delivery
from gateway.tei.goldens import Agreement
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits
from gateway.tei.pool import Pool
from gateway.tei.replica import Replica

pytestmark = pytest.mark.anyio

SIZE = 8
EXPECT = Expectation(("tiny",), SIZE, 2048, ("float32",))
LONGEST = 12
"""Characters that the server takes; each is a token."""
LIMITS = Limits(timeout_seconds=120.0)
PASSING = ("full", "down", "hang-up", "broken", "short", "html")
POISON = "☠"

words = st.text(alphabet=["x", "b", "é", "ж", "字", "🙂", " ", POISON], max_size=LONGEST + 3)
calls = st.lists(words, min_size=1, max_size=40)
limits = st.integers(1, 12)


def rows_of(texts: Sequence[str]) -> Matrix:
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
    rows = np.stack([np.random.default_rng(seed).standard_normal(SIZE) for seed in seeds])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Server:
    """A small TEI behind httpx's transport seam; `faults` names the requests that go wrong, and how."""

    def __init__(self, batch: int, faults: dict[int, str]) -> None:
        self.encoded: Counter[str] = Counter()
        self._batch = batch
        self._faults = faults
        self._requests = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if request.url.path == "/info":
            return httpx.Response(200, json=self._info())
        asked: dict[str, Any] = json.loads(request.content)
        if request.url.path == "/tokenize":
            return httpx.Response(200, json=[[_token(i) for i in asked["inputs"][0]]])
        texts: list[str] = asked["input"]
        if texts[0][:2] in {"a", "a "} and set(texts[0]) <= {"a", " "}:  # a probe
            return self._answer(texts)
        self._requests += 1
        return self._fault(self._faults.get(self._requests), texts) or self._serve(texts)

    def _fault(self, fault: str | None, texts: list[str]) -> httpx.Response | None:
        if fault == "hang-up":
            raise httpx.ReadError("connection reset")
        if fault == "null":
            return self._answer(texts, np.full((len(texts), SIZE), np.nan, np.float32))
        answers: dict[str | None, Callable[[], httpx.Response]] = {
            "full": lambda: _refusal(429, "Overloaded", "Model is overloaded"),
            "down": lambda: _refusal(503, "Unhealthy", "unhealthy"),
            "broken": lambda: httpx.Response(200, content=b"not json"),
            "short": lambda: self._answer(texts, rows_of([*texts, "more"])),
            "html": lambda: httpx.Response(502, html="<h1>Bad Gateway</h1>"),
        }
        make = answers.get(fault)
        return None if make is None else make()

    def _serve(self, texts: list[str]) -> httpx.Response:
        if len(texts) > self._batch:
            text = f"batch size {len(texts)} > maximum allowed batch size {self._batch}"
            return _refusal(422, "Validation", text)
        if any(len(text) > LONGEST for text in texts):
            text = f"`inputs` must have less than {LONGEST} tokens. Given: {max(map(len, texts))}"
            return _refusal(422, "Validation", text)
        if any(POISON in text for text in texts):
            return _refusal(424, "Backend", "CUDA error")
        self.encoded.update(texts)
        return self._answer(texts)

    def _answer(self, texts: list[str], rows: Matrix | None = None) -> httpx.Response:
        rows = rows_of(texts) if rows is None else rows
        data: list[dict[str, Any]] = [
            {"index": index, "embedding": base64.b64encode(row.tobytes()).decode()}
            for index, row in enumerate(rows)
        ]
        tokens = sum(map(len, texts))
        return httpx.Response(200, json={"data": data[::-1], "usage": {"prompt_tokens": tokens}})

    def _info(self) -> dict[str, Any]:
        return {
            "model_id": "tiny",
            "model_dtype": "float32",
            "version": "1.9.3",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": 512,
            "max_input_length": 2048,
            "max_client_batch_size": self._batch,
            "max_batch_tokens": 16_384,
            "auto_truncate": False,
        }


def _token(character: str) -> dict[str, Any]:
    return {"id": ord(character), "text": character, "special": False, "start": 0, "stop": 1}


def _refusal(status: int, kind: str, text: str) -> httpx.Response:
    return httpx.Response(status, json={"message": text, "code": status, "type": kind})


async def delivered(servers: Sequence[Server], texts: Sequence[str], lane: Lane) -> Encoding:
    agreement = Agreement()
    replicas = [
        Replica(
            lambda obey, server=server, number=number: TEIClient(
                f"http://tei-{number}",
                expect=EXPECT,
                limits=LIMITS,
                agreement=agreement,
                on_info=obey,
                transport=httpx.MockTransport(server),
            ),
            LIMITS,
            discard,
        )
        for number, server in enumerate(servers)
    ]
    pool = Pool(replicas, limits=LIMITS, sink=discard)
    try:
        return await Delivery(pool, size=SIZE).embed(texts, lane)
    finally:
        for replica in replicas:
            await replica.aclose()


def right(texts: Sequence[str], encoding: Encoding) -> bool:
    """Whether exactly the guilty texts are refused, and every other has its vector, bit for bit."""
    guilty = {n for n, t in enumerate(texts) if not t or len(t) > LONGEST or POISON in t}
    good = [n for n in range(len(texts)) if n not in guilty]
    expected = rows_of([texts[n] for n in good]).tobytes() if good else b""
    return set(encoding.refused) == guilty and encoding.rows[good].tobytes() == expected


def exact(texts: Sequence[str], encoding: Encoding) -> bool:
    """Whether the tokens are those of the texts that were encoded."""
    good = [text for n, text in enumerate(texts) if n not in encoding.refused]
    return encoding.tokens == sum(map(len, good))


@settings(max_examples=40)
@given(
    texts=calls,
    batch=limits,
    lane=st.sampled_from(Lane),
    faults=st.dictionaries(st.integers(1, 12), st.sampled_from(PASSING[:3]), max_size=4),
)
async def test_one_replica_with_passing_faults_loses_nothing_and_does_nothing_twice(
    texts: list[str], batch: int, lane: Lane, faults: dict[int, str]
) -> None:
    server = Server(batch, faults)
    encoding = await delivered([server], texts, lane)
    assert right(texts, encoding)
    assert exact(texts, encoding)
    good = [text for n, text in enumerate(texts) if n not in encoding.refused]
    assert server.encoded == Counter(good)


@settings(max_examples=40)
@given(
    texts=calls,
    batches=st.tuples(limits, limits),
    faults=st.dictionaries(st.integers(1, 30), st.sampled_from([*PASSING, "null"]), max_size=12),
)
async def test_a_replica_with_any_faults_beside_a_good_one_loses_nothing(
    texts: list[str], batches: tuple[int, int], faults: dict[int, str]
) -> None:
    servers = [Server(batches[0], faults), Server(batches[1], {})]
    encoding = await delivered(servers, texts, Lane.INGEST)
    assert right(texts, encoding)
    if "null" not in faults.values():  # a broken row was counted, though another server refuses it
        assert exact(texts, encoding)
