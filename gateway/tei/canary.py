"""Replicas that answered rightly once are asked again, beside their work, whether they still do.

A server can be exchanged behind a connection that stays open (a proxy, a reload in place), or begin to
err. What it must repeat: the worked examples of the model card, a recording, and its own first answers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from traceback import extract_tb
from typing import Final, TypeAlias

from gateway.errors import ConfigurationError, UpstreamError
from gateway.events import CanaryFinished, Sink
from gateway.tei.examiner import LONG_TURNS, Look
from gateway.tei.refusals import SERVICE
from gateway.tei.replica import Replica
from gateway.together import together

Pause: TypeAlias = Callable[[float], Awaitable[object]]
RECONNECT_SECONDS: Final = 15.0
"""How soon after a new connection a replica is asked out of turn, and so how often at most."""


class Canary:
    """Asks each replica every `seconds`, jittered, and soon after it was connected anew."""

    def __init__(
        self, replicas: Callable[[], Sequence[Replica]], *, seconds: float, sink: Sink
    ) -> None:
        self._replicas = replicas
        self._seconds = seconds
        self._sink = sink
        self._turns: dict[Replica, int] = {}
        self._connections: dict[Replica, int] = {}

    async def watch(self, pause: Pause = asyncio.sleep) -> None:
        """Ask until cancelled; `pause` waits for so many seconds."""
        waited = 0.0
        while True:
            spell = min(self._seconds, RECONNECT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
            await pause(spell)
            waited += spell
            is_turn = waited >= self._seconds * 0.8
            replicas = self._replicas()
            self._forget_all_but(replicas)
            due = [one for one in replicas if is_turn or self._is_connected_anew(one)]
            await together([self.probe(one) for one in due])
            waited = 0.0 if is_turn else waited

    async def probe(self, replica: Replica) -> CanaryFinished | None:
        """Ask one replica now; one that is left out is on trial anyhow, and not asked.

        One that drifts is left out with the reason, and comes back when a trial finds it well.
        """
        if not replica.ready or replica.client.known is None:
            return None
        turn = self._turns.get(replica, -1) + 1
        if self._is_connected_anew(replica):
            turn += -turn % LONG_TURNS  # another server may answer: ask for everything
        self._turns[replica] = turn
        self._connections[replica] = replica.client.connections
        try:
            look = await replica.repeat(turn)
        except ConfigurationError as exc:
            found = CanaryFinished(SERVICE, replica.where, "drift", 0, 0, str(exc))
        except UpstreamError as exc:
            found = CanaryFinished(SERVICE, replica.where, "unanswered", 0, 0, str(exc))
        except Exception as exc:  # noqa: BLE001  whatever it is, the watch goes on
            found = CanaryFinished(SERVICE, replica.where, "unanswered", 0, 0, unexpected(exc))
        else:
            found = _finished(replica.where, look)
        self._sink(found)
        return found

    def _is_connected_anew(self, replica: Replica) -> bool:
        return self._connections.get(replica) != replica.client.connections

    def _forget_all_but(self, replicas: Sequence[Replica]) -> None:
        for gone in self._turns.keys() - set(replicas):
            del self._turns[gone], self._connections[gone]


def unexpected(exc: Exception) -> str:
    """What a canary failed with and where; not its message, which may hold recorded texts."""
    places = extract_tb(exc.__traceback__)[-1:]
    where = "".join(f" at {at.filename}:{at.lineno} {at.name}" for at in places)
    return f"the canary itself failed unexpectedly: {type(exc).__name__}{where}"


def _finished(where: str, look: Look) -> CanaryFinished:
    if look.uneven is None:
        return CanaryFinished(SERVICE, where, "ok", look.inputs, look.tokens)
    reason = (
        f"texts of one length above 257 tokens get other vectors in a batch than alone (cosine "
        f"{look.uneven:.5f}): known of TEI, whose batches are mixed here; keep chunks at 256 tokens"
    )
    return CanaryFinished(SERVICE, where, "uneven", look.inputs, look.tokens, reason)
