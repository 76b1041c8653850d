"""TEI's HTTP contract as a raw ASGI application: routes, bodies, headers and scripted faults."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np

from tests.support.tei_contract import Contract, Model, Permits, Refusal, Rows
from tests.support.tei_faults import Fault, FaultScript

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Body: TypeAlias = Mapping[str, Any]

FAULT_ERRORS = {
    "overloaded": ("Overloaded", "Model is overloaded"),
    "unhealthy": ("Unhealthy", "unhealthy"),
    "backend": ("Backend", "Backend error: CUDA error: out of memory"),
    "tokenizer": ("Tokenizer", "tokenizer error the text cannot be tokenised"),
}
OPENAI_PATHS = ("/v1/embeddings", "/embeddings")
PUBLIC_PATHS = ("/health", "/ping", "/")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `headers` come after the content type."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Log:
    """What a server saw: (path, inputs) of each embedding request, and bodies' largest size."""

    requests: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    paths: list[str] = field(default_factory=list[str])
    largest_body: int = 0


class Rejection(Exception):
    """A request that axum refuses before TEI sees it: a plain text."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.reply = Reply(status, text.encode(), "text/plain; charset=utf-8", headers)


class TEIApp:
    """One server. `abort` of the scope's `tei.transport` extension resets its connection."""

    def __init__(self, model: Model, faults: FaultScript, latency: float = 0.0) -> None:
        self.contract: Contract = model.contract
        self.permits = Permits(model.contract)
        self.log = Log()
        self.latency = latency
        self._model = model
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        body = await _read(receive)
        self.log.paths.append(path)
        self.log.largest_body = max(self.log.largest_body, len(body))
        fault = self._faults.take(path)
        if fault is not None and fault.kind == "reset":
            scope["extensions"]["tei.transport"]["abort"]()
            return
        reply = await self._answer(scope, path, body, fault)
        await _write(send, reply, half=fault is not None and fault.kind == "half-body")

    async def _answer(self, scope: Scope, path: str, body: bytes, fault: Fault | None) -> Reply:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        try:
            if fault is not None:
                await self._refuse(fault)
            if scope["method"] == "GET":
                await asyncio.sleep(fault.seconds if fault and fault.kind == "slow" else 0.0)
                return self._get(path, headers)
            return await self._post(path, headers, body, fault)
        except Refusal as exc:
            return self._error(path, exc)
        except Rejection as exc:
            return exc.reply

    async def _refuse(self, fault: Fault) -> None:
        if fault.kind == "bad-gateway":
            raise Rejection(502, "<html><h1>502 Bad Gateway</h1></html>")
        if fault.kind == "retry-after":
            raise Rejection(429, "slow down", (("retry-after", "1"),))
        if fault.kind == "not-json":
            raise Rejection(200, "ok")
        if fault.kind in FAULT_ERRORS:
            raise Refusal(*FAULT_ERRORS[fault.kind])

    def _get(self, path: str, headers: Mapping[str, str]) -> Reply:
        if path in PUBLIC_PATHS:
            return Reply(content_type=None)
        self._authorise(headers)
        if path != "/info":
            return Reply(404, content_type=None)
        return Reply(body=json.dumps(self.contract.info()).encode())

    async def _post(
        self, path: str, headers: Mapping[str, str], body: bytes, fault: Fault | None
    ) -> Reply:
        self._authorise(headers)
        if path not in (*OPENAI_PATHS, "/embed", "/tokenize"):
            return Reply(404, content_type=None)
        request = self._parse(headers, body)
        if path == "/tokenize":
            return await self._tokenize(request)
        key = "input" if path in OPENAI_PATHS else "inputs"
        texts = _texts(request, key)
        self.log.requests.append((path, len(texts)))
        self._model.require_batch(len(texts))
        await self.permits.acquire(len(texts))
        try:
            await asyncio.sleep(fault.seconds if fault and fault.kind == "slow" else self.latency)
            return await self._embed(path, request, texts, fault)
        finally:
            await self.permits.release(len(texts))

    def _authorise(self, headers: Mapping[str, str]) -> None:
        key = self.contract.api_key
        if key is not None and headers.get("authorization") != f"Bearer {key}":
            raise Unauthenticated

    def _parse(self, headers: Mapping[str, str], body: bytes) -> Body:
        if len(body) > self.contract.payload_limit:
            raise Rejection(413, "Failed to buffer the request body: length limit exceeded")
        if not headers.get("content-type", "").startswith("application/json"):
            raise Rejection(415, "Expected request with `Content-Type: application/json`")
        try:
            parsed: object = msgspec.json.decode(body)
        except msgspec.DecodeError as exc:
            raise Rejection(400, f"Failed to parse the request body as JSON: {exc}") from exc
        if not isinstance(parsed, dict):
            raise Rejection(422, "Failed to deserialize the JSON body into the target type")
        return cast("Body", parsed)

    async def _tokenize(self, request: Body) -> Reply:
        texts = _texts(request, "inputs")
        self._model.require_batch(len(texts))
        tokens = await self._model.tokenize(texts, bool(request.get("add_special_tokens", True)))
        return Reply(body=json.dumps([[asdict(token) for token in row] for row in tokens]).encode())

    async def _embed(
        self, path: str, request: Body, texts: list[str], fault: Fault | None
    ) -> Reply:
        openai = path in OPENAI_PATHS
        truncate = None if openai else request.get("truncate")
        rows, tokens = await self._model.embed(
            texts,
            truncate=self.contract.auto_truncate if truncate is None else truncate,
            normalize=True if openai else request.get("normalize", True),
            dimensions=request.get("dimensions"),
        )
        if fault is not None:
            rows = _spoil(rows, fault)
        if openai:
            body = self._openai_body(request, rows, tokens, fault)
        else:
            body = json.dumps(_floats(rows)).encode()
        costs = {"type": "gpu+optimized", "characters": sum(map(len, texts)), "tokens": tokens}
        headers = tuple((f"x-compute-{name}", str(value)) for name, value in costs.items())
        return Reply(body=body, headers=headers)

    def _openai_body(self, request: Body, rows: Rows, tokens: int, fault: Fault | None) -> bytes:
        as_base64 = request.get("encoding_format") == "base64"
        vectors: list[Any] = (
            [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows]
            if as_base64
            else _floats(rows)
        )
        data = [
            {"object": "embedding", "embedding": vector, "index": index}
            for index, vector in enumerate(vectors)
        ]
        if fault is not None and fault.kind == "reversed":
            data.reverse()
        if fault is not None and fault.kind == "same-index":
            data = [item | {"index": 0} for item in data]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = {"object": "list", "data": data, "model": self.contract.model_id, "usage": usage}
        return json.dumps(body).encode()

    def _error(self, path: str, refusal: Refusal) -> Reply:
        status, text, kind = self.contract.status(refusal.error_type), str(refusal), refusal
        if path in OPENAI_PATHS:
            body: dict[str, Any] = {"message": text, "code": status, "type": kind.error_type}
        else:
            body = {"error": text, "error_type": kind.error_type}
        return Reply(status, json.dumps(body).encode())


class Unauthenticated(Rejection):
    """401 with an empty body, as TEI answers every wrong key."""

    def __init__(self) -> None:
        super().__init__(401, "")
        self.reply = Reply(401, content_type=None)


def _texts(request: Body, key: str) -> list[str]:
    value = request.get(key)
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise Rejection(
            422,
            "Failed to deserialize the JSON body into the target type: "
            f"{key}: data did not match any variant of untagged enum Input",
        )
    return cast("list[str]", items)


def _spoil(rows: Rows, fault: Fault) -> Rows:
    rows = rows.copy()
    match fault.kind:
        case "null":
            rows[len(rows) // 2] = np.nan
        case "zero":
            rows[len(rows) // 2] = 0.0
        case "short-rows":
            rows = np.ascontiguousarray(rows[:, : rows.shape[1] // 2])
        case "too-few":
            rows = rows[:-1]
        case _:
            pass
    return rows


def _floats(rows: Rows) -> list[list[float | None]]:
    return [[float(x) if np.isfinite(x) else None for x in row] for row in rows]


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _write(send: Send, reply: Reply, *, half: bool) -> None:
    headers = [(b"content-length", str(len(reply.body)).encode())]
    if reply.content_type is not None:
        headers.append((b"content-type", reply.content_type.encode()))
    headers += [(name.encode(), value.encode()) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = reply.body[: len(reply.body) // 2] if half else reply.body
    await send({"type": "http.response.body", "body": body, "more_body": half})
