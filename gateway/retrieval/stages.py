"""The stages between the store and the answer, all of one shape: a query and hits in, hits out."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.domain.documents import Chunk, chunk_id
from gateway.domain.mmr import mmr, scaled
from gateway.domain.order import settle
from gateway.domain.search import Hit
from gateway.errors import GatewayError
from gateway.ports import Reranker, VectorStore
from gateway.retrieval.query import RERANK, GroupScore, Mode, OnFailure, Query, Stage, noted
from gateway.together import together

_AT_ONCE: Final = 100 * 100
"""Comparisons of candidates that take about a millisecond; more of them leave the event loop."""


def rerank(reranker: Reranker) -> Stage:
    """Order the candidates by what a cross-encoder thinks of them; its score becomes theirs.

    Of several texts the first is the one that chunks are read against.
    """

    async def stage(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
        if query.rerank is None or not hits:
            return hits
        before, parts = _parts(query, hits)
        text = query.asks[0].text
        try:
            # each part by itself: what else is in a batch changes the last digits of a score
            ordered = await together([_reranked(reranker, text, part) for part in parts if part])
        except GatewayError as exc:
            if query.rerank.on_failure is OnFailure.ERROR:
                raise
            query.skipped.add(RERANK)
            query.warnings.append(_skipped(query, exc))
            return hits
        least = query.score_threshold
        kept = [hit for part in ordered for hit in part if least is None or hit.score >= least]
        return noted(RERANK, [*before, *kept])

    return stage


async def _reranked(reranker: Reranker, text: str, part: Sequence[Hit]) -> list[Hit]:
    """Return one part with the scores, and in the order, of a cross-encoder."""
    scores = await reranker.rerank(text, [_passage(hit) for hit in part])
    return settle(replace(hit, score=score) for hit, score in zip(part, scores, strict=True))


def _skipped(query: Query, error: GatewayError) -> str:
    text = f"reranking was skipped ({error.slug}): hits are in the order of {query.mode.value}"
    if query.score_threshold is None:
        return text
    return f"{text}, and score_threshold, which is meant for the reranker's scores, was not held"


def _parts(query: Query, hits: Sequence[Hit]) -> tuple[Sequence[Hit], list[Sequence[Hit]]]:
    """Return hits of earlier pages, which nobody reads, and the parts that a reranker orders.

    They are the same parts, whichever page is asked for. With a threshold there is only the first:
    what a worse part held would not show where it ends.
    """
    size = query.read
    if query.group is not None:
        return (), _parts_of_documents(query, hits)
    if query.score_threshold is not None:
        return (), [hits[:size]] if query.offset < size else []
    chosen = query.mmr is not None and query.offset < query.pool
    start = 0 if chosen else query.offset // size * size
    return hits[:start], [hits[at : at + size] for at in range(start, query.wanted, size)]


def _parts_of_documents(query: Query, hits: Sequence[Hit]) -> list[Sequence[Hit]]:
    """Part the hits so that the first part fills the first page, and each further one a page.

    In the first are the best hits, and of further documents the best one until they are enough; in
    the others the best hit of each document.
    """
    first, rest = hits[: query.read], hits[query.read :]
    documents = {hit.chunk.document_id for hit in first}
    further = _further(documents, rest)
    filling = max(0, query.limit - len(documents))
    parts = [[*first, *further[:filling]]]
    covered, further = len(documents) + len(further[:filling]), further[filling:]
    while covered < query.wanted and further and query.score_threshold is None:
        parts.append(further[: query.limit])
        covered, further = covered + len(parts[-1]), further[query.limit :]
    return list(parts)


def _further(documents: Collection[str], hits: Sequence[Hit]) -> list[Hit]:
    """Return the best hit of each document that is not among those given."""
    best: dict[str, Hit] = {}
    for hit in hits:
        if hit.chunk.document_id not in documents:
            best.setdefault(hit.chunk.document_id, hit)
    return list(best.values())


def _passage(hit: Hit) -> str:
    """Return what a reranker reads of a chunk: its title, then its text."""
    title = hit.chunk.title
    return hit.chunk.text if title is None else f"{title}\n{hit.chunk.text}"


async def diversify(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
    """Reorder the candidates so that the first ones do not all say the same (MMR); scores stay.

    Those that are left over follow in their order.
    """
    if query.mmr is None or not hits or (query.group is None and query.offset >= query.pool):
        return hits
    held = [(hit, hit.vector) for hit in hits[: query.pool] if hit.vector is not None]
    scores = [hit.score for hit, _ in held]
    plain = query.mode is Mode.DENSE and query.rerank is None and len(query.asks) == 1
    relevance = scores if plain else scaled(scores)
    vectors = np.stack([vector for _, vector in held])
    count = len(held) if query.group is not None else min(query.wanted, len(held))
    choosing = (relevance, vectors, query.mmr, count)
    if count * len(held) <= _AT_ONCE:
        order = mmr(*choosing)
    else:
        order = await asyncio.to_thread(mmr, *choosing)
    return noted("mmr", [*(held[index][0] for index in order), *hits[query.pool :]])


async def group(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
    """Gather the hits of each document, the best of them first, documents by their worth."""
    if query.group is None:
        return hits
    documents: dict[str, list[Hit]] = {}
    for hit in hits:
        documents.setdefault(hit.chunk.document_id, []).append(hit)
    groups = list(documents.values())
    if query.group.score is GroupScore.SUM:
        groups = _by_sum(documents, hits[: query.pool])
    page = groups[query.offset : query.wanted]
    return noted("group", [hit for members in page for hit in members[: query.group.size]])


def _by_sum(documents: Mapping[str, list[Hit]], candidates: Sequence[Hit]) -> list[list[Hit]]:
    """Order documents by the sum over their hits among the candidates, which is their score then.

    Those without one follow as they came. So a document is worth the same on every page, however deep
    the store was asked.
    """
    sums: dict[str, float] = {}
    for hit in candidates:
        sums[hit.chunk.document_id] = sums.get(hit.chunk.document_id, 0.0) + hit.score
    summed = [[replace(hit, score=total) for hit in documents[key]] for key, total in sums.items()]
    summed.sort(key=lambda members: (-members[0].score, members[0].id.int))
    return summed + [members for key, members in documents.items() if key not in sums]


async def page(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
    """Cut the page out of the hits; grouped ones are cut by document already."""
    return hits if query.group is not None else hits[query.offset : query.wanted]


def surround(store: VectorStore) -> Stage:
    """Read the chunks before and after each hit in its document, all in one call."""

    async def stage(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
        if not query.neighbours or not hits:
            return hits
        places = {hit.id: _around(hit.chunk, query.neighbours) for hit in hits}
        keys = {
            (hit.chunk.document_id, index): chunk_id(query.collection, hit.chunk.document_id, index)
            for hit in hits
            for index in places[hit.id]
        }
        found = await store.get(query.collection, list(dict.fromkeys(keys.values())))
        chunks = {stored.id: stored.chunk for stored in found}
        return [
            replace(
                hit,
                neighbours=tuple(
                    chunks[key]
                    for index in places[hit.id]
                    if (key := keys[hit.chunk.document_id, index]) in chunks
                    and chunks[key].content_hash == hit.chunk.content_hash
                ),
            )
            for hit in hits
        ]

    return stage


def _around(chunk: Chunk, reach: int) -> list[int]:
    """Return the places around a chunk that its document has."""
    first, last = max(0, chunk.index - reach), min(chunk.document_chunks - 1, chunk.index + reach)
    return [index for index in range(first, last + 1) if index != chunk.index]
