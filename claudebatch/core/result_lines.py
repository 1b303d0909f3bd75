"""The lines of the results file: one JSON object per row, its fields stable and
documented in docs/results-format.md.

A line is kept in parts: a head, the place of its row in the input, and the API's
message. The journal stores the message once, however many rows share it, and the place
with the row, which may move; it puts the same line together again byte for byte.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from claudebatch.core.answer_form import AnswerReading
from claudebatch.core.domain import (
    Failure,
    Outcome,
    Reply,
    Route,
    Source,
    Succeeded,
    Via,
    usd_text,
)
from claudebatch.core.endings import LABELS, Ending, ending


class _Error(msgspec.Struct):
    type: str
    status: int | None
    message: str
    request_id: str | None
    retryable: bool


class _Succeeded(msgspec.Struct, kw_only=True, gc=False):
    # In the order of the documented fields, because users compare results files by
    # line.
    id: str | msgspec.Raw
    status: str = "succeeded"
    text: str
    model: str
    requested_model: str
    route: str
    source: Source
    via: Via | None
    ending: str
    stop_reason: str | None
    usage: msgspec.Raw
    """Byte for byte as the API sent it: its new fields reach the user at once."""
    cost_usd: str | None
    """Null, not 0, without a known price: a sum must not look complete."""
    attempts: int
    latency_ms: int
    request_id: str | None
    # An ordinary line stays short, and its fields stable.
    parsed: msgspec.Raw | msgspec.UnsetType | None = msgspec.UNSET
    invalid: str | msgspec.UnsetType = msgspec.UNSET
    fallback_reason: str | msgspec.UnsetType = msgspec.UNSET
    replaced_characters: int | msgspec.UnsetType = msgspec.UNSET
    simulated: bool | msgspec.UnsetType = msgspec.UNSET


class _Failed(msgspec.Struct, kw_only=True):
    id: str | msgspec.Raw
    status: str
    model: str
    requested_model: str
    route: str
    via: Via = "live"
    attempts: int
    latency_ms: int
    error: _Error
    simulated: bool | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_failed = msgspec.json.Decoder(_Failed).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def head(
    outcome: Outcome, *, reading: AnswerReading | None = None, simulated: bool = False
) -> bytes:
    """The result line of *outcome* up to its message, without the closing brace;
    *reading* is what its answer holds, where the row wants a form.
    """
    call = outcome.call
    if isinstance(outcome, Succeeded):
        return answer_head(
            call.prompt.id,
            call.route,
            outcome.reply,
            ended=ended(outcome.reply, reading),
            reading=reading,
            number_id=call.prompt.has_number_id,
            simulated=simulated,
        )
    return failed_head(
        call.prompt.id,
        call.route,
        call.model,
        outcome.failure,
        attempts=outcome.attempts,
        latency_ms=outcome.latency_ms,
        number_id=call.prompt.has_number_id,
        simulated=simulated,
    )


def answer_head(
    id: str,
    route: Route,
    reply: Reply,
    *,
    ended: Ending,
    reading: AnswerReading | None = None,
    number_id: bool = False,
    simulated: bool = False,
) -> bytes:
    """As `head`, of the row *id* that *reply* answers, which *ended* so; *number_id*:
    the id is a number in the input.
    """
    # A struct: a dictionary takes half as long again, and this runs for every row.
    answer = _Succeeded(
        id=msgspec.Raw(id.encode()) if number_id else id,
        text=reply.text,
        model=reply.model,
        requested_model=route.model,
        route=route.rule,
        source=reply.source,
        via=reply.via,
        ending=LABELS[ended],
        stop_reason=reply.stop_reason,
        usage=msgspec.Raw(reply.raw_usage),
        cost_usd=usd_text(reply.cost) if reply.cost_known else None,
        attempts=reply.attempts,
        latency_ms=reply.latency_ms,
        request_id=reply.request_id,
    )
    if reading is not None:
        answer.parsed = None if reading.value is None else msgspec.Raw(reading.value)
        if reading.fault:
            answer.invalid = reading.fault
    if reply.fallback_reason is not None:
        answer.fallback_reason = reply.fallback_reason
    if reply.replaced_characters:
        answer.replaced_characters = reply.replaced_characters
    if reply.simulated or simulated:
        answer.simulated = True
    return _encode(answer)[:-1]


def ended(reply: Reply, reading: AnswerReading | None) -> Ending:
    """How *reply* ended, of which *reading* says what it holds of the wanted form."""
    return Ending.INVALID if reading is not None and reading.fault else ending(reply)


def failure_of(head: bytes) -> Failure | None:
    """The failure that the *head* of a failed row's line tells; None for a damaged
    one.
    """
    try:
        error = _failed(head + b"}").error
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return Failure(error.type, error.message, error.status, error.request_id, error.retryable)


def failed_head(
    id: str,
    route: Route,
    model: str,
    failure: Failure,
    *,
    attempts: int,
    latency_ms: int,
    via: Via = "live",
    number_id: bool = False,
    simulated: bool = False,
) -> bytes:
    """As `head`, of the row *id* that *model* was the last to fail."""
    error = _Error(
        failure.type, failure.status, failure.message, failure.request_id, failure.retryable
    )
    return _encode(
        _Failed(
            id=msgspec.Raw(id.encode()) if number_id else id,
            status="failed",
            model=model,
            requested_model=route.model,
            route=route.rule,
            via=via,
            attempts=attempts,
            latency_ms=latency_ms,
            error=error,
            simulated=True if simulated else msgspec.UNSET,
        )
    )[:-1]


def place(line: int, file: str, columns: bytes) -> bytes:
    """The members of a result line that say where its row stands in the input, and what
    its *columns* (one JSON object, or nothing) are.
    """
    found = b',"line":%d,"file":%b' % (line, _file(file))
    return b'%b,"input":%b' % (found, columns) if columns else found


# A million lines are of a few files.
_file = lru_cache(maxsize=64)(_encode)


def line(first: bytes, message: bytes | None, where: bytes = b"") -> bytes:
    """The whole line, newline included, of a head, its message and its `place`."""
    if message is None:
        return b"%b%b}\n" % (first, where)
    return b'%b%b,"message":%b}\n' % (first, where, message)


class LineParts(NamedTuple):
    """The parts of a result line."""

    head: bytes
    message: bytes | None
    place: bytes


def parts(text: bytes) -> LineParts:
    """The parts of a whole line, as `line` put it together; raises `ValueError` for
    what is no such line.
    """
    members = _members(text)
    message = None
    first = text.removesuffix(b"}\n")
    if bytes(members.get("status", b"")) == b'"succeeded"' and first != text:
        message = bytes(members["message"])
        first = text.removesuffix(b',"message":%b}\n' % message)
    head = first
    for name in ("input", "file", "line"):
        if name in members:
            head = head.removesuffix(b',"%b":%b' % (name.encode(), bytes(members[name])))
    return LineParts(head, message, first.removeprefix(head))
