"""Memory stays one window, however long the stream. The long run is marked slow."""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.documents import Document
from gateway.ingest.items import ReadItem
from gateway.ingest.pipeline import Ingestor
from tests.support.ingesting import ConstantEncoder, DiscardingStore, make_embedder, make_spec

TEXT = "Plain words of a paragraph that is repeated to make a text of some length. " * 100


def generated(count: int) -> Iterator[ReadItem]:
    for number in range(count):
        yield Document(f"d{number}", f"{number} {TEXT}", title=f"Title {number}")


async def traced_peak(items: Iterator[ReadItem]) -> int:
    embedder = make_embedder(ConstantEncoder())
    store = DiscardingStore()
    ingestor = Ingestor(embedder, store)
    tracemalloc.start()
    try:
        await ingestor.ingest(make_spec(embedder), items)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.anyio
async def test_memory_does_not_grow_with_the_number_of_documents() -> None:
    short = await traced_peak(generated(300))  # 2 MB of text
    long = await traced_peak(generated(900))
    assert long < 1.3 * short
    assert long < 64 * 2**20


@pytest.mark.anyio
async def test_one_huge_document_is_not_embedded_all_at_once() -> None:
    text = "\n\n".join(f"{n} {TEXT[:400]}" for n in range(20_000))
    peak = await traced_peak(iter([Document("huge", text)]))
    vectors = len(text) / 1200 * 768 * 4
    assert peak < len(text) * 8
    assert peak < vectors + 2 * len(text)


CHILD = """
import asyncio, resource, sys
from gateway.ingest.pipeline import Ingestor
from gateway.ingest.readers import Source
from tests.support.ingesting import ConstantEncoder, DiscardingStore, make_embedder, make_spec

async def main():
    embedder, store = make_embedder(ConstantEncoder()), DiscardingStore()
    ingestor = Ingestor(embedder, store)
    await ingestor.ingest(make_spec(embedder), Source([sys.argv[1]]))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = await ingestor.ingest(make_spec(embedder), Source([sys.argv[2]]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(report.totals.added, report.totals.failed, (peak - base) // 1024)

asyncio.run(main())
"""


def write_jsonl(path: Path, size: int) -> int:
    """Write at least `size` bytes of documents; return their number."""
    written = number = 0
    with path.open("wb") as file:
        while written < size:
            line = json.dumps(
                {"_id": str(number), "title": f"T{number}", "text": f"{number} {TEXT}"}
            )
            written += file.write(line.encode() + b"\n")
            number += 1
    return number


@pytest.mark.slow
def test_a_gigabyte_of_jsonl_grows_the_process_by_less_than_500_mb(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "small.jsonl", 2**16)
    count = write_jsonl(tmp_path / "big.jsonl", 2**30)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "small.jsonl"), str(tmp_path / "big.jsonl")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    added, failed, grown = map(int, done.stdout.split())
    assert (added, failed) == (count, 0)
    assert grown < 500
    (tmp_path / "big.jsonl").unlink()
