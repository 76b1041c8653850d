"""Faults on demand: scripted one by one, counted, or drawn by chance from a seed.

A specification is a comma-separated list of `KIND[@ROUTE][=SECONDS]` followed by one of

    *COUNT                    the next COUNT requests (`429*3`)
    :PROBABILITY[xBURST]      each request by chance, then BURST in a row (`429:0.05`, `503:0.01x4`)
    nothing                   every request, until healed (`unnormalised`)

Without a route, a fault is played on the routes that embed.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, get_args

from gateway.errors import ConfigurationError

FaultKind: TypeAlias = Literal[
    "overloaded",  # 429
    "retry-after",  # 429 by a proxy, with a Retry-After of `seconds`
    "unhealthy",  # 503
    "backend",  # 424
    "tokenizer",  # 422
    "bad-gateway",  # 502 with an HTML body, as a proxy in front of a dead server answers
    "reset",  # the connection is reset before any answer
    "stall",  # no answer for `seconds`, then the connection is reset
    "slow",  # `seconds` pass before the work begins, permits held
    "slow-first-byte",  # the work is done, then `seconds` pass before the first byte
    "half-body",  # the connection ends in the middle of the answer
    "not-json",  # status 200 and a body that is not JSON
    "null",  # one vector is NaN: `null` in JSON, NaN bits in base64
    "zero",  # one vector is all zeros
    "short-rows",  # vectors of half the size
    "too-few",  # one vector is missing
    "same-index",  # every item says index 0
    "reversed",  # items in reverse order, each with its right index
    "swapped",  # vectors in another order, while the indexes claim the right one
    "unnormalised",  # vectors as they leave the model, whatever the request says
    "hidden-prompt",  # a prompt that nobody asked for is put before every text
    "rewrites-whitespace",  # runs of white space are read as one blank
    "silent-truncation",  # texts are cut at half the limit, and the tokens are counted after it
    "big-endian",  # base64 holds the bytes of each number in the wrong order
    "no-dense",  # the Dense modules of the checkpoint are left out
    "causal",  # attention looks back only, as a decoder's
    "no-window",  # full attention in passes over texts of one length, as in TEI issue 882
    "fine-tune",  # the weights are a little off: another revision, or a fine-tune
    "quantised",  # the weights are rounded to 8 bits
    "other-model",  # another model of the same size: the space is turned by a seeded rotation
]
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
ALIASES: Final[dict[str, FaultKind]] = {
    "429": "overloaded",
    "503": "unhealthy",
    "424": "backend",
    "422": "tokenizer",
    "502": "bad-gateway",
    "shuffled": "swapped",
    "wrong-size": "short-rows",
    "short-answer": "too-few",
}
EMBEDDING_PATHS: Final = ("/embed", "/v1/embeddings", "/embeddings", "/", "/invocations")
DEFAULT_SECONDS: Final[dict[str, float]] = {"stall": 3600.0, "retry-after": 1.0}
_SPEC: Final = re.compile(
    r"(?P<kind>[a-z0-9-]+)(?P<path>@/[\w/]*)?(=(?P<seconds>\d+(\.\d+)?))?"
    r"(\*(?P<times>[1-9]\d*)|:(?P<probability>\d+(\.\d+)?)(x(?P<burst>[1-9]\d*))?)?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Play `kind` on the next `times` requests (None: on all) to `path` (None: embedding routes).

    Below 1, `probability` draws each request; one that is drawn is followed by `burst` - 1 more.
    """

    kind: FaultKind
    times: int | None = 1
    path: str | None = None
    seconds: float = 0.2
    probability: float = 1.0
    burst: int = 1

    def applies_to(self, path: str) -> bool:
        return path == self.path if self.path else path in EMBEDDING_PATHS


class FaultScript:
    """Faults in the order they were scripted; the first that plays on a request is the one.

    Filled by one thread and drained by another. The nth request that a fault looks at is drawn from
    the seed and n alone, so that two runs of the same requests meet the same faults.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._faults = deque(_Playing(fault, place) for place, fault in enumerate(faults))
        self._scripted = len(self._faults)
        self._seed = seed
        self._lock = Lock()
        self.played: Final[Counter[FaultKind]] = Counter()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(_Playing(fault, self._scripted))
            self._scripted += 1

    def replace(self, faults: Iterable[Fault], *, seed: int | None = None) -> None:
        """Forget all faults and counts, and play these from now on."""
        with self._lock:
            self._faults = deque(_Playing(fault, place) for place, fault in enumerate(faults))
            self._scripted = len(self._faults)
            self._seed = self._seed if seed is None else seed
            self.played.clear()

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, path: str) -> Fault | None:
        """Return the fault of a request, used up by one."""
        if not self._faults:
            return None
        with self._lock:
            for playing in self._faults:
                if playing.fault.applies_to(path) and playing.draws(self._seed):
                    if playing.left == 0:
                        self._faults.remove(playing)
                    self.played[playing.fault.kind] += 1
                    return playing.fault
        return None

    @property
    def seed(self) -> int:
        return self._seed

    def state(self) -> dict[str, Any]:
        """The faults in force, with how often each may still play, and how many were played."""
        with self._lock:
            return {
                "seed": self._seed,
                "faults": [
                    asdict(replace(playing.fault, times=playing.left)) for playing in self._faults
                ],
                "played": dict(self.played),
            }


class _Playing:
    """A fault with its place in the script and what was played of it."""

    def __init__(self, fault: Fault, place: int) -> None:
        self.fault: Final = fault
        self.left = fault.times
        self._place: Final = place
        self._seen = 0
        self._following = 0

    def draws(self, seed: int) -> bool:
        """Whether it plays on the request it looks at now."""
        self._seen += 1
        if self._following:
            self._following -= 1
        elif chance(seed, self._place, self._seen) < self.fault.probability:
            self._following = self.fault.burst - 1
        else:
            return False
        if self.left is not None:
            self.left -= 1
        return True


def chance(seed: int, place: int, count: int) -> float:
    """A number in [0, 1) made from its arguments alone."""
    digest = blake2b(f"{seed}:{place}:{count}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def parse_faults(spec: str) -> list[Fault]:
    """Read a specification.

    Raises:
        ConfigurationError: names the part that cannot be read, and the kinds there are.
    """
    return [_parse(part.strip()) for part in spec.split(",") if part.strip()]


def _parse(part: str) -> Fault:
    found = _SPEC.fullmatch(part)
    kind = ALIASES.get(found["kind"], found["kind"]) if found else None
    if found is None or kind not in KINDS:
        raise ConfigurationError(
            f"fault {part!r} cannot be read; write KIND[@ROUTE][=SECONDS] and then *COUNT or "
            f":PROBABILITY[xBURST], with KIND one of {', '.join([*KINDS, *ALIASES])}"
        )
    probability = float(found["probability"] or 1.0)
    if probability > 1.0:
        raise ConfigurationError(f"fault {part!r} has a probability over 1")
    return Fault(
        kind,
        times=int(found["times"]) if found["times"] else None,
        path=found["path"].removeprefix("@") if found["path"] else None,
        seconds=float(found["seconds"] or DEFAULT_SECONDS.get(kind, 0.2)),
        probability=probability,
        burst=int(found["burst"] or 1),
    )
