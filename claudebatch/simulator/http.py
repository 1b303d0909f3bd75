"""The part of HTTP/1.1 that an API client uses: parsed requests, and heads of
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

MARK = b"x-claudebatch-simulated: 1\r\n"
JSON = b"application/json"

_REASONS = {529: "Overloaded"} | {status.value: status.phrase for status in HTTPStatus}


class BadRequest(Exception):
    """Bytes that are no valid HTTP request; the connection closes after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class TooLarge(BadRequest):
    """A body above the API's limit. It was read and discarded, because a client that is
    still sending would not see the answer.
    """

    def __init__(self) -> None:
        super().__init__(413, "Request exceeds the maximum size")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read in full. Header names are in lower case."""

    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool
    query: str = ""
    spool: BinaryIO | None = None
    """Its body, in an unnamed file, where that may be too long for the memory."""


def response_head(
    status: int, lines: bytes, *, content_type: bytes = JSON, length: int | None
) -> bytes:
    """The head of an answer; without *length* the body is chunked."""
    size = (
        b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    )
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\n"
        % (status, _REASONS.get(status, "Status").encode(), content_type)
        + size
        + MARK
        + lines
        + b"\r\n"
    )


def chunk(data: bytes) -> bytes:
    """*data* as one chunk of a chunked body; an empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
