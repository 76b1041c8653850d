"""What searches ask: their texts checked, and embedded by as few calls as their tasks allow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.collections import CollectionSpec
from gateway.embedding.embedder import Embedder
from gateway.embedding.language import script_warning
from gateway.embedding.refusals import renamed
from gateway.embedding.results import Embeddings
from gateway.embedding.texts import Input
from gateway.errors import GatewayError, InvalidRequest
from gateway.retrieval.options import MOST_QUERIES, SearchOptions, mode_of
from gateway.retrieval.query import Ask, Mode
from gateway.together import together


@dataclass(frozen=True, slots=True)
class Search:
    """One search: several texts are searched each, and their ranks fused."""

    texts: tuple[str, ...]
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class Asked:
    """The texts of a search with their vectors, the tokens read, and what to say of them.

    `seconds` are those of the whole call, which the searches of a batch share. `tokens` are the
    search's own; in a shared call they are counted only where the search explains itself, else 0.
    """

    asks: tuple[Ask, ...]
    tokens: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class _Call(NamedTuple):
    """What texts must have in common to be embedded together."""

    task: str
    allow_prompted: bool
    truncate: bool


class Asking:
    """Turns the texts of searches into vectors: one call of the encoder for each task."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def ask(
        self, spec: CollectionSpec, searches: Sequence[Search | GatewayError]
    ) -> list[Asked | GatewayError]:
        """Return what each search asks, or why it cannot; an error that is given comes back.

        A search for words alone is checked and costs no embedding.
        """
        answers: dict[int, Asked | GatewayError] = {}
        calls: dict[_Call, dict[int, Search]] = {}
        for place, search in enumerate(searches):
            if isinstance(search, GatewayError):
                answers[place] = search
                continue
            try:
                words = self._checked(spec, search)
            except GatewayError as exc:
                answers[place] = exc
                continue
            if words is not None:
                answers[place] = words
            else:
                how = search.options
                call = _Call(how.task, how.allow_prompted, how.truncate)
                calls.setdefault(call, {})[place] = search
        embedding = [self._embedded(spec, *each) for each in calls.items()]
        for found in await together(embedding):
            answers |= found
        return [answers[place] for place in range(len(searches))]

    def _checked(self, spec: CollectionSpec, search: Search) -> Asked | None:
        """Return what a search for words asks; None: it needs vectors."""
        texts, options = search.texts, search.options
        if not 1 <= len(texts) <= MOST_QUERIES:
            raise InvalidRequest(
                f"a search has 1-{MOST_QUERIES} texts, got {len(texts)}", field="queries"
            )
        self._embedder.profile.prompt(options.task)
        if mode_of(spec, options.mode) is not Mode.LEXICAL:
            return None
        self._embedder.require_inputs(
            options.task, [Input(text) for text in texts], allow_prompted=options.allow_prompted
        )
        return Asked(tuple(map(Ask, texts)))

    async def _embedded(
        self, spec: CollectionSpec, call: _Call, searches: dict[int, Search]
    ) -> dict[int, Asked | GatewayError]:
        started = time.perf_counter()
        texts = [text for search in searches.values() for text in search.texts]
        try:
            made = await self._embedder.embed(
                call.task,
                [Input(text) for text in texts],
                size=spec.size,
                allow_prompted=call.allow_prompted,
                truncate=call.truncate,
                partial=True,
            )
            seconds = time.perf_counter() - started
            tokens = await self._tokens(call, list(searches.values()), made)
        except GatewayError as exc:
            return dict.fromkeys(searches, exc)
        answers: dict[int, Asked | GatewayError] = {}
        first = 0
        for (place, search), read in zip(searches.items(), tokens, strict=True):
            answers[place] = self._own(search, made, first, read, seconds)
            first += len(search.texts)
        return answers

    def _own(
        self, search: Search, made: Embeddings, first: int, tokens: int, seconds: float
    ) -> Asked | GatewayError:
        """Return what one search has of a shared call: the rows from `first` on."""
        end = first + len(search.texts)
        for index in range(first, end):
            if index in made.refused:
                refused = made.refused[index]
                return renamed(refused, index - first) if first else refused
        scripts = [script_warning(self._embedder.profile, text) for text in search.texts]
        cut = [
            f"the query was cut: the model read {each.tokens} tokens of it, {each.lost} are lost"
            for each in made.truncated
            if first <= each.index < end
        ]
        asks = tuple(map(Ask, search.texts, made.rows[first:end]))
        return Asked(asks, tokens, seconds, (*dict.fromkeys(filter(None, scripts)), *cut))

    async def _tokens(self, call: _Call, searches: Sequence[Search], made: Embeddings) -> list[int]:
        """Return the tokens read of each search; an encoder tells those of a call in sum."""
        if len(searches) == 1:
            return [made.tokens]
        cut = {each.index: each.tokens for each in made.truncated}
        wanted: dict[int, str] = {}
        first, places = 0, list[range]()
        for search in searches:
            places.append(range(first, first + len(search.texts)))
            first += len(search.texts)
            if search.options.explain:
                sound = (i for i in places[-1] if i not in made.refused and i not in cut)
                wanted |= {i: search.texts[i - places[-1].start] for i in sound}
        rendered = [self._embedder.profile.render(call.task, text) for text in wanted.values()]
        counted = await self._embedder.encoder.count_tokens(rendered) if rendered else []
        counts = cut | dict(zip(wanted, counted, strict=True))
        return [sum(counts.get(index, 0) for index in place) for place in places]
