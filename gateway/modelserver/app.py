"""The server as a raw ASGI application: routing, keys, faults, and callers that hang up."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from hmac import compare_digest
from typing import Any, Final, TypeAlias

import msgspec

from gateway.errors import ConfigurationError
from gateway.modelserver.contract import Refusal, backend
from gateway.modelserver.faults import Fault, FaultScript, parse_faults
from gateway.modelserver.log import Log
from gateway.modelserver.replies import Reply, error_reply, json_reply
from gateway.modelserver.requests import Rejection, read
from gateway.modelserver.routes import Handler, Request, Routes
from gateway.modelserver.service import Service
from gateway.modelserver.spoiling import refuse

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_LOG: Final = logging.getLogger("gateway.modelserver")
OPENAI_PATHS: Final = ("/v1/embeddings", "/embeddings")
PUBLIC: Final = frozenset({("GET", path) for path in ("/", "/health", "/ping", "/metrics")})
CONTROL: Final = "/_faults"


class ControlBody(msgspec.Struct, frozen=True):
    """What `POST /_faults` takes: a specification, and the seed it is drawn from."""

    faults: str
    seed: int | None = None


class TEIApp:
    """One server. `abort` of the scope's `tei.transport` extension resets its connection."""

    def __init__(self, service: Service, faults: FaultScript, *, control: bool = False) -> None:
        """`control` opens the route `/_faults`."""
        self.service: Final = service
        self._contract: Final = service.contract
        self._faults: Final = faults
        self._table: Final[dict[str, Mapping[str, Handler]]] = dict(Routes(service).table)
        if control:
            self._table[CONTROL] = dict.fromkeys(("GET", "POST", "DELETE"), self._control)

    @property
    def log(self) -> Log:
        return self.service.log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive, self._contract.payload_limit)
        path = str(scope["path"])
        self.log.arrived(path, len(body))
        fault = None if path == CONTROL else self._faults.take(path)
        if fault is not None and fault.kind in {"reset", "stall"}:
            await self._break(scope, receive, fault)
            return
        answering = asyncio.create_task(self._answer(scope, path, body, fault))
        if not await _outlives(answering, receive):
            return
        await _write(send, answering.result(), fault, bodiless=scope["method"] == "HEAD")

    async def _break(self, scope: Scope, receive: Receive, fault: Fault) -> None:
        """Reset the connection, at once or after a silence that the caller may end."""
        if fault.kind == "stall" and not await _outlives(
            asyncio.create_task(asyncio.sleep(fault.seconds)), receive
        ):
            return
        scope["extensions"]["tei.transport"]["abort"]()

    async def _answer(self, scope: Scope, path: str, body: bytes, fault: Fault | None) -> Reply:
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        method = "GET" if scope["method"] == "HEAD" else str(scope["method"])
        openai = path in OPENAI_PATHS
        try:
            if fault is not None:
                refuse(fault)
                if method == "GET" and fault.kind == "slow":
                    await asyncio.sleep(fault.seconds)
            handler = self._find(method, path, headers)
            kind = headers.get("content-type", b"").decode("latin-1")
            return await handler(Request(path, body, kind, fault, method))
        except Rejection as exc:
            return exc.reply
        except Refusal as exc:
            self.service.metrics.failed(exc.cause)
            return error_reply(self._contract, exc, openai=openai)
        except Exception as exc:  # noqa: BLE001 - TEI answers 424 and never 500
            _log_failure(exc)
            failed = backend(f"inference failed: {type(exc).__name__}")
            return error_reply(self._contract, failed, openai=openai)

    def _find(self, method: str, path: str, headers: Mapping[str, bytes]) -> Handler:
        """Return the handler of a request that may use it: 404, then 401, then 405."""
        handlers = self._table.get(path)
        if handlers is None:
            raise Rejection(404)
        if (method, path) not in PUBLIC and not self._knows(headers.get("authorization", b"")):
            raise Rejection(401)
        if method not in handlers:
            allowed = ",".join(name for one in handlers for name in _methods(one))
            raise Rejection(405, "", ("allow", allowed))
        return handlers[method]

    def _knows(self, authorization: bytes) -> bool:
        key = self._contract.api_key
        return key is None or compare_digest(authorization, f"Bearer {key}".encode())

    async def _control(self, request: Request) -> Reply:
        """Show, set or heal the faults."""
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            limit = self._contract.payload_limit
            asked = read(request.body, request.content_type, limit, ControlBody)
            try:
                faults = parse_faults(asked.faults)
                self.service.require_playable(faults)
            except ConfigurationError as exc:
                raise Rejection(422, exc.message) from exc
            self._faults.replace(faults, seed=asked.seed)
        return json_reply(self._faults.state() | {"counters": self.log.proofs()})


async def _body(receive: Receive, limit: int) -> bytes:
    """Read a body; of one over the limit only so much is kept that it is seen to be over."""
    body = bytearray()
    while True:
        message = await receive()
        if len(body) <= limit:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _outlives(work: asyncio.Task[Any], receive: Receive) -> bool:
    """Wait for work while the caller waits too; when the caller hangs up, cancel it."""
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        gone.cancel()
        work.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _write(send: Send, reply: Reply, fault: Fault | None, *, bodiless: bool) -> None:
    if fault is not None and fault.kind == "slow-first-byte":
        await asyncio.sleep(fault.seconds)
    half = fault is not None and fault.kind == "half-body"
    headers = [(b"content-length", str(len(reply.body)).encode())]
    if reply.content_type is not None:
        headers.append((b"content-type", reply.content_type.encode()))
    headers += [(name.encode(), value.encode()) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = reply.body[: len(reply.body) // 2] if half else reply.body
    body = b"" if bodiless else body
    await send({"type": "http.response.body", "body": body, "more_body": half})


def _log_failure(exc: Exception) -> None:
    """Say where it happened and not its message, which may hold a text."""
    where = "".join(traceback.format_tb(exc.__traceback__))
    _LOG.error("a request failed with %s\n%s", type(exc).__name__, where)


def _methods(method: str) -> tuple[str, ...]:
    return ("GET", "HEAD") if method == "GET" else (method,)
