"""What each route reads and answers. A handler takes a request and returns a reply or refuses."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import numpy as np
import orjson

from gateway.modelserver import requests as asked
from gateway.modelserver.contract import Refusal, backend, empty
from gateway.modelserver.faults import Fault
from gateway.modelserver.metrics import CONTENT_TYPE
from gateway.modelserver.preparing import Reading, misread
from gateway.modelserver.replies import Cost, Reply, Rows, json_reply, openai_body
from gateway.modelserver.requests import Input
from gateway.modelserver.service import Service
from gateway.modelserver.spoiling import item_indexes, item_order, spoil, spoiled_ranks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its body uncopied, and the fault that plays on it."""

    path: str
    body: bytes
    content_type: str
    fault: Fault | None
    method: str


Handler: TypeAlias = Callable[[Request], Awaitable[Reply]]


class Routes:
    """The handlers over one service."""

    def __init__(self, service: Service) -> None:
        self._service: Final = service
        self._contract: Final = service.contract
        embed, openai = self.embed, self.openai
        self.table: Final[Mapping[str, Mapping[str, Handler]]] = {
            "/": {"GET": self.health, "POST": embed},
            "/health": {"GET": self.health},
            "/ping": {"GET": self.health},
            "/metrics": {"GET": self.metrics},
            "/info": {"GET": self.info},
            "/embed": {"POST": embed},
            "/invocations": {"POST": embed},
            "/embed_all": {"POST": self.embed_all},
            "/embed_sparse": {"POST": self.embed_sparse},
            "/predict": {"POST": self.predict},
            "/rerank": {"POST": self.rerank},
            "/similarity": {"POST": self.similarity},
            "/tokenize": {"POST": self.tokenize},
            "/decode": {"POST": self.decode},
            "/embeddings": {"POST": openai},
            "/v1/embeddings": {"POST": openai},
            "/vertex": {"POST": self.vertex},
        }

    async def health(self, _request: Request) -> Reply:
        if not await self._service.healthy():
            raise Refusal("Unhealthy", "unhealthy")
        return Reply(content_type=None)

    async def metrics(self, _request: Request) -> Reply:
        return Reply(body=self._service.metrics.render(), content_type=CONTENT_TYPE)

    async def info(self, _request: Request) -> Reply:
        return json_reply(self._contract.info())

    async def embed(self, request: Request) -> Reply:
        rows, cost = await self._embedded(self._read(request, asked.Embed), request)
        return json_reply(rows, cost.headers())

    async def openai(self, request: Request) -> Reply:
        body = self._read(request, asked.OpenAI)
        inputs, single = asked.inputs_of(body.input)
        reading = Reading(single, self._contract.auto_truncate, dimensions=body.dimensions)
        rows, cost = await self._rows(inputs, reading, request, normalize=True)
        base64 = body.encoding_format == "base64"
        if base64 and request.fault is not None and request.fault.kind == "big-endian":
            rows = rows.byteswap()
        order = item_order(len(rows), request.fault)
        answer = openai_body(
            [rows[place] for place in order],
            self._contract.openai_name,
            cost.tokens,
            base64=base64,
            indexes=item_indexes(len(rows), request.fault),
        )
        return json_reply(answer, cost.headers())

    async def embed_all(self, request: Request) -> Reply:
        body = self._read(request, asked.Embed)
        inputs, single = asked.inputs_of(body.inputs)
        if not self._service.engine.has_states:
            raise backend("`embed_all` is not available for this encoder", "model_type")
        reading = self._reading(body, single=single)
        self._counted(request, inputs, reading)
        done = await self._service.run("states", inputs, reading, request.fault)
        states: list[Rows] = [np.ascontiguousarray(rows) for rows in done.results]
        return json_reply(states, done.cost.headers())

    async def embed_sparse(self, request: Request) -> Reply:
        self._read(request, asked.Embed)
        raise backend("Model is not an embedding model with SPLADE pooling", "model_type")

    async def predict(self, request: Request) -> Reply:
        self._read(request, asked.Predict)
        raise backend("Model is not a classifier model", "model_type")

    async def similarity(self, request: Request) -> Reply:
        body = self._read(request, asked.Similarity)
        sentences = body.inputs.sentences
        if not sentences:
            text = "`inputs.sentences` cannot be empty"
            raise Refusal("Empty", text, "validation")
        parameters = body.parameters or asked.Parameters()
        inputs = [body.inputs.source_sentence, *sentences]
        reading = self._reading(parameters, single=False)
        rows, cost = await self._rows(inputs, reading, request, normalize=True)
        exact = rows.astype(np.float64)
        return json_reply((exact[1:] @ exact[0]).astype(np.float32), cost.headers())

    async def rerank(self, request: Request) -> Reply:
        body = self._read(request, asked.Rerank)
        return json_reply(*await self._ranks(body, request))

    async def tokenize(self, request: Request) -> Reply:
        body = self._read(request, asked.Tokenize)
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        if not texts:
            raise Refusal("Empty", "`inputs` cannot be empty", "validation")
        self._service.require_batch(len(texts))
        if not all(texts):
            raise empty()
        prompt = self._service.preparer.prompt(body.prompt_name)
        tokens = await self._service.engine.tokenize(
            misread([prompt + text for text in texts], request.fault),
            specials=body.add_special_tokens,
        )
        return Reply(body=orjson.dumps(tokens))

    async def decode(self, request: Request) -> Reply:
        body = self._read(request, asked.Decode)
        lists = asked.id_lists(body.ids)
        self._service.require_batch(len(lists))
        if not all(lists):
            raise empty("input_ids")
        decode = self._service.engine.decode
        return json_reply(
            [await decode(ids, skip_specials=body.skip_special_tokens) for ids in lists]
        )

    async def vertex(self, request: Request) -> Reply:
        body = self._read(request, asked.Vertex)
        return json_reply(
            {"predictions": [await self._prediction(one, request) for one in body.instances]}
        )

    async def _prediction(self, instance: object, request: Request) -> Any:
        """One instance: a rerank request if it can be read as one, else a request to embed."""
        try:
            return (await self._ranks(msgspec.convert(instance, asked.Rerank), request))[0]
        except msgspec.ValidationError:
            pass  # not a rerank request
        try:
            body = msgspec.convert(instance, asked.Embed)
        except msgspec.ValidationError as exc:
            raise Refusal("Validation", str(exc)) from exc
        return (await self._embedded(body, request))[0]

    async def _ranks(
        self, body: asked.Rerank, request: Request
    ) -> tuple[list[dict[str, Any]], tuple[Any, ...]]:
        if not body.texts:
            raise Refusal("Empty", "`texts` cannot be empty", "validation")
        self._service.metrics.requested("batch")
        reading = self._reading(body, single=False)
        done = await self._service.score(body.query, body.texts, reading, request.fault)
        scores = [
            float(np.float32(raw if body.raw_scores else _sigmoid(raw))) for raw in done.results
        ]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        ranks = [
            {"index": place}
            | ({"text": body.texts[place]} if body.return_text else {})
            | {"score": scores[place]}
            for place in order
        ]
        return spoiled_ranks(ranks, request.fault), done.cost.headers()

    async def _embedded(self, body: asked.Embed, request: Request) -> tuple[Rows, Cost]:
        inputs, single = asked.inputs_of(body.inputs)
        reading = self._reading(body, single=single)
        return await self._rows(inputs, reading, request, normalize=body.normalize)

    async def _rows(
        self, inputs: Sequence[Input], reading: Reading, request: Request, *, normalize: bool
    ) -> tuple[Rows, Cost]:
        self._counted(request, inputs, reading)
        rows, cost = await self._service.embed(
            inputs, reading, normalize=normalize, fault=request.fault
        )
        return rows if request.fault is None else spoil(rows, request.fault), cost

    def _counted(self, request: Request, inputs: Sequence[Input], reading: Reading) -> None:
        self._service.log.embeds(request.path, len(inputs))
        self._service.metrics.requested("single" if reading.single else "batch")

    def _reading(
        self, body: asked.Embed | asked.Parameters | asked.Rerank, *, single: bool
    ) -> Reading:
        known = self._contract.truncation_directions()
        left = asked.require_direction(body.truncation_direction, known)
        truncate = self._contract.auto_truncate if body.truncate is None else body.truncate
        name = None if isinstance(body, asked.Rerank) else body.prompt_name
        size = body.dimensions if isinstance(body, asked.Embed) else None
        return Reading(single, truncate, left, name, size)

    def _read(self, request: Request, into: type[T]) -> T:
        limit = self._contract.payload_limit
        return asked.read(request.body, request.content_type, limit, into)


def _sigmoid(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else 1.0 - 1.0 / (1.0 + math.exp(score))
