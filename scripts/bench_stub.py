"""A stub of TEI over raw asyncio: right answers at no cost, or at the cost of a GPU, or with faults.

Run as a process of its own: python scripts/bench_stub.py PORT [--compute gpu] [--overloaded 0.05]
"""

import argparse
import asyncio
import json
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import cast

import bench_stub_compute as compute
import bench_stub_wire as wire

MAX_BATCH = 32


class Server:
    """What all connections share: permits, queue, faults and counters."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.permits: int = options.permits
        self.queue = compute.QUEUES[options.compute](options.max_batch_tokens)
        self.faults = compute.Faults(options.overloaded, options.reset, options.swapped)
        self.info = wire.info(self.permits, options.max_batch_tokens)
        self.in_flight = 0
        self.counts: dict[str, int] = {}

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def restart(self, seed: int) -> None:
        self.counts.clear()
        self.faults.restart(seed)


class Stub(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and content-length, one request at a time on a connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.server.count("connections")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            stop = end + 4 + wire.content_length(head)
            if len(self.buffer) < stop:
                return
            body = bytes(self.buffer[end + 4 : stop])
            del self.buffer[:stop]
            self.answer(head.split(b" ", 2)[1], body)

    def answer(self, path: bytes, body: bytes) -> None:
        read = wire.EMBED_ROUTES.get(path)
        if read is not None:
            self.embed(*read(body), native=path != b"/v1/embeddings")
        elif path == b"/info":
            self.transport.write(self.server.info)
        elif path == b"/tokenize":
            self.transport.write(wire.tokenized(body))
        elif path == b"/stats":
            self.transport.write(wire.response(json.dumps(self.server.counts).encode()))
        elif path.startswith(b"/restart/"):
            self.server.restart(int(path.rpartition(b"/")[2]))
            self.transport.write(wire.response(b""))
        else:
            self.transport.write(wire.response(b""))

    def embed(self, texts: list[str], encoding: str, *, native: bool) -> None:
        server, count = self.server, len(texts)
        server.count("requests")
        if count > MAX_BATCH:
            server.count("refused")
            self.transport.write(wire.too_many(count, native=native))
            return
        fault = server.faults.draw()
        if fault == "reset":
            server.count("reset")
            self.hang_up()
        elif fault == "overloaded" or server.in_flight + count > server.permits:
            server.count("overloaded" if fault == "overloaded" else "over permits")
            self.transport.write(wire.overloaded(native=native))
        else:
            server.count("texts", count)
            server.in_flight += count
            asked = list(reversed(texts)) if fault == "swapped" else texts
            message = wire.embeddings(asked, encoding, native=native)
            server.queue.put(wire.tokens(texts), count, partial(self.done, message, count))

    def done(self, message: bytes, count: int) -> None:
        self.server.in_flight -= count
        if not self.transport.is_closing():
            self.transport.write(message)

    def hang_up(self) -> None:
        """Reset the connection: the client sees ECONNRESET, not an orderly end."""
        sock = cast("socket.socket", self.transport.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def serve(options: argparse.Namespace) -> None:
    shared = Server(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Stub, shared), "127.0.0.1", options.port)
    async with server:
        await server.serve_forever()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--compute", choices=sorted(compute.QUEUES), default="zero")
    parser.add_argument("--max-batch-tokens", type=int, default=16_384)
    parser.add_argument("--permits", type=int, default=4096, help="max_concurrent_requests")
    parser.add_argument("--overloaded", type=float, default=0.0, help="share answered with 429")
    parser.add_argument("--reset", type=float, default=0.0, help="share of connections reset")
    parser.add_argument("--swapped", type=float, default=0.0, help="share with vectors exchanged")
    return parser.parse_args()


def new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """The fastest loop there is: the stub must not be what is measured."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop()) as runner:
        runner.run(serve(parse()))
