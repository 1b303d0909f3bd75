"""The lines of the results file: one JSON object per row, its fields stable and
documented in docs/results-format.md.

A line is kept in two parts, a head and the API's message: the journal stores the
message once, however many rows share it, and puts the same line together again byte for
byte.
"""

from __future__ import annotations

import msgspec

from claudebatch.core.domain import Failed, Failure, Outcome, Reply, Route, Succeeded, usd_text
from claudebatch.core.endings import Ending, ending


class _Error(msgspec.Struct):
    type: str
    status: int | None
    message: str
    request_id: str | None
    retryable: bool


class _Failed(msgspec.Struct):
    id: str
    status: str
    model: str
    requested_model: str
    route: str
    attempts: int
    latency_ms: int
    error: _Error
    simulated: bool | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_failed = msgspec.json.Decoder(_Failed).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def head(outcome: Outcome, *, simulated: bool = False) -> bytes:
    """The result line of *outcome* up to its message, without the closing brace."""
    call = outcome.call
    if isinstance(outcome, Succeeded):
        return answer_head(
            call.prompt.id,
            call.route,
            outcome.reply,
            ended=ending(outcome.reply),
            simulated=simulated,
        )
    return _failed_head(outcome, True if simulated else msgspec.UNSET)


def answer_head(
    id: str, route: Route, reply: Reply, *, ended: Ending, simulated: bool = False
) -> bytes:
    """As `head`, of the row *id* that *reply* answers, which *ended* so."""
    # A dictionary in the order of the documented fields, because users compare results
    # files by line. It is made for every row: a struct takes half as long again.
    members: dict[str, object] = {
        "id": id,
        "status": "succeeded",
        "text": reply.text,
        "model": reply.model,
        "requested_model": route.model,
        "route": route.rule,
        "source": reply.source,
        "ending": ended.label,
        "stop_reason": reply.stop_reason,
        # Byte for byte as the API sent it: new fields of the API reach the user at
        # once.
        "usage": msgspec.Raw(reply.raw_usage),
        # Null, not 0, without a known price: a sum over the file must not look
        # complete.
        "cost_usd": usd_text(reply.cost) if reply.cost_known else None,
        "attempts": reply.attempts,
        "latency_ms": reply.latency_ms,
        "request_id": reply.request_id,
    }
    # An ordinary line stays short, and its fields stable.
    if reply.fallback_reason is not None:
        members["fallback_reason"] = reply.fallback_reason
    if reply.replaced_characters:
        members["replaced_characters"] = reply.replaced_characters
    if reply.simulated or simulated:
        members["simulated"] = True
    return _encode(members)[:-1]


def failure_of(head: bytes) -> Failure | None:
    """The failure that the *head* of a failed row's line tells; None for a damaged
    one.
    """
    try:
        error = _failed(head + b"}").error
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return Failure(error.type, error.message, error.status, error.request_id, error.retryable)


def _failed_head(outcome: Failed, mark: bool | msgspec.UnsetType) -> bytes:
    call, failure = outcome.call, outcome.failure
    error = _Error(
        failure.type, failure.status, failure.message, failure.request_id, failure.retryable
    )
    return _encode(
        _Failed(
            id=call.prompt.id,
            status="failed",
            model=call.model,
            requested_model=call.route.model,
            route=call.route.rule,
            attempts=outcome.attempts,
            latency_ms=outcome.latency_ms,
            error=error,
            simulated=mark,
        )
    )[:-1]


def line(first: bytes, message: bytes | None) -> bytes:
    """The whole line, newline included, of a head and its message."""
    if message is None:
        return first + b"}\n"
    return b'%b,"message":%b}\n' % (first, message)


def parts(text: bytes) -> tuple[bytes, bytes | None]:
    """(head, message) of a whole line, as `line` put it together; raises `ValueError`
    for what is no such line.
    """
    members = _members(text)
    if bytes(members.get("status", b"")) != b'"succeeded"' or not text.endswith(b"}\n"):
        return text.removesuffix(b"}\n"), None
    message = bytes(members["message"])
    return text.removesuffix(b',"message":%b}\n' % message), message
