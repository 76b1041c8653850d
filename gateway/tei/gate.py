"""Nothing passes from a server that was not verified, or was exchanged behind its address."""

from collections.abc import Callable, Sequence

import numpy as np

from gateway.domain.vectors import Matrix, require_unit
from gateway.errors import DegenerateVector, UnsupportedServer, UpstreamUnavailable
from gateway.tei.identity import (
    PROBE,
    Agreement,
    Expectation,
    golden_texts,
    require_goldens,
    require_probe,
    require_supported,
)
from gateway.tei.line import Answer, Line
from gateway.tei.refusals import BackendFailed, unavailable
from gateway.tei.together import Shared
from gateway.tei.wire import (
    Info,
    decode_info,
    decode_openai,
    openai_body,
    text_json,
)


class Gate:
    """A line to one server, and whether that server is the one expected.

    `info` is what the verified server said of itself, None before and after it was lost.
    """

    def __init__(
        self,
        line: Line,
        expect: Expectation | None,
        agreement: Agreement,
        on_info: Callable[[Info], None],
    ) -> None:
        self.info: Info | None = None
        self._line = line
        self._expect = expect
        self._agreement = agreement
        self._on_info = on_info
        self._checked_connections = 0
        self._checking = Shared(self._check)

    async def ask(self) -> Info:
        """Ask `/info`, without believing it."""
        return decode_info((await self._line.call("info", "/info")).body)

    async def require(self) -> Info:
        """Return the verified server's info, checking it first where needed.

        Raises:
            UnsupportedServer: it does not meet the expectation.
            UpstreamError: it could not be asked; one attempt, shared by all who wait.
        """
        return self.info or await self.check()

    async def check(self, *, anew: bool = False) -> Info:
        """Check the server again, as `require`; a check under way is joined.

        A server that says what it said before is believed, unless it is to be probed `anew`.
        """
        if anew and not self._checking.running:
            self.info = None
        return await self._checking.join()

    async def call(
        self, operation: str, path: str, body: bytes, info: Info, *, timeout_seconds: float | None
    ) -> Answer:
        """POST to the server that said `info`; its answer is held back until that is sure.

        A connection opened since the last check may end at another server: then `/info` is asked
        again first.
        """
        try:
            answer = await self._line.call(operation, path, body, timeout_seconds=timeout_seconds)
        except BackendFailed:
            raise
        except UpstreamUnavailable:
            self.info = None
            raise
        if self._line.opened != self._checked_connections and await self.check() != info:
            raise unavailable(f"another server took over at {self._line.where}: asking again")
        return answer

    async def aclose(self) -> None:
        self._checking.cancel()

    async def _check(self) -> Info:
        info = await self.ask()
        if info != self.info:
            self.info = None
            if self._expect is not None:
                await self._judge(info, self._expect)
            self._on_info(info)
            self.info = info
        self._checked_connections = self._line.opened
        return info

    async def _judge(self, info: Info, expect: Expectation) -> None:
        try:
            await self._probe(info, expect)
        except DegenerateVector as exc:
            raise UnsupportedServer(
                f"TEI at {self._line.where} answers a probe with a broken vector ({exc}): check its "
                "--dtype and device"
            ) from exc

    async def _probe(self, info: Info, expect: Expectation) -> None:
        where = self._line.where
        require_supported(where, info, expect)
        rows, tokens = await self._embed([PROBE])
        require_probe(where, rows.shape[1], tokens, expect)
        require_unit(rows, size=expect.size)
        self._agreement.require(where, rows[0])
        if expect.goldens:
            texts, most = golden_texts(expect), max(1, info.max_client_batch_size)
            starts = range(0, len(texts), most)
            answers = [(await self._embed(texts[at : at + most]))[0] for at in starts]
            require_goldens(where, np.concatenate(answers), expect)

    async def _embed(self, texts: Sequence[str]) -> tuple[Matrix, int]:
        body = openai_body([text_json(text, index) for index, text in enumerate(texts)])
        answer = await self._line.call("probe", "/v1/embeddings", body)
        return decode_openai(answer.body, len(texts))
