"""`/api/v1/collections/{name}/search`: one search, or a batch of them."""

import json
from collections.abc import Sequence
from typing import Any, Final

from litestar import Controller, Response, post
from litestar.di import NamedDependency, Provide

from gateway.api.bodies import JSON, AnyRequest, checked, read_json
from gateway.api.conversation import request_id_of
from gateway.api.dependencies import provide_collection
from gateway.api.exceptions import body_of, note, read
from gateway.api.operations import DOC, SPACE_HEADER, Operation, body, reply
from gateway.api.renaming import rename, renamed
from gateway.api.search_wire import names_of, options_of, search_answer, search_json, texts_of
from gateway.errors import GatewayError, InvalidRequest
from gateway.retrieval.asking import Search
from gateway.retrieval.explanation import SearchResult
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Rerank
from gateway.schemas.search import (
    SearchBatchAnswer,
    SearchBatchRequest,
    SearchBatchResponse,
    SearchRequest,
    SearchResponse,
)

_ERRORS: Final = (400, 404, 409, 413, 415, 502, 503, 504)
_SEARCH: Final = Operation(
    "search", reply(SearchResponse), body(SearchRequest), errors=_ERRORS, space_header=True
)
_BATCH: Final = Operation(
    "searchBatch",
    reply(SearchBatchResponse),
    body(SearchBatchRequest),
    errors=_ERRORS,
    space_header=True,
)


class SearchController(Controller):
    path = "/api/v1/collections/{name:str}/search"
    tags = ("Search",)
    dependencies = {"collection": Provide(provide_collection, sync_to_thread=False)}  # noqa: RUF012

    @post(status_code=200, opt={DOC: _SEARCH})
    async def search(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        retriever: NamedDependency[Retriever],
    ) -> Response[bytes]:
        """Rank the stored chunks of a collection against one text, or against several."""
        asked = await read_json(request, SearchRequest)
        with renamed(names_of(asked)):
            trace_id = request_id_of(request.scope)
            options = options_of(asked, retriever.usual_rerank, trace_id=trace_id)
            found = await retriever.search(collection, texts_of(asked), options)
        content = search_json(found, explain=asked.explain).encode()
        headers = {SPACE_HEADER: found.explanation.space}
        return Response(content, media_type=JSON, headers=headers)

    @post("/batch", status_code=200, opt={DOC: _BATCH})
    async def batch(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        retriever: NamedDependency[Retriever],
    ) -> Response[bytes]:
        """Answer several searches of a collection; one that cannot be served spoils no other.

        The status is 200 when the collection can be searched: look at each answer.
        """
        asked = _each((await read_json(request, SearchBatchRequest)).searches)
        searches = _searches(asked, retriever.usual_rerank, request_id_of(request.scope))
        found = await retriever.search_many(collection, searches)
        answers = [_answer(request, each, one) for each, one in zip(found, asked, strict=True)]
        content = SearchBatchResponse(answers=answers).model_dump_json(exclude_none=True).encode()
        headers = {SPACE_HEADER: retriever.space}
        return Response(content, media_type=JSON, headers=headers)


def _each(items: Sequence[Any]) -> list[SearchRequest | InvalidRequest]:
    """Read each search of a batch as the body of one is read; in place of a bad one, the reason."""
    asked: list[SearchRequest | InvalidRequest] = []
    for item in items:
        try:
            asked.append(checked(json.dumps(item).encode(), SearchRequest, whole="the search"))
        except InvalidRequest as exc:
            asked.append(exc)
    return asked


def _searches(
    asked: Sequence[SearchRequest | InvalidRequest], usual: Rerank, trace_id: str
) -> list[Search | GatewayError]:
    """Return the searches of a batch; in place of one that makes no sense, the reason."""
    searches: list[Search | GatewayError] = []
    for one in asked:
        if isinstance(one, InvalidRequest):
            searches.append(one)
            continue
        try:
            searches.append(Search(texts_of(one), options_of(one, usual, trace_id=trace_id)))
        except GatewayError as exc:
            searches.append(exc)
    return searches


def _answer(
    request: AnyRequest,
    found: SearchResult | GatewayError,
    asked: SearchRequest | InvalidRequest,
) -> SearchBatchAnswer:
    read_well = isinstance(asked, SearchRequest)
    if isinstance(found, SearchResult):
        explain = read_well and asked.explain
        return SearchBatchAnswer(result=search_answer(found, explain=explain))
    if isinstance(found, InvalidRequest) and read_well:
        rename(found, names_of(asked))
    failure = read(found)
    note(found, failure)
    return SearchBatchAnswer(problem=body_of(request, failure))
