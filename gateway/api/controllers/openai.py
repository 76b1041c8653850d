"""`/v1`: what OpenAI's clients speak."""

from typing import Final

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from gateway.api.bodies import JSON, AnyRequest, Written, answer, read_body, require_type
from gateway.api.dependencies import runtime_of
from gateway.api.openai_errors import as_openai
from gateway.api.openai_wire import (
    inputs_of,
    model_names,
    read_call,
    task_of,
    texts_of,
    write_reply,
)
from gateway.api.operations import DOC, SPACE_HEADER, Operation, body, reply
from gateway.api.paths import tail_of
from gateway.bootstrap import Runtime
from gateway.errors import UnknownModel
from gateway.schemas.openai import EmbeddingsRequest, EmbeddingsResponse, ModelCard, ModelList

_EMBEDDINGS: Final = Operation(
    "createEmbeddings",
    reply(EmbeddingsResponse),
    body(EmbeddingsRequest),
    errors=(400, 404, 413, 415, 502, 503, 504, 507),
    space_header=True,
)


class OpenAIController(Controller):
    path = "/v1"
    tags = ("OpenAI",)
    exception_handlers = {Exception: as_openai}  # noqa: RUF012  # pyright: ignore[reportUnknownVariableType]

    @post("/embeddings", status_code=200, opt={DOC: _EMBEDDINGS})
    async def embeddings(self, request: AnyRequest) -> Written:
        """Embed texts, in OpenAI's shape.

        Say whether the texts are queries or documents by a model alias
        (`embeddinggemma-300m:query`) or by `input_type`: it is never guessed. Vectors are unit
        float32. Token ids are refused.
        """
        require_type(request, JSON)
        call = read_call(await read_body(request))
        runtime = runtime_of(request)
        settings, embedder = runtime.settings, runtime.embedder
        task = task_of(call, embedder.profile, settings.server.default_task)
        texts = texts_of(call, settings.server.max_inputs)
        size = call.dimensions if call.dimensions is not None else settings.size
        found = await embedder.embed(
            task,
            inputs_of(call, texts),
            size=size,
            allow_prompted=bool(call.allow_prompted),
            truncate=bool(call.truncate),
        )
        return Written(
            write_reply(call.model, found, call.encoding_format), {SPACE_HEADER: embedder.space}
        )

    @get("/models", opt={DOC: Operation("listModels", reply(ModelList))})
    async def models(self, runtime: NamedDependency[Runtime]) -> Response[bytes]:
        """List the served model, its aliases by task, and its hub ids."""
        names = model_names(runtime.embedder.profile)
        return answer(ModelList(data=[ModelCard(id=name) for name in names]))

    @get("/models/{model:path}", opt={DOC: Operation("getModel", reply(ModelCard), errors=(404,))})
    async def model(
        self, request: AnyRequest, runtime: NamedDependency[Runtime]
    ) -> Response[bytes]:
        """Describe one name of the list."""
        name = tail_of(request, "/models/")
        if name not in model_names(runtime.embedder.profile):
            raise UnknownModel(
                f"model {name!r} is not served here; GET /v1/models lists all names", field="model"
            )
        return answer(ModelCard(id=name))
