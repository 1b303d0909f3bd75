"""What we read out of a Messages API answer: just the fields that decisions and the
results file need.

The body itself is kept as the bytes that came, so nothing the API says is lost, known
to us or not.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from claudebatch.core.billed_kinds import BilledKind
from claudebatch.core.domain import BILLED_KINDS, Reply, Usage


class BadAnswer(ValueError):
    """A body that is no complete message."""


# No answer counts fewer than none or more than a thousand windows; what says so may not
# become money.
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


# Dearer than tokens: more would not fit where money is kept.
_Searches = Annotated[int, msgspec.Meta(ge=0, le=10**6)]


class _OutputDetails(msgspec.Struct, gc=False, frozen=True):
    thinking_tokens: _Count | None = 0


def _usage_type() -> Any:
    """What is read of `usage`: the count of each billed kind, in its group, and
    more.
    """
    texts = [(name, str | None, None) for name in ("inference_geo", "speed", "service_tier")]
    details = ("output_tokens_details", _OutputDetails | None, _OutputDetails())
    groups: dict[str, list[tuple[str, Any, Any]]] = {"": [*texts, details]}
    for kind in BILLED_KINDS:
        count = (_Searches if kind.side == "searches" else _Count) | None
        groups.setdefault(kind.group, []).append((kind.name, count, 0))
        if kind.rest_of:
            groups[""].append((kind.rest_of, _Count | None, 0))
    plain = groups.pop("")
    for group, counts in groups.items():
        made = msgspec.defstruct(group, counts, gc=False, frozen=True)
        # One empty group for all answers without it: never None but where the API says
        # so.
        plain.append((group, made | None, made()))
    return msgspec.defstruct("_Usage", plain, gc=False)


def _place(kind: BilledKind) -> str:
    return f"{kind.group}.{kind.name}" if kind.group else kind.name


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    type: str
    model: str
    content: list[_Block]
    usage: msgspec.Raw
    stop_reason: str | None = None


_message = msgspec.json.Decoder(_Message)
_usage = msgspec.json.Decoder(_usage_type())
_names = [field.name for field in fields(Usage)]
_declared = sorted(BILLED_KINDS, key=lambda kind: _names.index(kind.name))
_counts = attrgetter(*map(_place, _declared))
_total_and_parts = [
    attrgetter(kind.rest_of, *(_place(one) for one in BILLED_KINDS if one.group == kind.group))
    for kind in BILLED_KINDS
    if kind.rest_of
]


def parse_message(body: bytes, **facts: Any) -> Reply:
    """The reply that *body*, one whole Messages API message, amounts to; raises
    `BadAnswer`.

    *facts* are fields of `Reply` that the body does not tell: request_id, latency_ms,
    limits, …
    """
    try:
        if b"\n" in body or b"\r" in body:  # laid out by a gateway: a result is one line
            body = msgspec.json.format(body, indent=-1)
        message = _message.decode(body)
        usage = _usage.decode(message.usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the body is no message: {error}") from error
    if message.type != "message":
        raise BadAnswer(f'the body is a "{message.type}", not a message')
    raw_usage = bytes(message.usage)
    return Reply(
        message=body,
        model=message.model,
        text=_text(message.content),
        stop_reason=message.stop_reason,
        usage=_flat(usage),
        raw_usage=raw_usage,
        **facts,
    )


def _text(content: list[_Block]) -> str:
    if len(content) == 1:  # nearly always: joining would copy it
        block = content[0]
        return (block.text or "") if block.type == "text" else ""
    return "".join(block.text for block in content if block.type == "text" and block.text)


def _flat(usage: Any) -> Usage:
    try:
        counts = _counts(usage)
        for read in _total_and_parts:
            total, *parts = read(usage)
            if total != sum(parts):
                return _flat_by_name(usage)
        thinking = usage.output_tokens_details.thinking_tokens or 0
    except (AttributeError, TypeError):  # a group, or a count in it, is null
        return _flat_by_name(usage)
    if None in counts:
        return _flat_by_name(usage)
    # In the order in which `Usage` declares them: this runs for every row, and names
    # take three times as long.
    declared = (*counts, usage.inference_geo, usage.speed, usage.service_tier, thinking)
    return Usage(*declared)


def _flat_by_name(usage: Any) -> Usage:
    """As `_flat`, of counts that are null or that do not add up."""
    counts = {kind.name: _count(usage, kind) for kind in BILLED_KINDS}
    for kind in BILLED_KINDS:
        if kind.rest_of:
            # Without a breakdown every write is a 5-minute one; with one, the total
            # still rules.
            group = [one.name for one in BILLED_KINDS if one.group == kind.group]
            others = sum(counts[name] for name in group if name != kind.name)
            counts[kind.name] = max(0, (getattr(usage, kind.rest_of) or 0) - others)
    details = usage.output_tokens_details
    return Usage(
        **counts,
        inference_geo=usage.inference_geo,
        speed=usage.speed,
        service_tier=usage.service_tier,
        thinking_tokens=(details.thinking_tokens or 0) if details else 0,
    )


def _count(usage: Any, kind: BilledKind) -> int:
    group = getattr(usage, kind.group) if kind.group else usage
    return (getattr(group, kind.name) or 0) if group is not None else 0
