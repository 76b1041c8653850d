"""The collection that is searched: made of the golden set's corpus for a while, or the user's own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import chunk_id
from gateway.domain.lexical import Lexical
from gateway.domain.search import Eq
from gateway.errors import InvalidGoldenSet, InvalidRequest
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.indexing import Indexed, ingest, ingest_whole
from gateway.evaluation.plan import Plan, Progress, needs_words
from gateway.evaluation.results import Index
from gateway.evaluation.told import counted

SCRATCH: Final = "evaluation"


@asynccontextmanager
async def searched_collection(
    runtime: Runtime, golden: GoldenSet, plan: Plan, size: int | None, progress: Progress
) -> AsyncGenerator[tuple[CollectionSpec, Index, list[str]], None]:
    """Open the collection of the plan, or index the corpus into one that is dropped at the end."""
    if plan.collection is not None:
        yield await _existing(runtime, golden, plan)
        return
    lexical = plan.lexical or Lexical(runtime.settings.collections.language)
    spec = runtime.collections.spec(SCRATCH, size=size, lexical=lexical, coarse=plan.coarse)
    try:
        how = ingest_whole if plan.whole else ingest
        made = await how(runtime, golden, spec, progress)
        yield spec, _index(golden, made), _problems(made)
    finally:
        known = await runtime.collections.list()
        if any(info.spec.name == spec.name for info in known):
            await runtime.collections.drop(spec.name)


async def _existing(
    runtime: Runtime, golden: GoldenSet, plan: Plan
) -> tuple[CollectionSpec, Index, list[str]]:
    """Open a collection and see that the judged documents are in it.

    Raises:
        InvalidGoldenSet: none of the relevant documents is.
        InvalidRequest: a stage by words, and no words are indexed.
    """
    name = plan.collection or ""
    spec = await runtime.collections.open(name)
    if needs_words(plan.stages) and spec.lexical is None:
        raise InvalidRequest(
            f"collection {name!r} has no words indexed: give --stages dense, or ingest into a new "
            "collection"
        )
    relevant = {d for row in golden.qrels.values() for d, grade in row.items() if grade > 0}
    ids = [chunk_id(name, document, 0) for document in sorted(relevant)]
    found = 0
    for start in range(0, len(ids), 256):
        found += len(await runtime.store.get(name, ids[start : start + 256]))
    if not found:
        raise InvalidGoldenSet(
            f"golden set {golden.name!r} is of another collection: none of its {len(relevant)} "
            f"relevant documents is in {name!r}; give the collection that was judged, or leave "
            "--collection out to index the set's own corpus"
        )
    missing = len(relevant) - found
    problems = [
        f"{missing} of {len(relevant)} relevant documents are not in collection {name!r}: they count "
        "as not found"
    ]
    info = await runtime.collections.describe(name)
    documents = await runtime.store.count(name, Eq("chunk_index", 0))
    index = Index(documents, info.chunks, 0, 0, 0)
    return spec, index, problems if missing else []


def _index(golden: GoldenSet, made: Indexed) -> Index:
    documents = (golden.documents or 0) - golden.empty - made.failures
    return Index(documents, made.chunks, made.tokens, 0, 0, made.truncated_tokens)


def _problems(made: Indexed) -> list[str]:
    told: list[str] = []
    if made.failures:
        told.append(
            f"{counted(made.failures, 'document', 'documents')} could not be indexed, not found by any "
            "search; the first: " + "; ".join(made.failed)
        )
    if made.truncated:
        told.append(
            f"{counted(made.truncated, 'document was', 'documents were')} cut at the model's limit, as "
            "--whole allows: "
            f"{made.truncated_tokens} tokens were lost"
        )
    return told
