"""System messages within a conversation: where they may stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.walk import Names


def system_turns(params: Mapping[str, Any], names: Names) -> Iterator[Problem]:
    """System messages that follow no user turn, or precede one."""
    before: Any = None
    # The first of the system messages in a row, which count as one.
    first: int | None = None
    for number, message in enumerate(params.get("messages") or ()):
        if message.get("role") != "system":
            if first is not None and message.get("role") != "assistant":
                yield _between(names, first)
            before, first = message, None
        # Without content it only sets options, and may stand anywhere.
        elif first is None and "content" in message:
            first = number
            if before is None or not _may_precede(before):
                yield Problem(
                    "E429",
                    f'"{names.messages}[{names.first + number}]" is a system message that '
                    f"follows no user message",
                    'put it right after one, or into "system"',
                )


def _between(names: Names, number: int) -> Problem:
    return Problem(
        "E430",
        f'"{names.messages}[{names.first + number}]" is a system message before a user message',
        'put it before an assistant\'s message or at the end, or into "system"',
    )


def _may_precede(message: Mapping[str, Any]) -> bool:
    if message.get("role") == "user":
        return True
    content = message.get("content")
    last = content[-1] if type(content) is list and content else {}
    kind = str(last.get("type"))
    # The result of a tool that the API ran stands in the assistant's own turn.
    return kind.endswith("_tool_result")
