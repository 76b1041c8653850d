"""A server of OpenAI's chat API on a loopback port: it asks about the passage it is shown."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class ChatStub:
    """Serves while entered. `failures` are statuses answered first; `requests` what was asked."""

    def __init__(self, *, key: str | None = None, failures: tuple[int, ...] = ()) -> None:
        self.key = key
        self.failures = list(failures)
        self.requests: list[dict[str, Any]] = []
        self.answer: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.requests.append(body)
                status, reply = stub.reply(self.path, self.headers.get("authorization"), body)
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def reply(self, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "scripted"}}
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": f"no route {path}"}}
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {"error": {"message": "wrong key"}}
        passage = body["messages"][-1]["content"].rpartition("Passage:\n")[2]
        answer = (
            self.answer
            if self.answer is not None
            else f'"What about {" ".join(passage.split()[:4])}?"'
        )
        return 200, {"choices": [{"message": {"role": "assistant", "content": answer}}]}
