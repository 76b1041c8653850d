"""A real HTTP server that answers as it is told, and a real gRPC server that takes upserts."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from qdrant_client import grpc as wire


@dataclass(frozen=True)
class Answer:
    """One response; `result` is wrapped as Qdrant does, `raw` is sent as it is."""

    status: int = 200
    result: Any = None
    headers: Sequence[tuple[str, str]] = ()
    raw: bytes | None = None
    delay: float = 0.0

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status == 200:
            return json.dumps({"result": self.result, "status": "ok", "time": 0.0}).encode()
        return json.dumps({"status": {"error": f"told to say {self.status}"}, "time": 0.0}).encode()


@dataclass
class HttpStub:
    """Answers in the order of `script`; the last answer is repeated."""

    script: list[Answer]
    seen: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(head[0].rsplit(" ", 1)[0])
        self.headers.append(headers)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await asyncio.sleep(answer.delay)
        body = answer.body()
        lines = [f"HTTP/1.1 {answer.status} X", "content-type: application/json"]
        lines += [f"{key}: {value}" for key, value in answer.headers]
        lines += [f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        return True


@asynccontextmanager
async def http_stub(*script: Answer) -> AsyncGenerator[HttpStub, None]:
    stub = HttpStub(list(script))
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()


class GrpcStub(wire.PointsServicer):
    """Keeps the upserts it gets; `failures` are raised first, one a call."""

    def __init__(self, failures: Sequence[grpc.StatusCode], status: Any) -> None:
        self.failures = list(failures)
        self.status = status
        self.upserts: list[Any] = []
        self.keys: list[str] = []
        self.port = 0

    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        if self.failures:
            await context.abort(self.failures.pop(0), "told to fail")
        self.upserts.append(request)
        self.keys.append(dict(context.invocation_metadata()).get("api-key", ""))
        result = wire.UpdateResult(operation_id=1, status=self.status)
        return wire.PointsOperationResponse(result=result, time=0.0)


@asynccontextmanager
async def grpc_stub(
    *failures: grpc.StatusCode, status: Any = wire.UpdateStatus.Completed
) -> AsyncGenerator[GrpcStub, None]:
    stub = GrpcStub(failures, status)
    server = grpc.aio.server()
    cast("Any", wire).add_PointsServicer_to_server(stub, server)
    stub.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield stub
    finally:
        await server.stop(None)
