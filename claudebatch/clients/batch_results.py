"""The lines of a batch's results: each is read when it has come, and none is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from claudebatch.clients.response_body import MAX_BYTES
from claudebatch.core.message import BadAnswer

ResultKind: TypeAlias = Literal["succeeded", "errored", "canceled", "expired", "unknown"]
_EMPTY: dict[str, ResultKind] = {"canceled": "canceled", "expired": "expired"}


@dataclass(frozen=True, slots=True)
class BatchRowError:
    """Why one request of a batch failed; nothing was billed for it.
    `error_table.row_failed` makes an error of it.
    """

    type: str
    message: str
    code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of one request of a batch."""

    custom_id: str
    """Empty where the line does not tell."""
    kind: ResultKind
    """`unknown`: neither of the four that are documented, or not as documented."""
    type: str
    """As the API spells it."""
    message: bytes | None = None
    """Of `succeeded`: the Message, as it came; `core.message.parse_message` reads
    it.
    """
    error: BatchRowError | None = None
    """Of `errored`."""
    line: bytes = b""
    """Of `unknown`: all of it."""


class _ResultLine(msgspec.Struct, gc=False):
    custom_id: str
    result: msgspec.Raw


class _Outcome(msgspec.Struct, gc=False):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


_line = msgspec.json.Decoder(_ResultLine)
_outcome = msgspec.json.Decoder(_Outcome)
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class LineSplitter:
    """Cuts pieces of a body into lines; holds no more than the line that is coming."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: what has come of the next line.
        self._coming = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that *piece* completes, those that are blank left out."""
        # Cut where the bytes say so: a line end inside a JSON text is escaped.
        first, *others = piece.split(b"\n")
        self._coming += first
        if len(self._coming) > MAX_BYTES:
            raise BadAnswer(f"a line of the results is longer than {MAX_BYTES} bytes")
        for other in others:
            line = bytes(self._coming)
            self._coming = bytearray(other)
            if not line.isspace() and line:
                yield line

    def rest(self) -> bytes:
        """What stands behind the last line's end."""
        return bytes(self._coming).strip()


def read_result(line: bytes) -> BatchResult:
    """What *line* says; never raises, because one odd line must not hide the others."""
    try:
        found = _line.decode(line)
    except _NO_JSON:
        return BatchResult(custom_id="", kind="unknown", type="", line=line)
    try:
        outcome = _outcome.decode(found.result)
    except _NO_JSON:
        return BatchResult(custom_id=found.custom_id, kind="unknown", type="", line=line)
    known = _known(found.custom_id, outcome)
    return known or BatchResult(
        custom_id=found.custom_id, kind="unknown", type=outcome.type, line=line
    )


def is_whole(line: bytes) -> bool:
    """Whether *line* is one JSON value: a download that broke off ends in half of
    one.
    """
    try:
        _line.decode(line)
    except _NO_JSON:
        return False
    return True


def _known(custom_id: str, outcome: _Outcome) -> BatchResult | None:
    if outcome.type == "succeeded":
        message = bytes(outcome.message)
        if not message.startswith(b"{"):
            return None
        return BatchResult(
            custom_id=custom_id, kind="succeeded", type=outcome.type, message=message
        )
    if outcome.type == "errored":
        error = _error(outcome.error)
        if error is None:
            return None
        return BatchResult(custom_id=custom_id, kind="errored", type=outcome.type, error=error)
    if (kind := _EMPTY.get(outcome.type)) is None:
        return None
    return BatchResult(custom_id=custom_id, kind=kind, type=outcome.type)


def _error(value: Any) -> BatchRowError | None:
    """The error in an errored line: in the API's form, or flat, as some servers have
    it.
    """
    if not isinstance(value, dict):
        return None
    nested = value.get("error")
    inner = nested if isinstance(nested, dict) else value
    details = inner.get("details")
    kind = _text(inner.get("type"))
    if kind is None:
        return None
    return BatchRowError(
        kind,
        _text(inner.get("message")) or "",
        _text(details.get("error_code")) if isinstance(details, dict) else None,
        _text(value.get("request_id")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
