"""What a server is asked before anything it answers is believed."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.domain.recording import Recording
from gateway.domain.vectors import Matrix, require_unit
from gateway.errors import DegenerateVector, InvalidRequest, UnsupportedServer
from gateway.tei.goldens import (
    Agreement,
    golden_texts,
    require_goldens,
    require_recorded_tokens,
    require_recorded_vectors,
)
from gateway.tei.identity import PROBE, Expectation, require_probe, require_supported
from gateway.tei.line import Line
from gateway.tei.refusals import InputRejected, TooMuchAtOnce
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


class Examiner:
    """Examines the server at the end of a line. Cheap questions first; every answer is checked."""

    def __init__(self, line: Line, expect: Expectation, agreement: Agreement) -> None:
        self._line: Final = line
        self._expect: Final = expect
        self._agreement: Final = agreement

    async def examine(self, info: Info) -> None:
        """Ask what it serves, a probe, the model card's examples and the recording, as expected.

        Raises:
            UnsupportedServer: with what is wrong and the remedy.
            UpstreamError: it could not be asked.
        """
        try:
            await self._examine(info)
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

    async def _examine(self, info: Info) -> None:
        where, expect = self._line.where, self._expect
        require_supported(where, info, expect)
        rows, tokens = await self._embed([PROBE])
        require_probe(where, rows.shape[1], tokens, expect)
        probe = require_unit(rows, size=expect.size)[0]
        if expect.goldens:
            rows = await self._embed_all(golden_texts(expect), info)
            require_goldens(where, rows, expect)
        if expect.recording is not None:
            await self._compare(expect.recording, info)
        self._agreement.require(where, probe)

    async def is_same(self) -> bool:
        """Ask the probe again: whether the server is still the one that was examined."""
        rows, _ = await self._embed([PROBE])
        return rows.shape[1] == self._expect.size and self._agreement.same(
            self._line.where, rows[0]
        )

    def forget(self) -> None:
        """The server is not asked any more."""
        self._agreement.leave(self._line.where)

    async def _compare(self, recording: Recording, info: Info) -> None:
        texts = [item.rendered for item in recording.items]
        for batch in _batches(texts, info):
            body = tokenize_body(_json(batch), add_special_tokens=True)
            answer = await self._line.call("tokenize", "/tokenize", body)
            ids = [[token.id for token in row] for row in decode_tokens(answer.body, len(batch))]
            require_recorded_tokens(self._line.where, batch, ids, recording)
        rows = await self._embed_all(texts, info)
        require_recorded_vectors(self._line.where, rows, recording, info.model_dtype)

    async def _embed_all(self, texts: Sequence[str], info: Info) -> Matrix:
        return np.concatenate([(await self._embed(batch))[0] for batch in _batches(texts, info)])

    async def _embed(self, texts: Sequence[str]) -> tuple[Matrix, int]:
        answer = await self._line.call("probe", "/v1/embeddings", openai_body(_json(texts)))
        return decode_openai(answer.body, len(texts))


def _batches(texts: Sequence[str], info: Info) -> list[Sequence[str]]:
    most = max(1, min(info.max_client_batch_size, info.max_concurrent_requests // PERMITS_SHARE))
    return [texts[at : at + most] for at in range(0, len(texts), most)]


def _json(texts: Sequence[str]) -> list[bytes]:
    return [text_json(text, index) for index, text in enumerate(texts)]
