"""`/api/v1/embed`: texts in, vectors of the served space out."""

from typing import Final

import orjson
from litestar import Controller, Response, post
from litestar.di import NamedDependency

from gateway.api.bodies import JSON, AnyRequest, read_json
from gateway.api.openai_wire import require_count
from gateway.api.operations import DOC, SPACE_HEADER, Operation, body, reply
from gateway.api.renaming import renamed
from gateway.api.vectors_wire import vectors_array
from gateway.bootstrap import Runtime
from gateway.embedding.language import script_warning
from gateway.embedding.texts import Input
from gateway.schemas.embed import EmbedRequest, EmbedResponse

_EMBED: Final = Operation(
    "embed",
    reply(EmbedResponse),
    body(EmbedRequest),
    errors=(400, 413, 415, 502, 503, 504, 507),
    space_header=True,
)


class EmbedController(Controller):
    path = "/api/v1/embed"
    tags = ("Embedding",)

    @post(status_code=200, opt={DOC: _EMBED})
    async def embed(
        self, request: AnyRequest, runtime: NamedDependency[Runtime]
    ) -> Response[bytes]:
        """Embed texts for a task. Documents may carry a title."""
        asked = await read_json(request, EmbedRequest)
        require_count(len(asked.inputs), runtime.settings.server.max_inputs, field="inputs")
        embedder = runtime.embedder
        inputs = [Input(item.text, item.title) for item in asked.inputs]
        size = asked.size if asked.size is not None else runtime.settings.size
        with renamed({"text": "inputs[{index}].text", "title": "inputs[{index}].title"}):
            found = await embedder.embed(
                asked.task,
                inputs,
                size=size,
                allow_prompted=asked.allow_prompted,
                truncate=asked.truncate,
            )
        facts = {
            "model": embedder.profile.name,
            "task": asked.task,
            "size": found.vectors.shape[1],
            "space": embedder.space,
            "tokens": found.tokens,
            "truncated": found.truncated,
            "warnings": sorted(
                {w for i in inputs if (w := script_warning(embedder.profile, i.text))}
            ),
        }
        vectors = vectors_array(found.vectors, asked.encoding_format)
        content = b'{"vectors":' + vectors + b"," + orjson.dumps(facts)[1:]
        return Response(content, media_type=JSON, headers={SPACE_HEADER: embedder.space})
