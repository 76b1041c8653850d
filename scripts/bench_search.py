"""Measure searches over the embedded engine against their targets: ratios, interleaved, medians.

    make bench-search
    make bench-search BENCH_ARGS="--write"

100,000 chunks of size 768 with words and metadata go into two collections, one of them with short
vectors beside; both are indexed. Every pair that is compared alternates query by query, so that a busy
machine slows both sides. `--write` puts the table into docs/benchmarks.md. Exits with 1 when a target
is missed.
"""

import argparse
import asyncio
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from bench_page import Row, show, table_lines, write
from bench_search_own import mmr_seconds, own_share
from rich.console import Console

from gateway.domain.collections import CollectionSpec, FieldType
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.footprint import footprint
from gateway.domain.lexical import Lexical
from gateway.domain.search import (
    And,
    DenseQuery,
    Eq,
    Filter,
    Hit,
    HybridQuery,
    In,
    LexicalQuery,
    Or,
    Range,
    StoreQuery,
)
from gateway.domain.vectors import Matrix, Vector
from gateway.encoders.minilm import MiniLMEncoder
from gateway.events import discard
from gateway.observability.logs import configure_logs
from gateway.ports import Encoder
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.edge_launch import WorkerOptions
from gateway.vectorstores.edge_process import EdgeProcess

SIZE: Final = 768
COARSE: Final = 128
SPACE: Final = "bench:0"
WORDS: Final = 30_000
CHUNK_WORDS: Final = 80
BATCH: Final = 512
CANDIDATES: Final = 100
OVERSAMPLINGS: Final = (2, 5, 10, 20, 40)
SELECTIVITIES: Final = (0.1, 1, 5, 10, 20, 30, 50, 100)
"""Percent of the chunks that a filter leaves."""
Where = Mapping[str, Filter]


class Corpus:
    """Vectors with a decaying spectrum around 300 directions, and words by Zipf's law."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._scale = np.arange(1, SIZE + 1) ** -0.7
        self._centres = rng.normal(size=(300, SIZE))
        drawn = random.Random(0)  # noqa: S311  words, no secret
        self._words = [
            "".join(drawn.choices("abcdefghiklmnoprstuvwz", k=drawn.randint(3, 9)))
            for _ in range(WORDS)
        ]
        weights = 1 / (np.arange(WORDS) + 10.0)
        self._weights = weights / weights.sum()

    def rows(self, count: int, seed: int) -> Matrix:
        rng = np.random.default_rng(seed)
        near = self._centres[rng.integers(300, size=count)]
        rows = (near + 0.7 * rng.normal(size=(count, SIZE))) * self._scale
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def texts(self, count: int, words: int, seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        drawn: list[list[int]] = rng.choice(WORDS, size=(count, words), p=self._weights).tolist()
        return [" ".join(self._words[word] for word in row) for row in drawn]

    def batches(self, points: int) -> Iterator[list[EmbeddedChunk]]:
        for start in range(0, points, BATCH):
            count = min(BATCH, points - start)
            rows, texts = self.rows(count, start + 1), self.texts(count, CHUNK_WORDS, start + 1)
            yield [
                _chunk(start + place, text, row)
                for place, (text, row) in enumerate(zip(texts, rows, strict=True))
            ]

    def queries(self, count: int) -> list[tuple[Vector, str]]:
        rows, texts = self.rows(count, 10**9), self.texts(count, 6, 10**9)
        return [(rows[place], text) for place, text in enumerate(texts)]


def _chunk(number: int, text: str, row: Matrix) -> EmbeddedChunk:
    metadata = {"tenant": f"t{number % 1000}", "year": number % 100, "kind": f"k{number % 7}"}
    chunk = Chunk(f"d{number}", 0, text, 0, len(text), 200, 1, "h", "A title", (), metadata)
    return EmbeddedChunk(chunk, row, "2026-01-31T12:00:00.000000Z", SPACE)


FULL: Final = CollectionSpec(
    "full",
    "bench",
    SPACE,
    SIZE,
    {"tenant": FieldType.KEYWORD, "year": FieldType.INTEGER, "kind": FieldType.KEYWORD},
    lexical=Lexical(),
)
SHORT: Final = replace(FULL, name="short", coarse=COARSE)


def filters(percent: float) -> Where:
    """Filters of three kinds that leave about so many of the chunks."""
    tenants = max(1, round(10 * percent))
    years = max(1, round(percent))
    some = tuple(f"t{number}" for number in range(tenants))
    found: dict[str, Filter] = {}
    if percent in {0.1, 1}:
        found["one value"] = Eq("metadata.tenant", "t0") if percent < 1 else Eq("metadata.year", 7)
    if tenants >= 10:
        found["any of ten or more"] = In("metadata.tenant", some)
    if percent >= 1:
        year = Range("metadata.year", lt=years)
        found["and, or"] = And(
            (year, Or((Range("metadata.year", gte=0), Eq("metadata.kind", "k1"))))
        )
    return found


class Bench:
    """Two indexed collections and the queries asked of them."""

    def __init__(self, store: EdgeStore, encoder: Encoder, corpus: Corpus, queries: int) -> None:
        self._store = store
        self._encoder = encoder
        self._queries = corpus.queries(queries)

    async def times(
        self, *ways: "Way", encoded: bool = False
    ) -> list[tuple[float, list[list[Hit]]]]:
        """Ask every query in each way in turn: median milliseconds of each, and its hits.

        `encoded` counts the time in which the embedded model makes the vector of the query, too.
        """
        spent: list[list[float]] = [[] for _ in ways]
        hits: list[list[list[Hit]]] = [[] for _ in ways]
        for place, (row, text) in enumerate([*self._queries[:5], *self._queries]):
            for number, (name, make) in enumerate(ways):
                query = make(row, text)
                started = time.perf_counter()
                if encoded:
                    await self._encoder.encode([text])
                found = await self._store.query(name, query)
                if place >= 5:
                    spent[number].append((time.perf_counter() - started) * 1e3)
                    hits[number].append(found)
        return [(statistics.median(each), found) for each, found in zip(spent, hits, strict=True)]


Way = tuple[str, Callable[[Vector, str], StoreQuery]]


def dense(name: str = FULL.name, **how: object) -> Way:
    return name, lambda row, _text: DenseQuery(row, 10, SPACE, **how)  # pyright: ignore[reportArgumentType]


def lexical() -> Way:
    return FULL.name, lambda _row, text: LexicalQuery(text, 10, SPACE)


def hybrid(*, explain: bool = False) -> Way:
    return FULL.name, lambda row, text: HybridQuery(
        DenseQuery(row, 10, SPACE), text, 10, CANDIDATES, explain=explain
    )


def recall(found: Sequence[Sequence[Hit]], exact: Sequence[Sequence[Hit]]) -> float:
    """Mean share of the exact hits that were found, told apart by document."""
    shares = [
        len({h.chunk.document_id for h in a} & {h.chunk.document_id for h in b}) / len(b)
        for a, b in zip(found, exact, strict=True)
        if b
    ]
    return statistics.mean(shares)


async def coarse_rows(bench: Bench) -> list[Row]:
    """Short vectors first, as wide as it takes, beside exact search of the full ones."""
    oversampling, exact, short, reached = OVERSAMPLINGS[0], 0.0, 0.0, 0.0
    way = dense(SHORT.name)
    for oversampling in OVERSAMPLINGS:
        way = dense(SHORT.name, coarse=10 * oversampling)
        (exact, truth), (short, found) = await bench.times(dense(SHORT.name, exact=True), way)
        reached = recall(found, truth)
        if reached >= 0.99:
            break
    saved = footprint(FULL, indexed=True), footprint(SHORT, indexed=True)
    explained = dense(SHORT.name, coarse=10 * oversampling, explain=True)
    (quiet, _), (told, _) = await bench.times(way, explained)
    (plain, _), (whole, _) = await bench.times(way, explained, encoded=True)
    return [
        Row(
            f"short vectors ({COARSE} of {SIZE}) first, {oversampling} candidates a hit: p50 over an "
            "exact scan",
            "at most 0.5x",
            f"{short / exact:.2f}x ({short:.2f} / {exact:.2f} ms)",
            short / exact <= 0.5,
        ),
        Row("the same: recall@10", "at least 0.99", f"{reached:.4f}", reached >= 0.99),
        Row(
            "the same: bytes a search looks through, a chunk, beside full quantised ones",
            "",
            f"{saved[1].searched} / {saved[0].searched} (stored: {saved[1].total} / {saved[0].total})",
        ),
        Row(
            "the same, explained (two looks instead of one): p50 over not",
            "",
            f"{told / quiet:.2f}x ({told:.2f} / {quiet:.2f} ms)",
        ),
        Row(
            "the same, explained, with the embedded model's time for the query: p50 over not",
            "at most 1.05x",
            f"{whole / plain:.2f}x ({whole:.2f} / {plain:.2f} ms)",
            whole / plain <= 1.05,
        ),
    ]


async def mode_rows(bench: Bench) -> list[Row]:
    (plain, _), (words, _), (both, _) = await bench.times(dense(), lexical(), hybrid())
    (quiet, _), (told, _) = await bench.times(hybrid(), hybrid(explain=True))
    return [
        Row(
            "hybrid: p50 over dense",
            "at most 1.6x",
            f"{both / plain:.2f}x ({both:.2f} / {plain:.2f} ms)",
            both / plain <= 1.6,
        ),
        Row("lexical: p50", "", f"{words:.2f} ms"),
        Row(
            "explain: p50 over the same search without",
            "at most 1.05x",
            f"{told / quiet:.2f}x ({told:.2f} / {quiet:.2f} ms)",
            told / quiet <= 1.05,
        ),
    ]


async def filter_rows(bench: Bench) -> list[Row]:
    """Recall of filtered searches, index against exact, for each kind of filter."""
    worst: dict[str, tuple[float, float]] = {}
    rows: list[Row] = []
    for percent in SELECTIVITIES:
        for kind, where in filters(percent).items():
            (_, truth), (_, found) = await bench.times(
                dense(where=where, exact=True), dense(where=where)
            )
            reached = recall(found, truth)
            worst[kind] = min(worst.get(kind, (2.0, 0.0)), (reached, percent))
    for kind, (reached, percent) in worst.items():
        rows.append(
            Row(
                f"filtered by {kind}, 0.1 to 100 % of the chunks: least recall@10",
                "at least 0.99",
                f"{reached:.4f} (at {percent:g} %)",
                reached >= 0.99,
            )
        )
    one = dense(where=Eq("metadata.year", 7))
    (plain, _), (some, _) = await bench.times(dense(), one)
    rows.append(
        Row(
            "filtered to 1 %: p50 over unfiltered",
            "at most 1x",
            f"{some / plain:.2f}x ({some:.2f} / {plain:.2f} ms)",
            some <= plain,
        )
    )
    return rows


async def own_rows() -> list[Row]:
    shares = await own_share()
    worst = max(shares, key=lambda name: shares[name])
    usual = shares["hybrid"] * 1e3
    diverse = mmr_seconds() * 1e3
    return [
        Row(
            "MMR over 100 candidates of size 768", "at most 2 ms", f"{diverse:.2f} ms", diverse <= 2
        ),
        Row(
            "the gateway's own share of a search, JSON in and out: p50",
            "at most 1 ms",
            f"{usual:.2f} ms (most: {worst}, {shares[worst] * 1e3:.2f} ms)",
            usual <= 1,
        ),
    ]


async def measured(points: int, queries: int, folder: Path, console: Console) -> list[Row]:
    options = WorkerOptions(folder, 3.0, False, 900.0, discard, idle_seconds=1e6)
    process = EdgeProcess(options)
    await process.start()
    store, corpus = EdgeStore(folder, process), Corpus()
    encoder = await MiniLMEncoder.load()
    try:
        for spec in (FULL, SHORT):
            await store.ensure(spec)
        for number, batch in enumerate(corpus.batches(points)):
            for spec in (FULL, SHORT):
                await store.upsert(spec.name, batch)
            if number % 40 == 0:
                console.print(f"stored {number * BATCH} of {points}", style="dim")
        for spec in (FULL, SHORT):
            console.print(f"indexing {spec.name}", style="dim")
            await store.optimize(spec.name)
        bench = Bench(store, encoder, corpus, queries)
        rows: list[Row] = []
        for part in (coarse_rows, mode_rows, filter_rows):
            console.print(f"measuring: {part.__name__.removesuffix('_rows')}", style="dim")
            rows += await part(bench)
        return rows
    finally:
        await encoder.aclose()
        await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    options = parser.parse_args()
    configure_logs("warning", "json")
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as folder:
        table = asyncio.run(measured(options.points, options.queries, Path(folder), console))
    table += asyncio.run(own_rows())
    setting = (
        f"`make bench-search` on 2 cores, Python {platform.python_version()}: {options.points:,} "
        f"chunks of size {SIZE}, {options.queries} queries, one engine thread, both collections "
        "indexed; times are those of the store's call where nothing else is said, medians, alternating."
    )
    show(console, setting, table)
    if options.write:
        write("\n".join([setting, "", *table_lines(table)]), "bench-search")
    if any(row.met is False for row in table):
        sys.exit(1)


if __name__ == "__main__":
    main()
