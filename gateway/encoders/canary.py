"""The canary of an encoder that is one server or one model in this process: readiness tells of it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from gateway.domain.recording import Recording
from gateway.domain.vectors import Matrix, shorten
from gateway.encoders._wrapper import WrappedEncoder
from gateway.errors import (
    GatewayError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import CanaryFinished, Sink, discard
from gateway.ports import Encoder, Encoding, Health, Lane
from gateway.tei.breaker import FAILURES
from gateway.tei.canary import RECONNECT_SECONDS, unexpected
from gateway.tei.examiner import part_of
from gateway.tei.goldens import (
    bar_of,
    golden_texts,
    golden_tolerance,
    off_goldens,
    worst_cosine,
)
from gateway.tei.identity import Expectation

Pause: TypeAlias = Callable[[float], Awaitable[object]]


class CanaryEncoder(WrappedEncoder):
    """Has the encoder repeat vectors that are known; once it does not, the gateway is not ready.

    Nothing can be asked instead of a lone server, so it goes on being asked; it is ready again when
    the vectors are right again. After `FAILURES` turns in a row without a sound answer it is not ready
    either; that a server is away or busy is the encoder's own to tell.
    """

    def __init__(
        self,
        encoder: Encoder,
        expect: Expectation,
        *,
        seconds: float,
        connections: Callable[[], int] = lambda: 0,
        sink: Sink = discard,
    ) -> None:
        """Wrap and own `encoder`, and begin to watch it; call it on the event loop's thread.

        `connections` counts those made so far: after another one, another server may answer.
        """
        super().__init__(encoder)
        if encoder.info.variant:  # made-up vectors repeat themselves and nothing else
            expect = replace(expect, goldens=(), recording=None)
        self._expect: Final = expect
        self._seconds: Final = seconds
        self._connections: Final = connections
        self._sink: Final = sink
        self._first: Matrix | None = None
        self._drift = ""
        self._broken = 0
        self._reason = ""
        self._turn = 0
        self._task: Final = asyncio.create_task(self.watch())

    async def watch(self, pause: Pause = asyncio.sleep) -> None:
        """Ask at once, then every so often, jittered, and soon after a reconnect; until cancelled."""
        while True:
            await self.probe()
            known, waited = self._connections(), 0.0
            while waited < self._seconds * 0.8 and self._connections() == known:
                spell = min(self._seconds, RECONNECT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
                await pause(spell)
                waited += spell

    async def probe(self) -> CanaryFinished:
        """Ask now."""
        part = part_of(self._expect.recording, self._turn)
        self._turn += 1
        recorded = [] if part is None else [item.rendered for item in part.items]
        texts = [*self._expect.canaries, *golden_texts(self._expect), *recorded]
        try:
            encoding = await self._encoder.encode(texts, lane=Lane.INGEST)
            self._drift = self._wrong(shorten(encoding.vectors, self.info.size), part)
        except (UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable) as exc:
            return self._tell("unanswered", 0, 0, str(exc))
        except UpstreamError as exc:
            return self._unanswered(str(exc))
        except GatewayError as exc:
            self._drift = str(exc)
            return self._tell("drift", len(texts), 0, self._drift)
        except Exception as exc:  # noqa: BLE001  whatever it is, the watch goes on
            return self._unanswered(unexpected(exc))
        self._broken = 0
        outcome = "drift" if self._drift else "ok"
        return self._tell(outcome, len(texts), encoding.tokens, self._drift)

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        return await self._encoder.encode(texts, lane=lane)

    async def health(self) -> Health:
        """Tell that the vectors drifted or do not come, else what the encoder tells."""
        if self._drift:
            return Health(self.info.kind, False, self._drift)
        if self._broken >= FAILURES:
            told = f"known texts got no sound answer {self._broken} times in a row: {self._reason}"
            return Health(self.info.kind, False, told)
        return await self._encoder.health()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await super().aclose()

    def _unanswered(self, reason: str) -> CanaryFinished:
        """Count a turn without a sound answer."""
        self._broken += 1
        self._reason = reason
        return self._tell("unanswered", 0, 0, reason)

    def _tell(self, outcome: str, inputs: int, tokens: int, reason: str) -> CanaryFinished:
        kind = self.info.kind
        found = CanaryFinished(kind, kind, outcome, inputs, tokens, reason)
        self._sink(found)
        return found

    def _wrong(self, rows: Matrix, part: Recording | None) -> str:
        """What is wrong with unit rows of canaries, goldens and recorded items; "" for nothing."""
        expect, bar = self._expect, bar_of(self.info.dtype)
        ends = np.cumsum([len(expect.canaries), len(golden_texts(expect))])
        own, shared, recorded = np.split(rows, ends)
        if self._first is None:
            self._first = own
        cosine, _ = worst_cosine(own, self._first)
        if not cosine >= bar:
            return f"known texts get other vectors than at first (cosine {cosine:.5f})"
        for golden, off in off_goldens(shared, expect):
            if not off <= golden_tolerance(self.info.quantization or self.info.dtype):
                return f"off by {off:.3f} on the model card's example at size {golden.size}"
        if part is not None:
            cosine, _ = worst_cosine(recorded, part.vectors)
            if not cosine >= bar:
                return f"recorded texts get other vectors (cosine {cosine:.5f}, at least {bar})"
        return ""
