"""The marks of prompt caching: at most four, those of an hour before those of five
minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.walk import Placed

MOST_MARKS = 4
_SHORT, _LONG = "5m", "1h"


def cache_marks(params: Mapping[str, Any], placed: Sequence[Placed]) -> Iterator[Problem]:
    """Marks that are too many, or in the wrong order."""
    marks = [
        (f"{where}.cache_control", _ttl(block["cache_control"]))
        for where, _, block, _ in placed
        if type(block.get("cache_control")) is dict
    ]
    automatic = params.get("cache_control")
    if type(automatic) is dict:
        # It marks the last block, which may be marked by hand as well.
        own = _last_mark(params)
        if own is None:
            marks.append(("cache_control", _ttl(automatic)))
        elif own != _ttl(automatic):
            yield Problem(
                "E401",
                f'"cache_control" asks for {_ttl(automatic)}, the last block for {own}',
                "write the same ttl, or keep one of them",
            )
    if len(marks) > MOST_MARKS:
        yield Problem(
            "E402",
            f'"{marks[MOST_MARKS][0]}" is one of {len(marks)} cache breakpoints',
            f"the API takes {MOST_MARKS}: keep those at the ends of what rows share",
        )
    yield from _order(marks)


def _order(marks: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    before: str | None = None
    for where, ttl in marks:
        if ttl == _SHORT:
            before = before or where
        elif before is not None:
            yield Problem(
                "E403",
                f'"{where}" of {_LONG} comes after "{before}" of {_SHORT}',
                f"the API wants {_LONG} before {_SHORT}, in the order tools, system, messages",
            )
            return


def _ttl(mark: Mapping[str, Any]) -> str:
    return _LONG if mark.get("ttl") == _LONG else _SHORT


def _last_mark(params: Mapping[str, Any]) -> str | None:
    """The time of the mark that the last block has of its own."""
    messages = params.get("messages") or [{}]
    content = messages[-1].get("content") if type(messages[-1]) is dict else None
    last = content[-1] if type(content) is list and content else {}
    mark = last.get("cache_control") if type(last) is dict else None
    return _ttl(mark) if type(mark) is dict else None
