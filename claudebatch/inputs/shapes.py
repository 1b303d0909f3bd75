"""The shapes that an input line may have, recognised line by line, and their
translation into Messages parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import encode_in_order
from claudebatch.core.typos import meant
from claudebatch.inputs.fields import CHECKS, MAX_TOKENS_LIMIT, REFUSED, attributes_of
from claudebatch.inputs.foreign_shapes import foreign_shape
from claudebatch.inputs.kept_columns import Extra, is_column
from claudebatch.inputs.line_schema import as_format, in_own_words, takes_schema
from claudebatch.inputs.messages import (
    check_messages,
    check_system_messages,
    joined_system,
    split_system,
    user_turn,
)
from claudebatch.inputs.named_shapes import NamedShape, count, no_fit, sniffed
from claudebatch.inputs.openai_body import translate
from claudebatch.inputs.parsed_line import LABELS, MAX_ID_LENGTH, ParsedLine, take_labels
from claudebatch.inputs.problems import (
    MAX_PROBLEMS,
    PLAIN_NAME,
    empty,
    removal,
    shown,
    unknown,
    wrong,
)
from claudebatch.inputs.repeats import take_repeat
from claudebatch.models.api_rules import (
    Names,
    beta_fix,
    beta_names,
    broken_rules,
    broken_types,
    request_types,
)

PROMPTS = frozenset({"prompt", "input", "text", "question"})
CONTENT = PROMPTS | {"messages", "params", "body"}
_FLAT_FIELDS = CONTENT | LABELS | CHECKS.keys()
KNOWN_FIELDS = _FLAT_FIELDS | {"custom_id"}
"""The fields of a line that mean something."""
_BATCH_FIELDS = frozenset({"messages"}) | CHECKS.keys()
_PLAIN_FIELDS = frozenset({"prompt", "id", "max_tokens"})
_TALK_FIELDS = frozenset({"messages", "max_tokens", "system"})
# Parameters, of now and of before: beside a prompt they are meant as such.
_RESERVED = CHECKS.keys() | REFUSED.keys() | CONTENT | LABELS
_PLAIN_SHAPE = 'a "prompt" line'
_ELSEWHERE = 'remove it, or move it into "metadata" if rules should see it'


def text_line(prompt: str, shape: str = "a text line") -> ParsedLine:
    """A line that consists of its prompt alone."""
    parsed = ParsedLine(shape)
    _take_prompt(parsed, "the prompt", prompt)
    return parsed


@dataclass(frozen=True, slots=True)
class LineReading:
    """How a line is read."""

    check: bool = True
    """Whether it is held against what the API takes."""
    extra: Extra = "keep"
    """What becomes of fields that are no part of the request."""
    shape: NamedShape | None = None
    """The shape of every line; None: what each looks like."""
    made: Counter[str] | None = None
    """Counts lines of other tools that were read as they are."""


USUAL = LineReading()


def json_line(value: Any, data: bytes, how: LineReading = USUAL) -> ParsedLine:
    """The content of the line *data*, decoded as *value*."""
    check = how.check
    if how.shape is None and isinstance(value, str):
        return text_line(value, "a JSON string line")
    plain = plain_request(value) if how.shape is None else None
    if plain is not None:
        return ParsedLine(_PLAIN_SHAPE, *plain)
    parsed = _shaped(value, data, how) if how.shape is None else _forced(value, how.shape, how)
    if check and not _is_talk(parsed) and request_types().knows(parsed.betas):
        _hold_against_the_api(parsed)
    if parsed.own_schema and parsed.problems:
        parsed.problems = in_own_words(parsed.problems)
    return parsed


def _forced(value: Any, shape: NamedShape, how: LineReading) -> ParsedLine:
    fields = _without_nulls(value) if isinstance(value, dict) else {}
    if not shape.fits(fields):
        return ParsedLine("", problems=[no_fit(shape)])
    return _converted(fields, shape, how)


def _converted(fields: dict[str, Any], shape: NamedShape, how: LineReading) -> ParsedLine:
    """The line of another tool with these *fields*, read as one of *shape*."""
    line = shape.convert(fields)
    # Half a request would be refused again, for what it lacks.
    if line.problems:
        return ParsedLine("", problems=line.problems)
    count(how.made, shape, line)
    parsed = _shaped(line.own, encode_in_order(line.own), replace(how, shape=None))
    if how.extra == "refuse":
        parsed.problems += [unknown(name, (), "remove it") for name in line.columns[:MAX_PROBLEMS]]
    parsed.columns = line.columns if how.extra == "keep" else []
    return parsed


def _shaped(value: Any, data: bytes, how: LineReading) -> ParsedLine:
    check, extra = how.check, how.extra
    if isinstance(value, list) and value and isinstance(value[0], dict):
        parsed = ParsedLine("a list of messages", checked=check)
        _take_messages(parsed, "line", value)
        return parsed
    if not isinstance(value, dict):
        problem = Problem(
            "E335",
            f"the line is {shown(value)}, not a prompt",
            'write a string, {"prompt": "…"}, {"messages": […]} or a list of messages',
        )
        return ParsedLine("a JSON line", problems=[problem])
    problems: list[Problem] = []
    fields, answers = take_repeat(_without_nulls(value), problems)
    # Exactly one: which of two prompts was meant would be a guess, paid for row by row.
    content = CONTENT & fields.keys()
    if len(content) == 1:
        (key,) = content
        shape, read = _SHAPES[key]
        parsed = ParsedLine(shape, checked=check, extra=extra)
        parsed.answers, parsed.problems = answers, problems
        if takes_schema(fields, content):
            parsed.own_schema = True
            fields = as_format(fields, problems)
        read(parsed, fields, key)
    else:
        parsed = _no_single_content(value, fields, content)
    if not LABELS.isdisjoint(fields):
        take_labels(parsed, fields, data)
    # Another tool's line may have a field that is called as a prompt of ours.
    if parsed.problems or parsed.columns:
        parsed = _read_if_foreign(parsed, fields, how)
    return parsed


def _read_if_foreign(parsed: ParsedLine, fields: dict[str, Any], how: LineReading) -> ParsedLine:
    """*parsed*, or the line as another tool's that is read as it is; with one problem
    in the place of many where only its name is known.
    """
    shape = sniffed(fields)
    if shape is not None:
        return _converted(fields, shape, how)
    foreign = foreign_shape(fields)
    return parsed if foreign is None else ParsedLine("", problems=[foreign])


def _is_talk(parsed: ParsedLine) -> bool:
    """Whether it is a valid conversation in plain texts and nothing else, in which no
    rule is left to be broken.
    """
    params = parsed.params
    # Beside a beta, messages were looked at for their form alone.
    if parsed.problems or parsed.betas or not params.keys() <= _TALK_FIELDS:
        return False
    if type(params.get("system", "")) is not str:
        return False
    for message in params["messages"]:
        content = message["content"]
        if message["role"] == "system" or not (type(content) is str or _is_text(content)):
            return False
    return True


def _is_text(blocks: list[Any]) -> bool:
    """Whether *blocks*, with all their types right, are texts and say nothing else."""
    for block in blocks:
        # Two members are its type and its text.
        if block["type"] != "text" or len(block) != 2 or not block["text"].strip():
            return False
    return True


def _hold_against_the_api(parsed: ParsedLine) -> None:
    """Add what the API itself refuses: by its types, and where these fit, by its
    rules.
    """
    # Its members are sorted out later than this, or never: `fields` knows them all.
    broken = parsed.broken | {"metadata"}
    parsed.problems += broken_types(
        parsed.params, broken=broken, names=parsed.names, betas=parsed.betas
    )
    if "metadata" not in parsed.broken:
        broken.discard("metadata")
    # What is said about tools makes no sense without them.
    if "tools" in broken:
        broken.add("tool_choice")
    right = {name: value for name, value in parsed.params.items() if name not in broken}
    parsed.problems += broken_rules(right, parsed.names)


def plain_request(value: Any) -> tuple[dict[str, Any], str | None] | None:
    """The parameters and the id of a valid line with a prompt and little else, in which
    nothing could break a rule; None for every line that needs a check of each field.
    """
    # A short cut with the same result as the checks below: most of a million lines have
    # this form.
    if type(value) is not dict or not value.keys() <= _PLAIN_FIELDS:
        return None
    prompt, own_id, most = value.get("prompt"), value.get("id"), value.get("max_tokens")
    # `type`, not `isinstance`: `true` is an int in Python, and the full checks refuse
    # it.
    if type(prompt) is not str or not prompt or prompt.isspace():
        return None
    if own_id is not None and (type(own_id) is not str or not 0 < len(own_id) <= MAX_ID_LENGTH):
        return None
    params: dict[str, Any] = {"messages": user_turn(prompt)}
    if most is not None:
        if type(most) is not int or not 0 <= most <= MAX_TOKENS_LIMIT:
            return None
        params["max_tokens"] = most
    return params, own_id


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """*fields* without nulls, which exporters write for an empty cell of a table."""
    if None not in fields.values():
        return fields
    return {name: value for name, value in fields.items() if value is not None}


def _no_single_content(
    value: dict[str, Any], fields: dict[str, Any], content: Collection[str]
) -> ParsedLine:
    parsed = ParsedLine("a JSON object line")
    if content:
        names = " and ".join(f'"{name}"' for name in sorted(content))
        parsed.problems.append(
            Problem("E336", f"{names} are both given", "keep the one that is the prompt")
        )
    else:
        parsed.problems.append(_no_content(value))
    _take_parameters(
        parsed,
        {name: fields[name] for name in fields if name in CHECKS or name in REFUSED},
        "",
        _FLAT_FIELDS,
    )
    return parsed


def _no_content(value: dict[str, Any]) -> Problem:
    names = list(value)[:MAX_PROBLEMS]
    near = {name: meant(name, CONTENT) for name in names if name not in _FLAT_FIELDS}
    fixes = [f'{shown(name)} looks like "{other}"' for name, other in near.items() if other]
    usual = 'write {"prompt": "…"}, {"messages": […]}, or a batch line with "params" or "body"'
    null = [f'"{name}" is null' for name in names if name in CONTENT]
    seen = null or [
        "the line has only " + ", ".join(map(shown, names)) if names else "the object is empty"
    ]
    reason = f"no prompt: {', '.join(seen)}"
    texts = [
        name
        for name, text in value.items()
        if isinstance(text, str) and name not in _FLAT_FIELDS and PLAIN_NAME.fullmatch(name)
    ]
    # One column of text is most likely the prompt under another name.
    if not fixes and not null and len(texts) == 1:
        (only,) = texts
        fix = f'if "{only}" is the prompt, call it so'
        return Problem("E337", reason, fix, f"jq -c '.prompt = .{only} | del(.{only})'")
    return Problem("E338", reason, "; ".join(fixes) or usual)


def _read_prompt(parsed: ParsedLine, fields: dict[str, Any], key: str) -> None:
    value = fields[key]
    _take_parameters(parsed, fields, key, _FLAT_FIELDS)
    if key == "input" and isinstance(value, list):
        _take_messages(parsed, key, value)
    else:
        _take_prompt(parsed, f'"{key}"', value)


def _read_messages(parsed: ParsedLine, fields: dict[str, Any], key: str) -> None:
    _take_parameters(parsed, fields, key, _FLAT_FIELDS)
    _take_messages(parsed, key, fields[key])


def _read_anthropic(parsed: ParsedLine, fields: dict[str, Any], key: str) -> None:
    params = fields[key]
    known = LABELS | {key}
    _take_others(
        parsed,
        [name for name in fields if name not in known],
        known,
        'move it into "params", or remove it',
    )
    if not isinstance(params, dict):
        parsed.problems.append(
            wrong(key, "an object", params, 'write {"max_tokens": 1024, "messages": […]}')
        )
        return
    params = _without_nulls(params)
    _take_parameters(parsed, params, "messages", _BATCH_FIELDS)
    _take_messages(parsed, "messages", params.get("messages"))


def _read_openai(parsed: ParsedLine, fields: dict[str, Any], key: str) -> None:
    known = LABELS | {key, "method", "url"}
    _take_others(
        parsed,
        [name for name in fields if name not in known],
        known,
        'move it into "body", or remove it',
    )
    body, url = fields[key], fields.get("url", "/v1/chat/completions")
    # Lines of embeddings or responses have other bodies: half a translation would
    # change the question.
    if url != "/v1/chat/completions":
        parsed.problems.append(
            Problem(
                "E339", f'"url" is {shown(url)}', "only /v1/chat/completions lines are translated"
            )
        )
        return
    if fields.get("method", "POST") != "POST":
        parsed.problems.append(
            wrong("method", "POST", fields["method"], "write POST, or leave it out")
        )
    if isinstance(body, dict):
        _take_translation(parsed, _without_nulls(body))
    else:
        parsed.problems.append(wrong(key, "an object", body, 'write {"messages": […]}'))


def _take_translation(parsed: ParsedLine, body: dict[str, Any]) -> None:
    translation = translate(body)
    parsed.problems += translation.problems
    parsed.attributes = translation.attributes
    parsed.model = translation.params.pop("model", None)
    parsed.params = translation.params
    # Half a translation says nothing of what the API would say.
    if parsed.problems:
        parsed.broken.update(parsed.params)
    if translation.messages is not None:
        _take_messages(parsed, "messages", translation.messages)


def _take_prompt(parsed: ParsedLine, name: str, value: Any) -> None:
    if not isinstance(value, str):
        fix = 'write it in quotes; conversations go into "messages"'
        parsed.problems.append(Problem("E340", f"{name} must be a string, got {shown(value)}", fix))
    elif not value or value.isspace():
        parsed.problems.append(empty(name))
    else:
        parsed.params["messages"] = user_turn(value)


def _take_messages(parsed: ParsedLine, name: str, value: Any) -> None:
    """Set the conversation, with its leading system messages in the `system`
    parameter.
    """
    leading, rest = split_system(value) if isinstance(value, list) else ([], value)
    parsed.names = Names(name, len(leading))
    if not leading:
        _take_conversation(parsed, name, value, 0)
        return
    faults = check_system_messages(name, leading)
    if "system" in parsed.params:
        reason = f'"system" and a system message in "{name}" are both given'
        faults.append(Problem("E342", reason, "keep one of them"))
    parsed.problems += faults
    _take_conversation(parsed, name, rest, len(leading))
    if not faults:
        parsed.params["system"] = joined_system(leading)


def _take_conversation(parsed: ParsedLine, name: str, messages: Any, first: int) -> None:
    problems = check_messages(
        name, messages, first=first, checked=parsed.checked and not parsed.betas
    )
    if problems:
        parsed.problems += problems
        parsed.broken.add("messages")
    parsed.params["messages"] = messages


def _take_parameters(
    parsed: ParsedLine, fields: dict[str, Any], content: str, known: frozenset[str]
) -> None:
    """Check and set every parameter among *fields*; other functions read the *content*
    and the *known* labels.
    """
    others: list[str] = []
    if "betas" in fields:
        parsed.betas, _ = beta_names(fields["betas"])
    for name, value in fields.items():
        check = CHECKS.get(name)
        if check is not None:
            problems = check(name, value)
            if problems:
                parsed.problems += problems
                parsed.broken.add(name)
            parsed.params[name] = value
        elif name not in LABELS and parsed.betas and _is_beta(name, parsed.betas):
            parsed.params[name] = value
        elif name != content and not (name in LABELS and name in known):
            others.append(name)
    if others:
        # What stands beside "params" or "body" is no parameter; what is inside must be.
        take = _refuse_unknown if known is _BATCH_FIELDS else _take_others
        take(parsed, others, known, _ELSEWHERE)
    # Only after all checks: it reads members whose types they have confirmed.
    if not parsed.problems:
        _sort_out(parsed)
        # Inside "params" it is part of the request's own form.
        if parsed.attributes and known is not _BATCH_FIELDS and parsed.extra == "keep":
            parsed.columns.append("metadata")


def _is_beta(name: str, betas: Collection[str]) -> bool:
    """Whether a request with the headers *betas* may have the parameter *name*."""
    types = request_types()
    return name in types.only_beta or (name not in REFUSED and not types.knows(betas))


def _sort_out(parsed: ParsedLine) -> None:
    """Remove from the checked parameters the members that are not sent unchanged."""
    # The client decides how an answer arrives; in the body it would split cache keys.
    parsed.params.pop("stream", None)
    # A header of the request, which the API does not know as a member.
    parsed.params.pop("betas", None)
    parsed.model = parsed.params.pop("model", None)
    metadata = parsed.params.pop("metadata", None)
    if metadata is not None:
        # The API accepts `user_id` alone; every other member is for routing rules.
        parsed.attributes = attributes_of(metadata)
        if metadata.get("user_id") is not None:
            parsed.params["metadata"] = {"user_id": metadata["user_id"]}


def _take_others(
    parsed: ParsedLine, names: Sequence[str], known: Collection[str], otherwise: str
) -> None:
    """Keep the fields *names* as columns, or refuse them: all, or those that are
    parameters and misspellings of what is *known*.
    """
    reserved = _RESERVED | request_types().only_beta
    columns = [
        name for name in names if parsed.extra != "refuse" and is_column(name, known, reserved)
    ]
    if parsed.extra == "keep":
        parsed.columns += columns
    refused = [name for name in names if name not in columns]
    if refused:
        _refuse_unknown(parsed, refused, known, otherwise)


def _refuse_unknown(
    parsed: ParsedLine, names: Collection[str], known: Iterable[str], otherwise: str
) -> None:
    for name in sorted(names)[:MAX_PROBLEMS]:
        if name in REFUSED:
            reason, fix = REFUSED[name]
            parsed.problems.append(Problem("E343", f'"{name}" {reason}', removal(name, fix)))
        elif name in request_types().only_beta:
            reason = f'"{name}" belongs to a beta of the API'
            parsed.problems.append(Problem("E344", reason, beta_fix(name)))
        elif name in LABELS:
            parsed.problems.append(
                Problem("E345", f'"{name}" is not a parameter', 'move it beside "params"')
            )
        else:
            parsed.problems.append(unknown(name, known, otherwise))
    if len(names) > MAX_PROBLEMS:
        parsed.problems.append(
            Problem("E346", f"{len(names) - MAX_PROBLEMS} more unknown fields", otherwise)
        )


_Reader: TypeAlias = Callable[[ParsedLine, dict[str, Any], str], None]
_SHAPES: Mapping[str, tuple[str, _Reader]] = {
    **{name: (f'a "{name}" line', _read_prompt) for name in PROMPTS},
    "messages": ('a "messages" line', _read_messages),
    "params": ("an Anthropic batch line", _read_anthropic),
    "body": ("an OpenAI batch line", _read_openai),
}
