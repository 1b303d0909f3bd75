"""A server on this machine that takes what is posted to it, and answers as it is
told.
"""

from __future__ import annotations

import socket
import ssl
import threading
from types import TracebackType


class Receiver:
    """Reads one request per connection and sends *answer*; None: never answers."""

    def __init__(
        self,
        answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self._open: list[socket.socket] = []
        # Mutable, appended to by the thread.
        self.requests: list[tuple[str, bytes]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(60)
            if self._tls is not None:
                try:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                except OSError:
                    connection.close()
                    continue
            self._open.append(connection)
            self.requests.append(self._read(connection))
            if self._answer is not None:
                connection.sendall(self._answer)
                connection.close()

    @staticmethod
    def _read(connection: socket.socket) -> tuple[str, bytes]:
        data = b""
        while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = next(
            (
                int(line[15:])
                for line in text.splitlines()
                if line.lower().startswith("content-length:")
            ),
            0,
        )
        while len(body) < length and (more := connection.recv(65536)):
            body += more
        return text, body
