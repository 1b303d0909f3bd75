"""Calls of tools and their results: ids, and that each has the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.walk import Names
from claudebatch.models.api_rules.wording import shown

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ID_FIX = "use letters without accents, digits, _ and -, in the call and in its result"


def tool_calls(params: Mapping[str, Any], names: Names) -> Iterator[Problem]:
    """What the calls and results of the conversation break."""
    # The calls that wait for their results, with their places; the turn they are in.
    open_calls: dict[str, str] = {}
    answered: set[str] = set()
    seen: set[str] = set()
    turn = ""
    for number, message in enumerate(params.get("messages") or ()):
        role = message.get("role")
        # Messages of one role in a row are one turn; a system message belongs to the
        # turn before it.
        if role not in (turn, "system"):
            if role == "assistant":
                yield from _unanswered(open_calls, answered)
                open_calls, answered = {}, set()
            turn = role
        content = message.get("content")
        for place, block in enumerate(content if type(content) is list else ()):
            where = f"{names.messages}[{names.first + number}].content[{place}]"
            kind = block.get("type")
            if kind == "tool_use" and role == "assistant":
                yield from _call(where, block.get("id"), open_calls, seen)
            elif kind == "tool_result" and role == "user":
                yield from _result(where, block.get("tool_use_id"), open_calls, answered)
    # A turn of calls at the very end asks for their continuation, if for anything.
    if turn != "assistant":
        yield from _unanswered(open_calls, answered)


def _call(where: str, call: Any, open_calls: dict[str, str], seen: set[str]) -> Iterator[Problem]:
    if type(call) is not str or not _ID.fullmatch(call):
        yield Problem("E418", f'"{where}.id" is {shown(call)}', _ID_FIX)
    elif call in seen:
        yield Problem("E419", f'"{where}.id" repeats {shown(call)}', "give each call its own id")
    seen.add(call)
    open_calls[call] = where


def _result(
    where: str, call: Any, open_calls: Mapping[str, str], answered: set[str]
) -> Iterator[Problem]:
    if type(call) is str and call not in open_calls:
        yield Problem(
            "E420",
            f'"{where}" is the result of {shown(call)}, which the turn before it does not call',
            "put it right after the assistant's message with that call",
        )
    elif call in answered:
        yield Problem(
            "E421", f'"{where}" is a second result of {shown(call)}', "give each call one result"
        )
    answered.add(call)


def _unanswered(open_calls: Mapping[str, str], answered: set[str]) -> Iterator[Problem]:
    for call, where in open_calls.items():
        if call not in answered:
            yield Problem(
                "E422",
                f'"{where}" calls a tool ({shown(call)}) without a result in the next user message',
                'add {"type": "tool_result", "tool_use_id": …} there',
            )
