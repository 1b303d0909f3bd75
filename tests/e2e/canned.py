"""An API that answers every request with exactly the bytes it is given."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Canned:
    """*answer* makes (content type, body) of a request and of how many came before."""

    def __init__(self, answer: Callable[[dict[str, Any], int], tuple[str, bytes]]) -> None:
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        canned = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                asked = json.loads(self.rfile.read(size))
                with canned._lock:
                    before = canned.asked.total()
                    canned.asked[str(asked["messages"][-1]["content"])] += 1
                kind, body = answer(asked, before)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="canned")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> int:
        """How many requests came."""
        with self._lock:
            return self.asked.total()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


def message(asked: dict[str, Any], text: str = "Hello", **members: Any) -> bytes:
    """A message in answer to *asked*, its members changed."""
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 5},
        **members,
    }
    return json.dumps(whole).encode()
