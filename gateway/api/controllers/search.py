"""`/api/v1/collections/{name}/search`."""

from typing import Final

from litestar import Controller, Response, post
from litestar.di import NamedDependency, Provide

from gateway.api.bodies import AnyRequest, read_json
from gateway.api.controllers.openai import SPACE_HEADER
from gateway.api.dependencies import provide_collection
from gateway.api.filters import parse_filter
from gateway.api.operations import DOC, Operation, body, reply
from gateway.api.renaming import renamed
from gateway.api.search_wire import search_json
from gateway.retrieval.pipeline import Retriever, SearchOptions
from gateway.schemas.search import SearchRequest, SearchResponse

_SEARCH: Final = Operation(
    "search",
    reply(SearchResponse),
    body(SearchRequest),
    errors=(400, 404, 409, 413, 415, 502, 503, 504),
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
        """Rank the stored chunks of a collection against one text."""
        asked = await read_json(request, SearchRequest)
        with renamed({"text": "query"}):
            found = await retriever.search(collection, asked.query, _options(asked))
        content = search_json(found, explain=asked.explain).encode()
        headers = {SPACE_HEADER: found.explanation.space}
        return Response(content, media_type="application/json", headers=headers)


def _options(asked: SearchRequest) -> SearchOptions:
    return SearchOptions(
        task=asked.task,
        limit=asked.limit,
        offset=asked.offset,
        where=None if asked.filter is None else parse_filter(asked.filter),
        score_threshold=asked.score_threshold,
        by_document=asked.group_by == "document",
        exact=asked.exact,
        allow_prompted=asked.allow_prompted,
        truncate=asked.truncate,
    )
