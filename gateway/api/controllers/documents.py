"""`/api/v1/collections/{name}/documents`: ingest, look at, delete."""

from collections.abc import AsyncIterable, Iterable
from typing import Final

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery

from gateway.api.bodies import JSON, NDJSON, AnyRequest, answer, read_body, require_type
from gateway.api.deadline import STREAMED, TimeLimit
from gateway.api.dependencies import provide_collection, runtime_of
from gateway.api.exceptions import problem
from gateway.api.ingesting import SOURCE, Rows, documents_of, nothing_ingested, report_of
from gateway.api.operations import DOC, SPACE_HEADER, Content, Operation, ref, reply
from gateway.api.paths import tail_of
from gateway.api.streams import StreamedBody
from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import StoredChunk
from gateway.domain.search import Eq
from gateway.errors import DocumentNotFound
from gateway.ingest.items import ReadItem
from gateway.ingest.lines import ndjson_items
from gateway.ingest.report import IngestAborted
from gateway.schemas import documents as wire

_ONE: Final = "/{document_id:path}"
_ERRORS: Final = (404, 502, 503, 504)
_FLAG: Final = {"schema": {"type": "boolean", "default": False}}
_LIST: Final = {"type": "array", "minItems": 1, "items": ref(wire.DocumentBody)}
_INGEST: Final = Operation(
    "ingestDocuments",
    reply(wire.IngestResponse),
    (
        Content(schema={"oneOf": [_LIST, ref(wire.DocumentsBody)]}, refers=(wire.DocumentsBody,)),
        Content(
            NDJSON,
            schema={
                "type": "string",
                "description": "One document (as `DocumentBody`) per line, in UTF-8. `_id` is read "
                "like `id`, further keys join the metadata (BEIR). Read as it comes: the body may "
                "be as large as `server.max_stream_bytes`.",
                "examples": ['{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n'],
            },
        ),
    ),
    query={
        "create": {"description": "Make a missing collection with the defaults", **_FLAG},
        "allow_prompted": {
            "description": "Texts are meant as they are, although one begins with a prompt",
            **_FLAG,
        },
    },
    errors=(400, 404, 408, 409, 413, 415, 422, 502, 503, 504, 507),
    space_header=True,
)


class DocumentsController(Controller):
    path = "/api/v1/collections/{name:str}/documents"
    tags = ("Documents",)
    dependencies = {"collection": Provide(provide_collection, sync_to_thread=False)}  # noqa: RUF012

    @post(status_code=200, request_max_body_size=None, opt={DOC: _INGEST, STREAMED: True})
    async def ingest(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
        create: FromQuery[bool] = False,
        allow_prompted: FromQuery[bool] = False,
    ) -> Response[bytes]:
        """Store documents: split, embedded, acknowledged.

        Sending the same again changes nothing and embeds nothing; of a document that changed all old
        chunks go. Send JSON up to `server.max_body_bytes`, or a stream of NDJSON of any length. In
        JSON a document that cannot be read refuses the request, and nothing is stored. In a stream
        it fails alone and is reported by its line. A stream that ends early is a problem whose
        `report` says what was stored; so is a request of which every document failed. A missing
        collection is an error unless `create` is set.
        """
        kind = require_type(request, JSON, NDJSON)
        opened = runtime.collections.open_or_create if create else runtime.collections.open
        if kind == NDJSON:
            body = StreamedBody(request)
            body.require_size()
            items = ndjson_items(body.pieces(), source=SOURCE)
            return await _ingest(request, await opened(collection), items, body, allow_prompted)
        async with TimeLimit(runtime.settings.server):
            documents = documents_of(await read_body(request))
            return await _ingest(request, await opened(collection), documents, None, allow_prompted)

    @get(
        _ONE,
        opt={
            DOC: Operation(
                "getDocument", reply(wire.StoredDocument), errors=_ERRORS, space_header=True
            )
        },
    )
    async def show(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
    ) -> Response[bytes]:
        """Return a document as its stored chunks. The id may hold slashes, percent-encoded or not."""
        wanted = tail_of(request, "/documents/")
        spec = await runtime.store.spec(collection)
        shown = _shown(wanted, await _chunks(runtime, collection, wanted))
        return answer(shown, headers={SPACE_HEADER: spec.space})

    @delete(
        _ONE,
        status_code=204,
        opt={DOC: Operation("deleteDocument", {204: ()}, errors=_ERRORS, space_header=True)},
    )
    async def drop(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
    ) -> Response[None]:
        """Delete a document: all its chunks, also from a collection of another space."""
        wanted = tail_of(request, "/documents/")
        spec = await runtime.store.spec(collection)
        where = Eq("document_id", wanted)
        if not await runtime.store.count(collection, where):
            raise DocumentNotFound(collection, wanted)
        await runtime.store.delete(collection, where)
        return Response(None, headers={SPACE_HEADER: spec.space})


async def _ingest(
    request: AnyRequest,
    spec: CollectionSpec,
    items: AsyncIterable[ReadItem] | Iterable[ReadItem],
    body: StreamedBody | None,
    allow_prompted: bool,
) -> Response[bytes]:
    """Ingest and report; what stopped an ingest, or spoilt all of it, is answered with the report."""
    rows = Rows()
    try:
        report = await runtime_of(request).ingestor.ingest(
            spec, items, on_document=rows, allow_prompted=allow_prompted
        )
    except IngestAborted as exc:
        return problem(request, exc, report_of(exc.report, rows))
    failure = (body.cut if body is not None else None) or nothing_ingested(report)
    if failure is not None:
        return problem(request, failure, report_of(report, rows))
    return answer(report_of(report, rows), headers={SPACE_HEADER: spec.space})


async def _chunks(runtime: Runtime, collection: str, document_id: str) -> list[StoredChunk]:
    where = Eq("document_id", document_id)
    found = [chunk async for chunk in runtime.store.scroll(collection, where)]
    if not found:
        raise DocumentNotFound(collection, document_id)
    return sorted(found, key=lambda stored: stored.chunk.index)


def _shown(document_id: str, stored: list[StoredChunk]) -> wire.StoredDocument:
    first = stored[0]
    return wire.StoredDocument(
        id=document_id,
        title=first.chunk.title,
        source=first.chunk.source,
        metadata=dict(first.chunk.metadata),
        content_hash=first.chunk.content_hash,
        ingested_at=first.ingested_at,
        chunks=[
            wire.StoredChunk(
                id=str(one.id),
                index=one.chunk.index,
                text=one.chunk.text,
                span=(one.chunk.start, one.chunk.end),
                tokens=one.chunk.tokens,
                heading_path=list(one.chunk.heading_path),
            )
            for one in stored
        ],
    )
