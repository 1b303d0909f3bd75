"""The request that asks an unfit answer again: the conversation so far, the answer, and
the validator's sentence as a further user turn. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.core.jsonl import decode
from claudebatch.layers.structured_answers.answer_reading import answer_call
from claudebatch.layers.structured_answers.validation import LONGEST_FAULT, MOST_FAULTS

_WORDS = "The answer does not fit its JSON schema: {fault}. Answer again, with valid JSON only."

LONGEST_WORDS = len(_WORDS) + 4 * MOST_FAULTS * (LONGEST_FAULT + 2)
"""Bytes of the further turn, at most."""


def follow_up(params: Mapping[str, Any], last: bytes, fault: str) -> dict[str, Any]:
    """The parameters of the next request of a row with *params*, whose answer, the
    message *last*, has the *fault*.
    """
    words = _WORDS.format(fault=fault)
    call = answer_call(last)
    if call is not None:
        turns = [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [_result(call["id"], words)]},
        ]
    else:
        said = _text(last)
        # The API refuses an empty turn: of such an answer only the sentence is left.
        turns = [{"role": "assistant", "content": said}] if said else []
        turns.append({"role": "user", "content": words})
    return {**params, "messages": [*params["messages"], *turns]}


def _result(call: str, words: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "is_error": True, "content": words}


def _text(message: bytes) -> str:
    """What was said, without thinking: only its own model could read that again."""
    blocks = decode(message).get("content") or ()
    # A trailing blank would be refused where the turn is taken for a begun answer.
    return "".join(block["text"] for block in blocks if block.get("type") == "text").rstrip()
