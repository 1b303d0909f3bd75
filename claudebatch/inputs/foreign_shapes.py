"""Lines made for other tools that are not read as they are, one row each: how they are
recognised, what they are called, and the filter that makes lines for claudebatch of
them. Those that are read: `named_shapes.py`.

Only a line that has problems is looked up here, so that other lines cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem

_Fields: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForeignShape:
    """One shape of line that another tool reads or writes."""

    name: str
    recognise: Callable[[_Fields], bool]
    fix: str
    recipe: str | None = None


def _list(fields: _Fields, name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _body_of(url: str) -> Callable[[_Fields], bool]:
    return lambda fields: fields.get("url") == url and isinstance(fields.get("body"), dict)


def _is_langchain(fields: _Fields) -> bool:
    spoken = (
        message.get("role", message.get("type"))
        for message in _list(fields, "messages")
        if isinstance(message, dict)
    )
    return any(role in ("human", "ai") for role in spoken)


def _is_result(fields: _Fields) -> bool:
    # Those of claudebatch, of Message Batches and of OpenAI's batches.
    return (
        {"status", "requested_model"} <= fields.keys()
        or {"custom_id", "result"} <= fields.keys()
        or {"custom_id", "response"} <= fields.keys()
    )


_OLD_CLAUDE = (
    r"""jq -c '{id, model, max_tokens: .max_tokens_to_sample, prompt: (.prompt | """
    r"""sub("^\\s*Human:\\s*"; "") | sub("\\s*Assistant:\\s*$"; ""))}'"""
)

FOREIGN_SHAPES: tuple[ForeignShape, ...] = (
    ForeignShape(
        "a result, not a request",
        _is_result,
        "name the file of requests that it answers",
    ),
    ForeignShape(
        "an MT-bench row (turns)",
        lambda fields: bool(_list(fields, "turns")),
        "--shape mt-bench asks the first turn; the next ones need its answer",
        "jq -c '{id: .question_id, prompt: .turns[0]}'",
    ),
    ForeignShape(
        "a whole batch on one line (requests)",
        lambda fields: bool(_list(fields, "requests")),
        "write one request per line",
        "jq -c '.requests[]'",
    ),
    ForeignShape(
        "a request for OpenAI's completions",
        _body_of("/v1/completions"),
        "take its prompt and max_tokens",
        "jq -c '{custom_id, model: .body.model, prompt: .body.prompt, max_tokens: "
        ".body.max_tokens}'",
    ),
    ForeignShape(
        "a request for embeddings",
        _body_of("/v1/embeddings"),
        "Claude does not make embeddings: remove these lines",
    ),
    ForeignShape(
        "a LangChain conversation (human, ai)",
        _is_langchain,
        "name the roles user and assistant",
        'jq -c \'.messages |= map({role: ({human: "user", ai: "assistant"}[.role // .type] // '
        ".role // .type), content})'",
    ),
    ForeignShape(
        "one message, not a conversation",
        lambda fields: {"role", "content"} <= fields.keys() and "messages" not in fields,
        "make a conversation of each, or of all with jq -sc '{messages: .}'",
        "jq -c '{messages: [.]}'",
    ),
    ForeignShape(
        "a request of the old text completions (max_tokens_to_sample)",
        lambda fields: "max_tokens_to_sample" in fields and isinstance(fields.get("prompt"), str),
        "take its prompt without Human: and Assistant:",
        _OLD_CLAUDE,
    ),
)
"""In the order in which they are tried."""


def foreign_shape(fields: _Fields) -> Problem | None:
    """The one problem of a line of another tool's, in the place of all others; None for
    every other line.
    """
    shape = next((shape for shape in FOREIGN_SHAPES if shape.recognise(fields)), None)
    return (
        None if shape is None else Problem("E322", f"this is {shape.name}", shape.fix, shape.recipe)
    )
