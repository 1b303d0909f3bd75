"""Lines of data sets and saved conversations: Alpaca, ShareGPT, MT-bench, and chats in
OpenAI's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.converted_line import ConvertedLine, as_list
from claudebatch.inputs.openai_body import NEUTRAL, TRANSLATED, WITHOUT_EQUAL
from claudebatch.inputs.parsed_line import LABELS
from claudebatch.inputs.problems import shown

_LAST_ANSWER = "the last answer of the conversation, which is asked anew"
_LATER_TURNS = "the later turns, each of which needs the answer before it"
_SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model"), "assistant"),
    "system": "system",
}
# Of a saved answer, empty where nothing was said of them.
_SAVED = frozenset({"annotations", "audio", "function_call", "refusal", "tool_calls", "name"})


def is_alpaca(fields: Mapping[str, Any]) -> bool:
    """Whether it certainly is a row of Alpaca's."""
    own = {"prompt", "messages", "text", "question"}
    return isinstance(fields.get("instruction"), str) and own.isdisjoint(fields)


def from_alpaca(fields: Mapping[str, Any]) -> ConvertedLine:
    """Instruction and input as a prompt; the known answer is a column."""
    instruction, given = fields["instruction"], fields.get("input") or ""
    problems = []
    if not isinstance(given, str):
        problems.append(
            Problem("E483", f'"input" is {shown(given)}, not a text', "write it in quotes")
        )
    # As those who ask it elsewhere join them; the words around are a model's training.
    own: dict[str, Any] = {"prompt": f"{instruction}\n\n{given}" if given else instruction}
    own |= {name: fields[name] for name in ("system", *LABELS) if fields.get(name)}
    return ConvertedLine(own, _others(fields, {"instruction", "input", *own}), problems)


def from_sharegpt(fields: Mapping[str, Any]) -> ConvertedLine:
    """The conversation as messages."""
    problems: list[Problem] = []
    messages = []
    for number, turn in enumerate(as_list(fields, "conversations")):
        who = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        role = _SPEAKERS.get(who) if isinstance(who, str) else None
        if role is None:
            known = ", ".join(_SPEAKERS)
            place = f"conversations[{number}]"
            reason = f'"{place}" is of {shown(who)}, whom the Messages API does not know'
            problems.append(Problem("E484", reason, f"known are {known}"))
        else:
            messages.append({"role": role, "content": turn.get("value", turn.get("content"))})
    return _conversation(fields, "conversations", messages, problems)


def from_mt_bench(fields: Mapping[str, Any]) -> ConvertedLine:
    """The first turn as a prompt."""
    turns = fields["turns"]
    label = next((name for name in ("question_id", "id") if name in fields), None)
    own = {"prompt": turns[0]} | ({} if label is None else {"id": fields[label]})
    more = len(turns) > 1
    # All turns come back where not all are asked.
    done = {label} if more else {label, "turns"}
    return ConvertedLine(own, _others(fields, done), not_sent=(_LATER_TURNS,) if more else ())


def is_saved_from_openai(fields: Mapping[str, Any]) -> bool:
    """Whether its messages have what only OpenAI's answers have, and empty."""
    return any(
        isinstance(message, dict) and any(not message[name] for name in _SAVED & message.keys())
        for message in as_list(fields, "messages")
    )


def from_openai_chat(fields: Mapping[str, Any]) -> ConvertedLine:
    """A chat in OpenAI's words as one of its batch lines, which are translated."""
    theirs = TRANSLATED.keys() | NEUTRAL.keys() | WITHOUT_EQUAL.keys()
    body = {name: fields[name] for name in fields if name in theirs and fields[name] is not None}
    messages = [_filled(message) for message in as_list(fields, "messages")]
    # Data for training ends in the answer that is wanted now.
    last = messages[-1] if messages else None
    answered = isinstance(last, dict) and last.get("role") == "assistant"
    body["messages"] = messages[:-1] if answered and len(messages) > 1 else messages
    own: dict[str, Any] = {"body": body}
    own |= {name: fields[name] for name in LABELS if name in fields}
    columns = _others(fields, {*theirs, *LABELS})
    if not answered:
        return ConvertedLine(own, columns)
    return ConvertedLine(own, [*columns, "messages"], not_sent=(_LAST_ANSWER,))


def _conversation(
    fields: Mapping[str, Any], name: str, messages: list[Any], problems: list[Problem]
) -> ConvertedLine:
    answered = len(messages) > 1 and messages[-1]["role"] == "assistant"
    own: dict[str, Any] = {"messages": messages[:-1] if answered else messages}
    own |= {label: fields[label] for label in ("system", *LABELS) if fields.get(label)}
    columns = _others(fields, {name, *own})
    if not answered:
        return ConvertedLine(own, columns, problems)
    # What was answered then comes back beside what is answered now.
    return ConvertedLine(own, [*columns, name], problems, (_LAST_ANSWER,))


def _filled(message: Any) -> Any:
    """*message* without what is empty in it."""
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if name not in _SAVED or value}


def _others(fields: Mapping[str, Any], done: Iterable[str | None]) -> list[str]:
    taken = set(done)
    return [name for name in fields if name not in taken]
