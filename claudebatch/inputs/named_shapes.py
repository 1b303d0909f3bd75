"""Lines of other tools and data sets that are read as they are: what each looks like,
what it becomes, and how it is known.

What cannot be carried over is refused by name, as it is for OpenAI batch lines. What is
left out on purpose (the last answer of a saved conversation, say) is told once, with
the number of rows, and comes back in the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.notice import Notice
from claudebatch.inputs.bedrock_lines import from_bedrock, is_bedrock, is_converse
from claudebatch.inputs.converted_line import ConvertedLine, as_list, as_object
from claudebatch.inputs.data_set_lines import (
    from_alpaca,
    from_mt_bench,
    from_openai_chat,
    from_sharegpt,
    is_alpaca,
    is_saved_from_openai,
)
from claudebatch.inputs.gemini_lines import from_gemini, is_gemini
from claudebatch.inputs.responses_lines import from_responses, is_responses

ShapeName: TypeAlias = Literal[
    "alpaca",
    "bedrock",
    "gemini",
    "mt-bench",
    "openai-chat",
    "openai-responses",
    "sharegpt",
    "vertex",
]


@dataclass(frozen=True, slots=True)
class NamedShape:
    """One shape of line that another tool writes."""

    name: ShapeName
    looks: str
    """A line of it, as short as it can be."""
    becomes: str
    fits: Callable[[Mapping[str, Any]], bool]
    """Whether a line can be read as one."""
    sure: Callable[[Mapping[str, Any]], bool]
    """Whether a line can be nothing else, so that it is read as one unasked."""
    convert: Callable[[Mapping[str, Any]], ConvertedLine]


def _is_vertex(fields: Mapping[str, Any]) -> bool:
    return bool(as_list(as_object(fields, "request"), "messages"))


def _from_vertex(fields: Mapping[str, Any]) -> ConvertedLine:
    params = {
        name: value
        for name, value in as_object(fields, "request").items()
        if name != "anthropic_version"
    }
    label = next((name for name in ("custom_id", "key", "id") if name in fields), None)
    own = {"params": params} | ({} if label is None else {"custom_id": fields[label]})
    return ConvertedLine(own, [name for name in fields if name not in ("request", label)])


def _has_turns(fields: Mapping[str, Any]) -> bool:
    turns = as_list(fields, "turns")
    return bool(turns) and all(isinstance(turn, str) for turn in turns)


def _has_one_turn(fields: Mapping[str, Any]) -> bool:
    # Which of several is to be asked is the user's decision: --shape mt-bench.
    return _has_turns(fields) and len(fields["turns"]) == 1 and "prompt" not in fields


def _has_conversations(fields: Mapping[str, Any]) -> bool:
    return bool(as_list(fields, "conversations"))


def _has_messages(fields: Mapping[str, Any]) -> bool:
    return bool(as_list(fields, "messages"))


SHAPES: tuple[NamedShape, ...] = (
    NamedShape(
        name="alpaca",
        looks='{"instruction": "…", "input": "…", "output": "…"}',
        becomes="a prompt: the instruction, an empty line, the input",
        fits=lambda fields: isinstance(fields.get("instruction"), str),
        sure=is_alpaca,
        convert=from_alpaca,
    ),
    NamedShape(
        name="sharegpt",
        looks='{"conversations": [{"from": "human", "value": "…"}, …]}',
        becomes="messages, without the last answer",
        fits=_has_conversations,
        sure=_has_conversations,
        convert=from_sharegpt,
    ),
    NamedShape(
        name="mt-bench",
        looks='{"question_id": 81, "turns": ["…", "…"]}',
        becomes="a prompt: the first turn",
        fits=_has_turns,
        sure=_has_one_turn,
        convert=from_mt_bench,
    ),
    NamedShape(
        name="openai-chat",
        looks='{"messages": [{"role": "developer", "content": "…"}, …], "stop": "…"}',
        becomes="as an OpenAI batch line, without the last answer",
        fits=_has_messages,
        sure=is_saved_from_openai,
        convert=from_openai_chat,
    ),
    NamedShape(
        name="openai-responses",
        looks='{"url": "/v1/responses", "body": {"input": "…"}}, or the body alone',
        becomes="messages: input and instructions",
        fits=lambda fields: is_responses(fields) or "input" in fields,
        sure=is_responses,
        convert=from_responses,
    ),
    NamedShape(
        name="gemini",
        looks='{"key": "a", "request": {"contents": [{"parts": [{"text": "…"}]}]}}',
        becomes="messages: contents and systemInstruction",
        fits=is_gemini,
        sure=is_gemini,
        convert=from_gemini,
    ),
    NamedShape(
        name="bedrock",
        looks='{"recordId": "a", "modelInput": {"messages": […]}}, or a Converse request',
        becomes="an Anthropic batch line",
        fits=lambda fields: is_bedrock(fields) or is_converse(fields),
        sure=lambda fields: is_bedrock(fields) or is_converse(fields),
        convert=from_bedrock,
    ),
    NamedShape(
        name="vertex",
        looks='{"request": {"anthropic_version": "…", "messages": […]}}',
        becomes="an Anthropic batch line",
        fits=_is_vertex,
        sure=_is_vertex,
        convert=_from_vertex,
    ),
)
"""In the order in which they are tried."""
_BY_NAME = {shape.name: shape for shape in SHAPES}
_READ_AS, _NOT_SENT = "shape=", "not sent="


def named(name: ShapeName) -> NamedShape:
    """The shape called *name*."""
    return _BY_NAME[name]


def sniffed(fields: Mapping[str, Any]) -> NamedShape | None:
    """The shape that a line of these *fields* certainly has; None for every other."""
    return next((shape for shape in SHAPES if shape.sure(fields)), None)


def no_fit(shape: NamedShape) -> Problem:
    """The problem of a line that is not of the *shape* that was asked for."""
    return Problem(
        "E480",
        f"the line is not of the shape {shape.name}",
        f"such a line looks like {shape.looks}; leave out --shape for files of several shapes",
    )


def count(made: Counter[str] | None, shape: NamedShape, line: ConvertedLine) -> None:
    """Count a line that was read as one of *shape*."""
    if made is not None:
        made.update((_READ_AS + shape.name, *(_NOT_SENT + what for what in line.not_sent)))


def told(made: Counter[str]) -> Iterator[Notice]:
    """One sentence for each shape, and for what is not sent, with the numbers of
    rows.
    """
    for shape in SHAPES:
        number = made[_READ_AS + shape.name]
        if number:
            text = f"{_rows(number)} read as {shape.name}: {shape.becomes}"
            yield Notice("N005", text)
    for name in sorted(made):
        if name.startswith(_NOT_SENT):
            what = name.removeprefix(_NOT_SENT)
            yield Notice("W073", f"{_rows(made[name])} read without {what}")


def _rows(number: int) -> str:
    return "1 row is" if number == 1 else f"{number:,} rows are"
