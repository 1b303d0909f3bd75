"""Checks of a line's conversation, so that the Messages API can read it.

The checks look for typos and for other APIs' formats. The content of a block is passed
through as it is, because the API knows more about blocks than any list here could.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.typos import meant
from claudebatch.inputs.problems import MAX_PROBLEMS, shown, wrong
from claudebatch.models.api_rules import BETA_OF, beta_fix

ROLES = ("user", "assistant", "system")
# The API's own limit: beyond it every attempt is a 400.
MAX_MESSAGES = 100_000

# The types of the API's reference. A type beyond them is nearly always OpenAI's or a
# typo, and would cost a 400 for each row.
BLOCKS = frozenset(
    {
        "text",
        "image",
        "document",
        "search_result",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_result",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "container_upload",
    }
)

_SHAPE = 'write {"role": "user", "content": "…"}'
_OPENAI_ROLES = frozenset({"developer", "tool", "function"})
_OPENAI_LINE = (
    'OpenAI messages go into an OpenAI batch line: {"custom_id": …, "url": '
    '"/v1/chat/completions", "body": …}'
)
_OPENAI_BLOCKS = frozenset(
    {"image_url", "input_text", "input_image", "output_text", "input_audio", "input_file"}
)


def user_turn(text: str) -> list[Any]:
    """The conversation that consists of one question."""
    return [{"role": "user", "content": text}]


def split_system(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    """The leading system messages and the rest: the API wants the former in `system`,
    users write them here.
    """
    leading = 0
    while leading < len(messages) and _role(messages[leading]) == "system":
        leading += 1
    return messages[:leading], messages[leading:]


def joined_system(messages: Sequence[Any]) -> Any:
    """The `system` parameter with the content of well-formed system *messages*, and no
    text added.
    """
    # One message stays a string: as a block it would have another digest than the same
    # prompt with a `system` field, and be paid for twice.
    if len(messages) == 1:
        return messages[0]["content"]
    return [block for message in messages for block in _as_blocks(message["content"])]


def check_messages(name: str, value: Any, *, first: int = 0, checked: bool = True) -> list[Problem]:
    """The problems of the conversation *value*, whose first message is number *first*
    of the line's list. Those that are not *checked* need no more than a form that can
    be read.
    """
    if not isinstance(value, list) or not value:
        return [wrong(name, "a list of at least one user message", value, _SHAPE)]
    if len(value) > MAX_MESSAGES:
        return [
            Problem(
                "E324",
                f'"{name}" holds {len(value)} messages, the API takes {MAX_MESSAGES:,}',
                "shorten it",
            )
        ]
    found = _problems(name, value, first) if checked else _formless(name, value, first)
    return list(islice(found, MAX_PROBLEMS))


def check_system_messages(name: str, messages: Sequence[Any]) -> list[Problem]:
    """The problems of system messages before the conversation."""
    found = (
        problem
        for n, message in enumerate(messages)
        for problem in _message(f"{name}[{n}]", message, last=False)
    )
    return list(islice(found, MAX_PROBLEMS))


def check_system_blocks(name: str, blocks: list[Any]) -> list[Problem]:
    """The problems of a system prompt that is written as blocks."""
    return list(islice(_blocks(name, "system", blocks), MAX_PROBLEMS))


def _formless(name: str, messages: list[Any], first: int) -> Iterator[Problem]:
    """What no part of this program could read."""
    for number, message in enumerate(messages):
        where = f"{name}[{first + number}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            yield wrong(where, "an object with a role", message, _SHAPE)
            continue
        content = message.get("content", "")
        blocks = content if isinstance(content, list) else []
        if not isinstance(content, str | list) or not all(map(_is_block, blocks)):
            yield wrong(f"{where}.content", "a string or a list of blocks", content, _SHAPE)


def _is_block(block: Any) -> bool:
    return isinstance(block, dict) and isinstance(block.get("type"), str)


def _problems(name: str, messages: list[Any], first: int) -> Iterator[Problem]:
    last = len(messages) - 1
    for number, message in enumerate(messages):
        yield from _message(f"{name}[{first + number}]", message, last=number == last)


def _message(where: str, message: Any, *, last: bool) -> Iterator[Problem]:
    if not isinstance(message, dict):
        yield wrong(where, "an object with role and content", message, _SHAPE)
        return
    role = message.get("role")
    if role not in ROLES:
        foreign = isinstance(role, str) and role in _OPENAI_ROLES
        yield wrong(
            f"{where}.role", "user, assistant or system", role, _OPENAI_LINE if foreign else _SHAPE
        )
    # OpenAI's `name` or `tool_calls` would be refused by the API for each row.
    for key in sorted(message.keys() - {"role", "content"}):
        yield Problem(
            "E325",
            f'"{where}" has the unknown field {shown(key)}',
            beta_fix(key) if key in BETA_OF else "a message has role and content only",
        )
    yield from _content(
        f"{where}.content", role, message.get("content"), may_be_empty=last and role == "assistant"
    )


def _content(where: str, role: Any, content: Any, *, may_be_empty: bool) -> Iterator[Problem]:
    if not isinstance(content, str | list):
        yield wrong(where, "a string or a list of blocks", content, _SHAPE)
    # A last, empty message of the assistant is a prefill of nothing, which the API
    # takes.
    elif not may_be_empty and (not content or (isinstance(content, str) and content.isspace())):
        yield Problem(
            "E326",
            f'"{where}" is empty',
            "the API refuses empty messages: give it text, or remove it",
        )
    elif isinstance(content, list):
        yield from _blocks(where, role, content)


def _blocks(where: str, role: Any, blocks: list[Any]) -> Iterator[Problem]:
    for number, block in enumerate(blocks):
        problem = _block(f"{where}[{number}]", role, block)
        if problem is not None:
            yield problem


def _block(where: str, role: Any, block: Any) -> Problem | None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        return wrong(where, 'an object with a "type"', block, 'write {"type": "text", "text": "…"}')
    if kind not in BLOCKS:
        return _unknown_block(where, kind)
    if role == "system" and kind != "text":
        return Problem(
            "E327", f'"{where}" is of type {kind}', "a system prompt holds text blocks only"
        )
    if kind == "text":
        return _text_block(where, role, block)
    if kind == "document" and role == "assistant":
        return Problem(
            "E328",
            f'"{where}" is a document in an assistant message',
            "move it into a user message",
        )
    return None


def _text_block(where: str, role: Any, block: dict[str, Any]) -> Problem | None:
    if not isinstance(block.get("text"), str):
        return wrong(
            f"{where}.text", "a string", block.get("text"), 'write {"type": "text", "text": "…"}'
        )
    if role == "user" and block.get("citations"):
        reason = f'"{where}" has citations, which the API refuses in user messages'
        return Problem("E329", reason, "remove them; only answers carry citations")
    return None


def _unknown_block(where: str, kind: str) -> Problem:
    near = meant(kind, BLOCKS)
    fix = (
        _OPENAI_LINE
        if kind in _OPENAI_BLOCKS
        else beta_fix(kind)
        if kind in BETA_OF
        else f'did you mean "{near}"?'
        if near
        else "use text, image, document…"
    )
    return Problem(
        "E330", f'"{where}.type" is {shown(kind)}, which is not a block of the Messages API', fix
    )


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _as_blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
