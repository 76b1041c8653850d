"""What a server is asked before anything it answers is believed."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gateway.domain.recording import Recording
from gateway.domain.vectors import Matrix, require_unit
from gateway.errors import DegenerateVector, InvalidRequest, UnsupportedServer
from gateway.tei.goldens import (
    Agreement,
    Baseline,
    bar_of,
    golden_texts,
    require_goldens,
    require_recorded_tokens,
    require_recorded_vectors,
    worst_cosine,
)
from gateway.tei.identity import PROBE, Expectation, require_probe, require_supported
from gateway.tei.line import Line
from gateway.tei.refusals import InputRejected, TooMuchAtOnce
from gateway.tei.whole import longest_text, require_whole
from gateway.tei.wire import (
    Info,
    decode_openai,
    decode_tokens,
    openai_body,
    text_json,
    tokenize_body,
)

PERMITS_SHARE: Final = 4
"""Examining takes at most one in so many of the server's permits: others are at work meanwhile."""
RECORDED_AT_ONCE: Final = 4
"""Items of a recording that a canary asks for in one turn; the next turn takes the next ones."""
LONG_TURNS: Final = 10
"""Long texts are asked in every tenth turn, the first one and that after a reconnect included."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a repetition cost, and the cosine of a long text in a batch to itself alone, if low."""

    inputs: int
    tokens: int
    uneven: float | None = None


class Examiner:
    """Examines the server at the end of a line. Cheap questions first; every answer is checked."""

    def __init__(self, line: Line, expect: Expectation, agreement: Agreement) -> None:
        self._line: Final = line
        self._expect: Final = expect
        self._agreement: Final = agreement
        self._baseline: Final = Baseline()

    async def examine(self, info: Info) -> None:
        """Ask what it serves, a probe, the model card's examples and the recording, as expected.

        Raises:
            UnsupportedServer: with what is wrong and the remedy.
            UpstreamError: it could not be asked.
        """
        with self._refusing():
            await self._examine(info)

    async def repeat(self, info: Info, turn: int) -> Look:
        """Ask a verified server again for what it must repeat; the recording part by part.

        Raises:
            UnsupportedServer: it makes other vectors now.
            UpstreamError: it could not be asked.
        """
        with self._refusing():
            look = await self._repeat(info, turn)
            if turn % LONG_TURNS or not self._expect.long_canary:
                return look
            longest = await self._read_whole(info)
            cosine, tokens = await self._cosine_in_batch(info)
        uneven = cosine if cosine < bar_of(info.model_dtype) else None
        return Look(look.inputs + 5, look.tokens + longest + tokens, uneven)

    async def _examine(self, info: Info) -> None:
        where, expect = self._line.where, self._expect
        require_supported(where, info, expect)
        rows, tokens = await self._embed([PROBE])
        require_probe(where, rows.shape[1], tokens, expect)
        probe = require_unit(rows, size=expect.size)[0]
        if expect.goldens:
            rows, _ = await self._embed_all(golden_texts(expect), info)
            require_goldens(where, rows, expect, info.model_dtype)
        if expect.recording is not None:
            await self._compare(expect.recording, info)
        self._agreement.require(where, probe)
        if expect.canaries:
            rows, _ = await self._embed_all(expect.canaries, info)
            self._baseline.require(where, require_unit(rows, size=expect.size), info.model_dtype)
        await self._read_whole(info)

    async def is_same(self) -> bool:
        """Ask the probe again: whether the server is still the one that was examined."""
        rows, _ = await self._embed([PROBE])
        return rows.shape[1] == self._expect.size and self._agreement.same(
            self._line.where, rows[0]
        )

    def forget(self) -> None:
        """The server is not asked any more."""
        self._agreement.leave(self._line.where)

    async def _repeat(self, info: Info, turn: int) -> Look:
        where, expect = self._line.where, self._expect
        part = part_of(expect.recording, turn)
        goldens = golden_texts(expect)
        texts = [*expect.canaries, *goldens]
        texts += [] if part is None else [item.rendered for item in part.items]
        rows, tokens = await self._embed_all(texts, info)
        require_unit(rows, size=expect.size)
        own, shared, recorded = np.split(rows, np.cumsum([len(expect.canaries), len(goldens)]))
        if expect.canaries:
            self._baseline.require(where, own, info.model_dtype)
        if goldens:
            require_goldens(where, shared, expect, info.model_dtype)
        if part is not None:
            require_recorded_vectors(where, recorded, part, info.model_dtype)
        return Look(len(texts), tokens)

    async def _read_whole(self, info: Info) -> int:
        """Have a text of nearly the whole context read, and return its tokens.

        Where a proxy takes no request so large, no such text comes through, and none is cut: 0.
        """
        try:
            text, tokens = await longest_text(self._count, info, self._expect)
            rows, read = await self._embed([text])
        except TooMuchAtOnce:
            return 0
        require_whole(self._line.where, read, tokens)
        require_unit(rows, size=self._expect.size)
        return read

    async def _count(self, text: str) -> int:
        body = tokenize_body(_json([text]), add_special_tokens=True)
        answer = await self._line.call("tokenize", "/tokenize", body)
        return len(decode_tokens(answer.body, 1)[0])

    async def _cosine_in_batch(self, info: Info) -> tuple[float, int]:
        """Least cosine of a long text among its equals to itself alone, and the tokens read."""
        text = self._expect.long_canary
        alone, first = await self._embed([text])
        batch, more = await self._embed_all([text] * 3, info)
        require_unit(np.concatenate([alone, batch]), size=self._expect.size)
        return worst_cosine(batch, np.repeat(alone, 3, axis=0))[0], first + more

    @contextmanager
    def _refusing(self) -> Generator[None]:
        try:
            yield
        except DegenerateVector as exc:
            raise UnsupportedServer(
                f"TEI at {self._line.where} answers a probe with a broken vector ({exc}): check its "
                "--dtype and device"
            ) from exc
        except (InvalidRequest, InputRejected, TooMuchAtOnce) as exc:
            raise UnsupportedServer(
                f"TEI at {self._line.where} refuses texts that it must read ({exc}): check the "
                "limits that it was started with"
            ) from exc

    async def _compare(self, recording: Recording, info: Info) -> None:
        texts = [item.rendered for item in recording.items]
        for batch in _batches(texts, info):
            body = tokenize_body(_json(batch), add_special_tokens=True)
            answer = await self._line.call("tokenize", "/tokenize", body)
            ids = [[token.id for token in row] for row in decode_tokens(answer.body, len(batch))]
            require_recorded_tokens(self._line.where, batch, ids, recording)
        rows, _ = await self._embed_all(texts, info)
        require_recorded_vectors(self._line.where, rows, recording, info.model_dtype)

    async def _embed_all(self, texts: Sequence[str], info: Info) -> tuple[Matrix, int]:
        answers = [await self._embed(batch) for batch in _batches(texts, info)]
        widths = {rows.shape[1] for rows, _ in answers}
        if len(widths) > 1:
            raise DegenerateVector(f"vectors of sizes {sorted(widths)} from one model")
        return np.concatenate([rows for rows, _ in answers]), sum(read for _, read in answers)

    async def _embed(self, texts: Sequence[str]) -> tuple[Matrix, int]:
        answer = await self._line.call("probe", "/v1/embeddings", openai_body(_json(texts)))
        return decode_openai(answer.body, len(texts))


def part_of(recording: Recording | None, turn: int) -> Recording | None:
    """Return some items of a recording; turn by turn, all of them come up."""
    if recording is None or not recording.items:
        return None
    count = len(recording.items)
    places = [(turn * RECORDED_AT_ONCE + i) % count for i in range(min(RECORDED_AT_ONCE, count))]
    return replace(recording, items=tuple(recording.items[place] for place in places))


def _batches(texts: Sequence[str], info: Info) -> list[Sequence[str]]:
    most = max(1, min(info.max_client_batch_size, info.max_concurrent_requests // PERMITS_SHARE))
    return [texts[at : at + most] for at in range(0, len(texts), most)]


def _json(texts: Sequence[str]) -> list[bytes]:
    return [text_json(text, index) for index, text in enumerate(texts)]
