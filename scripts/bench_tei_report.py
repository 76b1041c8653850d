"""What `bench_tei.py` found, held against the targets: as a table, and as a page's section."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench_page import Row, table_lines

LEVELS: Final = (1, 16, 64)
BARE: Final = {
    "base64": "bare base64",
    "base64-stdlib": "bare base64, standard library only",
    "json": "bare JSON",
    "json-stdlib": "bare JSON, standard library only",
}

Found = Mapping[str, float]
Rounds = Mapping[str, Sequence[Found]]
"""By name of the run: what it found in each round."""


def rows(rounds: Rounds, texts: int) -> list[Row]:
    return [
        *_bulk(rounds, texts),
        *_cpu(rounds, texts),
        *(row for level in LEVELS for row in _single(rounds, level)),
        *_serve(rounds),
        *_faults(rounds),
        *_memory(rounds),
    ]


def _bulk(rounds: Rounds, texts: int) -> list[Row]:
    found: list[Row] = []
    for stub, client, least in (
        ("gpu", "base64", 0.9), ("zero", "json", 1.5), ("zero", "json-stdlib", None),
        ("zero", "base64", None), ("zero", "base64-stdlib", None),
    ):  # fmt: skip
        ours, bare = f"{stub} gateway", f"{stub} {client}"
        ratio = 1 / _ratio(rounds, ours, bare, _seconds)
        where = {"gpu": "GPU-like stub", "zero": "stub of 0 ms"}[stub]
        speeds = " / ".join(
            f"{texts / _median(rounds, key, _seconds):,.0f}" for key in (ours, bare)
        )
        found.append(
            Row(
                f"bulk, {where}: texts/s over {BARE[client]}",
                "" if least is None else f"at least {least:g}x",
                f"{ratio:.2f}x ({speeds})",
                None if least is None else ratio >= least,
            )
        )
    return found


def _cpu(rounds: Rounds, texts: int) -> list[Row]:
    found: list[Row] = []
    for client, name in BARE.items():
        ours, bare = "zero gateway", f"zero {client}"
        ratio = _ratio(rounds, ours, bare, _cpu_seconds)
        each = " / ".join(
            f"{_median(rounds, key, _cpu_seconds) / texts * 1e6:.1f}" for key in (ours, bare)
        )
        strict = client == "base64"
        found.append(
            Row(
                f"bulk, client CPU per text over {name}",
                "at most 2.5x" if strict else "",
                f"{ratio:.2f}x ({each} µs)",
                ratio <= 2.5 if strict else None,
            )
        )
    return found


def _single(rounds: Rounds, level: int) -> list[Row]:
    limits = {"p50": 0.5, "p99": 3.0} if level == 1 else {}
    ours, bare = f"single {level} gateway", f"single {level} base64"
    found: list[Row] = []
    for name in ("p50", "p99"):
        pairs = zip(rounds[ours], rounds[bare], strict=True)
        added = statistics.median(mine[name] - theirs[name] for mine, theirs in pairs)
        limit = limits.get(name)
        found.append(
            Row(
                f"single query, {_callers(level)}: {name} added to bare base64",
                "" if limit is None else f"at most {limit:g} ms",
                f"{added:.2f} ms (bare: {_median(rounds, bare, _field(name)):.2f} ms)",
                None if limit is None else added <= limit,
            )
        )
    rate = _field("rate")
    speeds = " / ".join(f"{_median(rounds, key, rate):,.0f}" for key in (ours, bare))
    found.append(Row(f"single query, {_callers(level)}: calls/s, ours / bare", "", speeds))
    return found


def _serve(rounds: Rounds) -> list[Row]:
    added = _median(rounds, "serve", _field("added p50 ms"))
    rate = _median(rounds, "serve", _field("requests/s at 64"))
    batch = _median(rounds, "serve", _field("texts/s in batches of 32"))
    return [
        Row(
            "`gateway serve`: p50 added, one client", "at most 1 ms", f"{added:.2f} ms", added <= 1
        ),
        Row(
            "`gateway serve`: 64 clients, one worker",
            "at least 2,000 requests/s",
            f"{rate:,.0f} requests/s",
            rate >= 2000,
        ),
        Row("`gateway serve`: batches of 32, 8 clients", "", f"{batch:,.0f} texts/s"),
    ]


def _faults(rounds: Rounds) -> list[Row]:
    found: list[Row] = []
    for client, most in (("gateway", 1.3), ("base64", None)):
        ratio = _ratio(rounds, f"faults {client}", f"gpu {client}", _seconds)
        name = "gateway" if client == "gateway" else "bare base64 that repeats"
        seconds = _median(rounds, f"faults {client}", _seconds)
        found.append(
            Row(
                f"5 % 429 and 1 % resets, {name}: time over fault-free",
                "" if most is None else f"at most {most:g}x",
                f"{ratio:.2f}x ({seconds:.2f} s)",
                None if most is None else ratio <= most,
            )
        )
    return [*found, _repeats(rounds)]


def _repeats(rounds: Rounds) -> Row:
    """What the faulty run asked more than the fault-free one, beside the faults of the stub."""

    def faults(found: Found) -> float:
        return sum(found.get(name, 0) for name in ("overloaded", "reset", "over permits"))

    def more(name: str) -> float:
        pairs = zip(rounds["faults gateway"], rounds["gpu gateway"], strict=True)
        return statistics.median(faulty[name] - free[name] for faulty, free in pairs)

    drawn = _median(rounds, "faults gateway", faults)
    return Row(
        "the same, gateway: faults / requests more / texts sent more, probes too",
        "",
        f"{drawn:.0f} / {more('requests'):.0f} / {more('texts'):.0f}",
    )


def _memory(rounds: Rounds) -> list[Row]:
    peak, vectors = (
        _median(rounds, "gpu gateway", _field(name)) for name in ("peak_mb", "vectors_mb")
    )
    most = 1.3 * vectors + 150
    idle = _median(rounds, "idle gateway", _field("peak_mb"))
    return [
        Row(
            "peak memory of the bulk run, whole process",
            f"at most {most:.0f} MB (1.3x of the vectors + 150)",
            f"{peak:.0f} MB (idle: {idle:.0f} MB)",
            peak <= most,
        )
    ]


def speeds(rounds: Rounds, texts: int) -> dict[str, str]:
    """Texts per second without and with faults, to print beside the other clients'."""
    return {
        name: " / ".join(
            f"{texts / _median(rounds, f'{stub} {client}', _seconds):,.0f} texts/s"
            for stub in ("gpu", "faults")
        )
        for name, client in (("this gateway", "gateway"), ("bare base64 that repeats", "base64"))
    }


def markdown(setting: str, table: Sequence[Row], peers: Mapping[str, str]) -> str:
    lines = [setting, "", *table_lines(table)]
    if peers:
        lines += ["", "| Client | GPU-like stub, without / with faults |", "|---|---|"]
        lines += [f"| {name} | {told} |" for name, told in peers.items()]
    return "\n".join(lines)


def _callers(level: int) -> str:
    return "one caller" if level == 1 else f"{level} callers"


def _field(name: str) -> Callable[[Found], float]:
    return lambda found: found[name]


_seconds: Final = _field("seconds")
_cpu_seconds: Final = _field("cpu")


def _median(rounds: Rounds, key: str, value: Callable[[Found], float]) -> float:
    return statistics.median(map(value, rounds[key]))


def _ratio(rounds: Rounds, ours: str, bare: str, value: Callable[[Found], float]) -> float:
    """Median over rounds of the ratio within a round, so that a busy machine slows both sides."""
    pairs = zip(rounds[ours], rounds[bare], strict=True)
    return statistics.median(value(mine) / value(theirs) for mine, theirs in pairs)
