"""A Messages API that means no good: whatever it may choose, it chooses to do harm."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One answer of the stranger's."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = "Fine"


Says = Callable[[str, dict[str, str]], Said]
"""(the request's last text, its headers) → the answer."""


def message(text: str, **more: Any) -> Json:
    """A message of the API's, which says *text*."""
    usage = {"input_tokens": 3, "output_tokens": 2}
    found = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "usage": usage,
    }
    return found | {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"} | more


def error(kind: str, text: str) -> Json:
    """An error of the API's."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}


class Stranger:
    """Serves what `says` says on 127.0.0.1 and remembers who asked for what."""

    def __init__(self) -> None:
        self.says: Says = lambda _text, _headers: Said(body=message("hi"))
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                stranger.asked.append((self.path, headers))
                said = stranger.says(_text(body), headers)
                data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status, said.reason)
                for name, value in {"content-type": "application/json", **said.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _text(body: bytes) -> str:
    try:
        content = json.loads(body)["messages"][-1]["content"]
    except (ValueError, LookupError, TypeError):
        return ""
    return content if isinstance(content, str) else json.dumps(content)
