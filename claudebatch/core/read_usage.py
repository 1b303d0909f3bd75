"""The counts in an answer's `usage`, and whether they say what it is billed.

| a count is | read as |
|---|---|
| `10` | 10 |
| `10.0`, `1e1` | 10: some gateways write all numbers with a point |
| `"10"` | 10: some JSON writers put whole numbers of 64 bits into quotes |
| null or missing | 0; not counted if it is `input_tokens` or `output_tokens` |
| all else (`-1`, `1.5`, `true`, `"ten"`, `[10]`, more than can be) | not counted |

Nor is it counted where no token of input is: every prompt has some. The same goes for
output if something was written. What was not counted costs its worst case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import Annotated, Any

import msgspec

from claudebatch.core.billed_kinds import BilledKind
from claudebatch.core.domain import BILLED_KINDS, Usage

# No answer counts fewer than none or more than a thousand windows; what says so may not
# become money.
_MOST = 10**9
_MOST_DIGITS = 10
_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


# Dearer than tokens: more would not fit where money is kept.
_MOST_SEARCHES = 10**6
_Searches = Annotated[int, msgspec.Meta(ge=0, le=_MOST_SEARCHES)]

_ALWAYS = ("input_tokens", "output_tokens")
"""Counts that the API never leaves out."""
_TEXTS = ("inference_geo", "speed", "service_tier")


class _OutputDetails(msgspec.Struct, gc=False, frozen=True):
    thinking_tokens: _Count | None = 0


def _usage_type() -> Any:
    """What is read of `usage`: the count of each billed kind, in its group, and
    more.
    """
    texts = [(name, str | None, None) for name in _TEXTS]
    details = ("output_tokens_details", _OutputDetails | None, _OutputDetails())
    groups: dict[str, list[tuple[str, Any, Any]]] = {"": [*texts, details]}
    for kind in BILLED_KINDS:
        count = (_Searches if kind.side == "searches" else _Count) | None
        default = None if kind.name in _ALWAYS else 0
        groups.setdefault(kind.group, []).append((kind.name, count, default))
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


_Usage = _usage_type()
_usage = msgspec.json.Decoder(_Usage)
_names = [field.name for field in fields(Usage)]
_declared = sorted(BILLED_KINDS, key=lambda kind: _names.index(kind.name))
_rests = [kind for kind in BILLED_KINDS if kind.rest_of]
# Read at once, in the order in which `Usage` declares them: this runs for every row,
# and names take three times as long.
_values = attrgetter(
    *map(_place, _declared),
    *_TEXTS,
    "output_tokens_details.thinking_tokens",
    *(kind.rest_of for kind in _rests),
)
_COUNTS, _FIELDS = len(_declared), len(_names)
_totals_and_parts = [
    (
        _FIELDS + number,
        # A rest has others in its group: never one value, always a tuple.
        itemgetter(*(n for n, one in enumerate(_declared) if one.group == kind.group)),
    )
    for number, kind in enumerate(_rests)
]


def read_usage(raw: bytes, *, wrote: bool) -> tuple[Usage, bool]:
    """The counts in *raw*, valid JSON, and whether they can be believed.

    *wrote*: the answer holds something that the model wrote.
    """
    try:
        read, sound = _usage.decode(raw), True
    except msgspec.ValidationError:
        # The usual decoder refuses a number that fits into no float, and the answer is
        # paid for.
        read, sound = _read_by_member(json.loads(raw, parse_int=_bounded))
    usage = _flat(read)
    sound = sound and read.input_tokens is not None and read.output_tokens is not None
    written = usage.output_tokens > 0 or not wrote
    return usage, sound and written and (usage.input_tokens > 0 or usage.total_input > 0)


def _read_by_member(members: object) -> tuple[Any, bool]:
    """As much of `usage` as is what it should be, and whether all that is billed is."""
    if not isinstance(members, Mapping):
        return _Usage(), False
    kept: dict[str, Any] = {}
    sound = True
    for kind in BILLED_KINDS:
        most = _MOST_SEARCHES if kind.side == "searches" else _MOST
        places = [(kind.group, kind.name, most)] + [("", kind.rest_of, _MOST)] * bool(kind.rest_of)
        for group, name, limit in places:
            value = _member(members, group, name)
            count = _whole(value, limit)
            if count is not None:
                (kept.setdefault(group, {}) if group else kept)[name] = count
            elif value is not None:
                sound = False
    for name in _TEXTS:
        if isinstance(members.get(name), str):
            kept[name] = members[name]
        elif members.get(name) is not None and name != "service_tier":
            # Place and speed make an answer dearer, its tier only cheaper.
            sound = False
    return msgspec.convert(kept, _Usage), sound


def _bounded(digits: str) -> int:
    # Python refuses to read some thousand of them.
    return int(digits) if len(digits) <= 2 * _MOST_DIGITS else -1


def _member(members: Mapping[str, Any], group: str, name: str) -> object:
    if not group:
        return members.get(name)
    inner = members.get(group)
    if isinstance(inner, Mapping):
        return inner.get(name)
    # False is no count: a group of another type may hide any.
    return None if inner is None else False


def _whole(value: object, most: int) -> int | None:
    """The count that *value* is; None where it is none beyond doubt."""
    match value:
        case bool():
            return None
        case int():
            count = value
        case float() if value.is_integer():
            count = int(value)
        case str() if value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
            count = int(value)
        case _:
            return None
    return count if 0 <= count <= most else None


def _flat(usage: Any) -> Usage:
    try:
        values = _values(usage)
        for total, parts in _totals_and_parts:
            if values[total] != sum(parts(values)):
                return _flat_by_name(usage)
    except (AttributeError, TypeError):  # a group, or a count in it, is null
        return _flat_by_name(usage)
    if None in values[:_COUNTS] or values[_FIELDS - 1] is None:
        return _flat_by_name(usage)
    return Usage(*values[:_FIELDS])


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
