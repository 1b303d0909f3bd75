"""The shapes that an input line may have, recognised line by line, and what each says
in Messages parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.inputs.fields import CHECKS, MAX_TOKENS_LIMIT, REFUSED, attributes_of
from claudebatch.inputs.messages import (
    check_messages,
    check_system_messages,
    joined_system,
    split_system,
    user_turn,
)
from claudebatch.inputs.openai_body import translate
from claudebatch.inputs.parsed_line import LABELS, MAX_ID_LENGTH, ParsedLine, take_labels
from claudebatch.inputs.problems import MAX_PROBLEMS, nearest, shown, unknown, wrong

PROMPTS = frozenset({"prompt", "input", "text", "question"})
CONTENT = PROMPTS | {"messages", "params", "body"}
_FLAT_FIELDS = CONTENT | LABELS | CHECKS.keys()
_BATCH_FIELDS = frozenset({"messages"}) | CHECKS.keys()
_PLAIN_FIELDS = frozenset({"prompt", "id", "max_tokens"})
_PLAIN_SHAPE = 'a "prompt" line'
_ELSEWHERE = 'remove it, or move it into "metadata" if rules should see it'


def text_line(prompt: str, shape: str = "a text line") -> ParsedLine:
    """A line that is nothing but its prompt."""
    found = ParsedLine(shape)
    _take_prompt(found, "the prompt", prompt)
    return found


def json_line(value: Any, data: bytes) -> ParsedLine:
    """What the decoded *value* of the line *data* says."""
    if isinstance(value, str):
        return text_line(value, "a JSON string line")
    if not isinstance(value, dict):
        problem = Problem(
            f"the line is {shown(value)}, not a prompt",
            'write a string, {"prompt": "…"} or {"messages": […]}',
        )
        return ParsedLine("a JSON line", problems=[problem])
    plain = _plain(value)
    if plain is not None:
        return plain
    given = _without_nulls(value)
    content = CONTENT & given.keys()
    if len(content) == 1:
        (key,) = content
        shape, read = _SHAPES[key]
        found = ParsedLine(shape)
        read(found, given, key)
    else:
        found = _no_single_content(value, given, content)
    if not LABELS.isdisjoint(given):
        take_labels(found, given, data)
    return found


def _plain(fields: dict[str, Any]) -> ParsedLine | None:
    """The line of a sound prompt and little else; None for any that has to be looked at
    field by field.

    Says nothing that the long way would not say: it is there because most of a million
    lines are like this.
    """
    if not fields.keys() <= _PLAIN_FIELDS:
        return None
    prompt, own_id, most = fields.get("prompt"), fields.get("id"), fields.get("max_tokens")
    if type(prompt) is not str or not prompt or prompt.isspace():
        return None
    if own_id is not None and (type(own_id) is not str or not 0 < len(own_id) <= MAX_ID_LENGTH):
        return None
    params: dict[str, Any] = {"messages": user_turn(prompt)}
    if most is not None:
        if type(most) is not int or not 0 < most <= MAX_TOKENS_LIMIT:
            return None
        params["max_tokens"] = most
    return ParsedLine(_PLAIN_SHAPE, params, own_id)


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Exporters write null where a table has no value: it means that nothing is given."""
    if None not in fields.values():
        return fields
    return {name: value for name, value in fields.items() if value is not None}


def _no_single_content(
    value: dict[str, Any], given: dict[str, Any], content: Collection[str]
) -> ParsedLine:
    found = ParsedLine("a JSON object line")
    if content:
        names = " and ".join(f'"{name}"' for name in sorted(content))
        found.problems.append(Problem(f"{names} are both there", "keep the one that is the prompt"))
    else:
        found.problems.append(_no_content(value))
    _take_parameters(
        found,
        {name: given[name] for name in given if name in CHECKS or name in REFUSED},
        "",
        _FLAT_FIELDS,
    )
    return found


def _no_content(value: dict[str, Any]) -> Problem:
    names = list(value)[:MAX_PROBLEMS]
    near = {name: nearest(name, CONTENT) for name in names if name not in _FLAT_FIELDS}
    fixes = [f'{shown(name)} looks like "{meant}"' for name, meant in near.items() if meant]
    usual = 'write {"prompt": "…"}, {"messages": […]}, or a batch line with "params" or "body"'
    null = [f'"{name}" is null' for name in names if name in CONTENT]
    seen = null or [
        "the line has only " + ", ".join(map(shown, names)) if names else "the object is empty"
    ]
    return Problem(f"no prompt: {', '.join(seen)}", "; ".join(fixes) or usual)


def _read_prompt(found: ParsedLine, fields: dict[str, Any], key: str) -> None:
    value = fields[key]
    _take_parameters(found, fields, key, _FLAT_FIELDS)
    if key == "input" and isinstance(value, list):
        _take_messages(found, key, value)
    else:
        _take_prompt(found, f'"{key}"', value)


def _read_messages(found: ParsedLine, fields: dict[str, Any], key: str) -> None:
    _take_parameters(found, fields, key, _FLAT_FIELDS)
    _take_messages(found, key, fields[key])


def _read_anthropic(found: ParsedLine, fields: dict[str, Any], key: str) -> None:
    params = fields[key]
    _refuse_unknown(
        found, fields.keys() - LABELS - {key}, LABELS | {key}, 'move it into "params", or remove it'
    )
    if not isinstance(params, dict):
        found.problems.append(
            wrong(key, "an object", params, 'write {"max_tokens": 1024, "messages": […]}')
        )
        return
    params = _without_nulls(params)
    _take_parameters(found, params, "messages", _BATCH_FIELDS)
    _take_messages(found, "messages", params.get("messages"))


def _read_openai(found: ParsedLine, fields: dict[str, Any], key: str) -> None:
    known = LABELS | {key, "method", "url"}
    _refuse_unknown(found, fields.keys() - known, known, 'move it into "body", or remove it')
    body, url = fields[key], fields.get("url", "/v1/chat/completions")
    if url != "/v1/chat/completions":
        found.problems.append(
            Problem(f'"url" is {shown(url)}', "only /v1/chat/completions lines are translated")
        )
        return
    if fields.get("method", "POST") != "POST":
        found.problems.append(
            wrong("method", "POST", fields["method"], "write POST, or leave it out")
        )
    if isinstance(body, dict):
        _take_translation(found, _without_nulls(body))
    else:
        found.problems.append(wrong(key, "an object", body, 'write {"messages": […]}'))


def _take_translation(found: ParsedLine, body: dict[str, Any]) -> None:
    translation = translate(body)
    found.problems += translation.problems
    found.attributes = translation.attributes
    found.model = translation.params.pop("model", None)
    found.params = translation.params
    if translation.messages is not None:
        _take_messages(found, "messages", translation.messages)


def _take_prompt(found: ParsedLine, name: str, value: Any) -> None:
    if not isinstance(value, str):
        fix = 'write it in quotes; conversations go into "messages"'
        found.problems.append(Problem(f"{name} must be a string, got {shown(value)}", fix))
    elif not value or value.isspace():
        found.problems.append(
            Problem(
                f"{name} is empty", "the API refuses empty prompts: write one, or remove the line"
            )
        )
    else:
        found.params["messages"] = user_turn(value)


def _take_messages(found: ParsedLine, name: str, value: Any) -> None:
    """Set the conversation, its leading system messages moved to where the API wants
    them.
    """
    leading, rest = split_system(value) if isinstance(value, list) else ([], value)
    if not leading:
        found.problems += check_messages(name, value)
        found.params["messages"] = value
        return
    faults = check_system_messages(name, leading)
    if "system" in found.params:
        reason = f'"system" and a system message in "{name}" are both there'
        faults.append(Problem(reason, "keep one of them"))
    found.problems += faults
    found.problems += check_messages(name, rest, first=len(leading))
    found.params["messages"] = rest
    if not faults:
        found.params["system"] = joined_system(leading)


def _take_parameters(
    found: ParsedLine, fields: dict[str, Any], content: str, known: frozenset[str]
) -> None:
    """Check and set every parameter among *fields*; the *content* and labels, where
    *known*, are read elsewhere.
    """
    strange: list[str] = []
    for name, value in fields.items():
        check = CHECKS.get(name)
        if check is not None:
            found.problems += check(name, value)
            found.params[name] = value
        elif name != content and not (name in LABELS and name in known):
            strange.append(name)
    if strange:
        _refuse_unknown(found, strange, known, _ELSEWHERE)
    if not found.problems:
        _sort_out(found)


def _sort_out(found: ParsedLine) -> None:
    """Take out of checked parameters what is not sent as it stands."""
    found.params.pop("stream", None)
    found.model = found.params.pop("model", None)
    metadata = found.params.pop("metadata", None)
    if metadata is not None:
        found.attributes = attributes_of(metadata)
        if metadata.get("user_id") is not None:
            found.params["metadata"] = {"user_id": metadata["user_id"]}


def _refuse_unknown(
    found: ParsedLine, names: Collection[str], known: Iterable[str], otherwise: str
) -> None:
    for name in sorted(names)[:MAX_PROBLEMS]:
        if name in REFUSED:
            reason, fix = REFUSED[name]
            found.problems.append(Problem(f'"{name}" {reason}', fix))
        elif name in LABELS:
            found.problems.append(Problem(f'"{name}" is no parameter', 'move it beside "params"'))
        else:
            found.problems.append(unknown(name, known, otherwise))
    if len(names) > MAX_PROBLEMS:
        found.problems.append(
            Problem(f"{len(names) - MAX_PROBLEMS} more unknown fields", otherwise)
        )


_Reader: TypeAlias = Callable[[ParsedLine, dict[str, Any], str], None]
_SHAPES: Mapping[str, tuple[str, _Reader]] = {
    **{name: (f'a "{name}" line', _read_prompt) for name in PROMPTS},
    "messages": ('a "messages" line', _read_messages),
    "params": ("an Anthropic batch line", _read_anthropic),
    "body": ("an OpenAI batch line", _read_openai),
}
