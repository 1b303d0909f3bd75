"""What an answer holds of the form that its row wants. Pure, so that every road to an
answer decides alike: the API now, the response cache, a crash's journal, a batch.
"""

from __future__ import annotations

from typing import Any

from claudebatch.core.answer_form import ANSWER_TOOL, AnswerReading, schema_of
from claudebatch.core.domain import Prompt, Reply
from claudebatch.core.endings import Ending, ending
from claudebatch.core.jsonl import InvalidJson, compact, decode, encode_in_order
from claudebatch.layers.structured_answers.extraction import extracted
from claudebatch.layers.structured_answers.validation import BadSchema, faults

_NOTHING = AnswerReading()
# Only these may hold a value: half an answer may be valid by chance.
_WHOLE = (Ending.COMPLETE, Ending.EMPTY)


def read_answer(prompt: Prompt, reply: Reply) -> AnswerReading | None:
    """What *reply* to *prompt* holds; None where the row wants no form."""
    schema = schema_of(prompt.params)
    if schema is None and not prompt.extract:
        return None
    if ending(reply) not in _WHOLE:
        return _NOTHING
    if schema is None:
        value = extracted(prompt.extract, reply.text)
        if value is None:
            return AnswerReading(fault=f"the answer has no {prompt.extract}")
        return AnswerReading(encode_in_order(value))
    return _held_against(schema, reply)


def _held_against(schema: dict[str, Any], reply: Reply) -> AnswerReading:
    text = reply.text.encode()
    if reply.stop_reason == "tool_use":
        call = answer_call(reply.message)
        # A tool of the row's own: its call is the answer for now.
        if call is None:
            return _NOTHING
        text = encode_in_order(call["input"])
    if not text.strip():
        return AnswerReading(fault="the answer is empty")
    try:
        found = faults(schema, decode(text))
    except InvalidJson as error:
        return AnswerReading(fault=f"the answer is {error}")
    except BadSchema:
        # A line that was sent unchecked (--no-check): the API alone took it.
        return _NOTHING
    return AnswerReading(fault=found) if found else AnswerReading(compact(text))


def answer_call(message: bytes) -> dict[str, Any] | None:
    """The call of the tool that holds the answer, in *message*; None without one."""
    for block in decode(message).get("content") or ():
        if block.get("type") == "tool_use" and block.get("name") == ANSWER_TOOL:
            return dict(block)
    return None
