"""`/api/v1/collections`: make, look at, delete."""

from dataclasses import asdict
from typing import Final, Literal

from litestar import Controller, Response, delete, get, put
from litestar.di import NamedDependency, Provide

from gateway.api.bodies import AnyRequest, answer, read_json
from gateway.api.dependencies import provide_collection
from gateway.api.operations import DOC, SPACE_HEADER, Content, Operation, body, reply
from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionInfo, FieldType
from gateway.domain.lexical import Lexical
from gateway.errors import CollectionNotFound
from gateway.retrieval.collections import UNSET, Unset
from gateway.schemas.collections import (
    Collection,
    CollectionLexical,
    CollectionList,
    CollectionRequest,
    CollectionTuning,
    LexicalRequest,
)

_JSON: Final = (Content(model=Collection),)
_STORE: Final = (502, 503, 504)


class CollectionsController(Controller):
    path = "/api/v1/collections"
    tags = ("Collections",)
    dependencies = {"collection": Provide(provide_collection, sync_to_thread=False)}  # noqa: RUF012

    @get(opt={DOC: Operation("listCollections", reply(CollectionList), errors=_STORE)})
    async def list_all(self, runtime: NamedDependency[Runtime]) -> Response[bytes]:
        """List all collections, those of other models too."""
        found = await runtime.collections.list()
        return answer(CollectionList(collections=[_shown(i, runtime) for i in found]))

    @put(
        "/{name:str}",
        opt={
            DOC: Operation(
                "putCollection",
                {201: _JSON, 200: _JSON},
                body(CollectionRequest),
                errors=(400, 409, 413, 415, 507, *_STORE),
                space_header=True,
            )
        },
    )
    async def create(
        self,
        request: AnyRequest,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
    ) -> Response[bytes]:
        """Make a collection: 201, or 200 when the same one exists.

        `{}` takes the operator's defaults. An existing collection of another size, schema or model
        is a conflict; nothing of it changes.
        """
        asked = await read_json(request, CollectionRequest)
        existed = await _exists(runtime, collection)
        fields = {key: FieldType(kind) for key, kind in asked.filter_fields.items()}
        await runtime.collections.create(
            collection,
            size=asked.size,
            filter_fields=fields,
            lexical=_lexical(asked.lexical),
            coarse=asked.coarse,
        )
        found = await runtime.collections.describe(collection)
        return _answer(found, runtime, status=200 if existed else 201)

    @get(
        "/{name:str}",
        opt={
            DOC: Operation(
                "getCollection", reply(Collection), errors=(404, *_STORE), space_header=True
            )
        },
    )
    async def show(
        self,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
    ) -> Response[bytes]:
        """Describe one collection, with its exact number of chunks."""
        return _answer(await runtime.collections.describe(collection), runtime)

    @delete(
        "/{name:str}",
        status_code=204,
        opt={DOC: Operation("deleteCollection", {204: ()}, errors=(404, *_STORE))},
    )
    async def drop(
        self,
        collection: NamedDependency[str],
        runtime: NamedDependency[Runtime],
    ) -> None:
        """Delete a collection and all its chunks."""
        await runtime.collections.drop(collection)


async def _exists(runtime: Runtime, name: str) -> bool:
    try:
        await runtime.store.spec(name)
    except CollectionNotFound:
        return False
    return True


def _lexical(asked: LexicalRequest | bool | None) -> Lexical | Unset | Literal[True] | None:
    if isinstance(asked, LexicalRequest):
        return Lexical(**asked.model_dump(exclude={"folding"}))
    if asked is True:
        return True
    return None if asked is False else UNSET


def _answer(info: CollectionInfo, runtime: Runtime, *, status: int = 200) -> Response[bytes]:
    """Show one collection; the header names the space of its vectors, whatever is configured."""
    return answer(_shown(info, runtime), status=status, headers={SPACE_HEADER: info.spec.space})


def _shown(info: CollectionInfo, runtime: Runtime) -> Collection:
    spec = info.spec
    return Collection(
        name=spec.name,
        profile=spec.profile,
        space=spec.space,
        size=spec.size,
        filter_fields={key: kind.value for key, kind in spec.filter_fields.items()},
        lexical=None
        if spec.lexical is None
        else CollectionLexical.model_validate(asdict(spec.lexical)),
        coarse=spec.coarse,
        tuning=CollectionTuning.model_validate(asdict(spec.tuning)),
        calibrated=list(spec.calibrations),
        chunks=info.chunks,
        usable=spec.space == runtime.embedder.space,
    )
