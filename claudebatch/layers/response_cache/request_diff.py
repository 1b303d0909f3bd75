"""How two requests differ, in the words of people who write prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, NamedTuple
from unicodedata import category, normalize

from claudebatch.core.jsonl import encode
from claudebatch.core.reports import FieldChange

# Of a text that differs, so much is shown, from a little before the difference.
_SHOWN, _BEFORE = 48, 16
# More changes than these are a request of another kind: nobody reads them all.
_MOST = 12
# Longer texts are compared by their beginnings: comparing takes the square of it.
_COMPARED = 600
_NAMES = {
    "system": "system prompt",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop sequences",
    "tool_choice": "tool choice",
    "output_config.format": "schema",
    "output_config.effort": "effort",
    "inference_geo": "place of inference",
    "context_management": "context management",
    "mcp_servers": "MCP servers",
}
# Told apart by parts of their own, or below.
_OWN = frozenset({"messages", "model", "system", "tools", "output_config"})
_NOTHING = "none"


class AskedRequest(NamedTuple):
    """A request with what stands beside its body."""

    body: Mapping[str, Any]
    betas: tuple[str, ...] = ()
    repeat: int = 0
    place: str = ""


def is_request(body: Mapping[str, Any]) -> bool:
    """Whether *body* has the form of a request, as all that was ever answered has. What
    was planted or imported may have any.
    """
    turns = body.get("messages")
    if not isinstance(turns, list):
        return False
    contents = [turn.get("content") if isinstance(turn, dict) else None for turn in turns]
    return (
        all(_is_content(content) for content in (*contents, body.get("system") or []))
        and isinstance(body.get("tools") or [], list)
        and isinstance(body.get("output_config") or {}, dict)
    )


def _is_content(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list)
        and all(
            isinstance(block, dict) and isinstance(block.get("text") or "", str) for block in value
        )
    )


def changes(then: AskedRequest, now: AskedRequest) -> list[FieldChange]:
    """What has to be changed in *then* to make it *now*; nothing: they are equal."""
    return list(_changes(then, now))[:_MOST]


def likeness(then: AskedRequest, now: AskedRequest) -> float:
    """How alike the last messages are, from 0 to 1."""
    one, two = (_all_text(_turns(each.body)[-1:])[:_COMPARED] for each in (then, now))
    if one == two:
        return 1.0
    return SequenceMatcher(None, one, two, autojunk=False).ratio()


def _changes(then: AskedRequest, now: AskedRequest) -> Iterator[FieldChange]:
    before, after = then.body, now.body
    # In the order in which people look for the reason.
    yield from _plain("model", before.get("model"), after.get("model"))
    yield from _texts("system prompt", before.get("system"), after.get("system"))
    yield from _messages(_turns(before), _turns(after))
    yield from _tools(before.get("tools") or [], after.get("tools") or [])
    yield from _config(before.get("output_config") or {}, after.get("output_config") or {})
    for name in sorted((before.keys() | after.keys()) - _OWN):
        yield from _plain(_NAMES.get(name, name), before.get(name), after.get(name))
    yield from _plain("beta headers", _listed(then.betas), _listed(now.betas))
    if then.repeat != now.repeat:
        one, two = f"answer {then.repeat + 1}", f"answer {now.repeat + 1}"
        yield FieldChange("repeat", one, f"{two} of its row")
    yield from _plain("asked at", then.place or "the API", now.place or "the API")


def _listed(betas: Sequence[str]) -> str | None:
    # Their order means nothing, and the key leaves it out.
    return ", ".join(sorted(betas)) or None


def _plain(name: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if before != after:
        yield FieldChange(name, *_windows(_shown(before), _shown(after)))


def _shown(value: Any) -> str:
    if value is None:
        return _NOTHING
    return value if isinstance(value, str) else encode(value).decode(errors="replace")


def _texts(name: str, before: Any, after: Any) -> Iterator[FieldChange]:
    """Two texts, each as one string or as blocks."""
    if before == after:
        return
    one, two = (_as_text(value) for value in (before, after))
    if one is not None and two is not None and one != two:
        yield _text_change(name, one, two)
    elif one is None or two is None:
        ends = (_NOTHING if text is None else f"'{_window(text, 0)}'" for text in (one, two))
        yield FieldChange(name, *ends)
    else:
        # Only what stands beside the text differs, such as a mark of the prompt cache.
        yield from _message(name, {"content": before}, {"content": after})


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return _all_text([{"content": value}]) if isinstance(value, list) else None


def _text_change(name: str, before: str, after: str) -> FieldChange:
    one, two = _windows(before, after)
    return FieldChange(name, f"'{one}'", f"'{two}'", note=_unseen(before, after))


def _unseen(before: str, after: str) -> str:
    """What differs, if nobody sees it: a row of such is what this command is asked
    about.
    """
    if before.split() == after.split():
        return "only blanks or line ends differ"
    if before.casefold() == after.casefold():
        return "only upper and lower case differ"
    # An accent is a part of its letter, or a character behind it.
    if normalize("NFC", before) == normalize("NFC", after):
        return "only the Unicode form differs, as NFC and NFD do"
    # A byte order mark, a soft hyphen, what joins or parts words at no width.
    if _without_format(before) == _without_format(after):
        return "only characters that are not seen differ"
    return ""


def _without_format(text: str) -> str:
    return "".join(character for character in text if category(character) != "Cf")


def _windows(before: str, after: str) -> tuple[str, str]:
    """Both texts around the place where they begin to differ, on one line each."""
    pairs = enumerate(zip(before, after, strict=False))
    ends = min(len(before), len(after))
    same = next((place for place, (one, two) in pairs if one != two), ends)
    start = 0 if same <= _BEFORE else same - _BEFORE
    if start:
        # From the beginning of a word on, if one is near.
        blank = before.find(" ", start, same)
        start = blank + 1 if blank >= 0 else start
    return _window(before, start), _window(after, start)


def _window(text: str, start: int) -> str:
    # Visible, as they may be all that differs.
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[start : start + _SHOWN]
    )
    return f"{'…' if start else ''}{shown}{'…' if start + _SHOWN < len(text) else ''}"


def _messages(before: Sequence[Any], after: Sequence[Any]) -> Iterator[FieldChange]:
    if len(before) != len(after):
        yield FieldChange("messages", str(len(before)), str(len(after)))
    # One message is what people call the prompt, and nobody would call it the first.
    single = len(before) == len(after) == 1
    for number, (one, two) in enumerate(zip(before, after, strict=False), 1):
        if one == two:
            continue
        # By number and role, as long conversations are talked about.
        role = one.get("role") if isinstance(one, dict) else None
        name = "prompt" if single else f"message {number} ({role})"
        yield from _message(name, one, two)


def _message(name: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield from _plain(name, before, after)
        return
    yield from _plain(f"{name}, role", before.get("role"), after.get("role"))
    one, two = before.get("content"), after.get("content")
    if isinstance(one, str) and isinstance(two, str):
        if one != two:
            yield _text_change(name, one, two)
        return
    blocks = [_blocks(content) for content in (one, two)]
    for block, other in zip_longest(*blocks):
        if block != other:
            yield from _block(name, block, other)
    if blocks[0] == blocks[1] and one != two:
        yield FieldChange(name, _form(one), _form(two), note="the same text, written otherwise")


def _form(content: Any) -> str:
    return "a string" if isinstance(content, str) else "a list of blocks"


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def _block(name: str, before: Any, after: Any) -> Iterator[FieldChange]:
    one, two = _kind(before), _kind(after)
    if one != two:
        yield FieldChange(name, one, two)
        return
    if one == "text" and before.get("text") != after.get("text"):
        yield _text_change(name, before.get("text") or "", after.get("text") or "")
    mark = before.get("cache_control"), after.get("cache_control")
    yield from _plain(f"{name}, cache_control", *mark)
    apart = {"text", "cache_control"}
    left = [{k: v for k, v in block.items() if k not in apart} for block in (before, after)]
    if left[0] != left[1]:
        same = _data(left[0]) and _data(left[0]) == _data(left[1])
        note = "another file" if one in ("image", "document") and not same else ""
        yield FieldChange(f"{name}, {one}", *_sizes(*left), note=note)


def _sizes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str]:
    texts = [encode(block).decode(errors="replace") for block in (before, after)]
    data = [_data(block) for block in (before, after)]
    # Of a file in base64 nothing can be read: its size at least tells something.
    if all(data) and data[0] != data[1]:
        return f"{len(data[0]):,} characters", f"{len(data[1]):,} characters"
    return _windows(*texts)


def _data(block: Mapping[str, Any]) -> str:
    source = block.get("source")
    found = source.get("data") if isinstance(source, dict) else None
    return found if isinstance(found, str) else ""


def _kind(block: Any) -> str:
    if block is None:
        return _NOTHING
    return str(block.get("type")) if isinstance(block, dict) else type(block).__name__


def _tools(before: Sequence[Any], after: Sequence[Any]) -> Iterator[FieldChange]:
    if before == after:
        return
    # By name: a tool that was moved is still the same one.
    old, new = ({_tool_name(tool): tool for tool in tools} for tools in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield FieldChange("tools", name, "without it")
        elif name not in old:
            yield FieldChange("tools", "without it", name)
        else:
            yield from _members(f"tool {name}", old[name], new[name])
    if old == new:
        yield FieldChange("tools", ", ".join(old), ", ".join(new), note="in another order")


def _members(name: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield from _plain(name, before, after)
        return
    for member in sorted(before.keys() | after.keys()):
        one, two = before.get(member), after.get(member)
        both = isinstance(one, str) and isinstance(two, str)
        yield from (_texts if both else _plain)(f"{name}, {member}", one, two)


def _tool_name(tool: Any) -> str:
    return str(tool.get("name") or tool.get("type")) if isinstance(tool, dict) else str(tool)


def _config(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    for name in sorted(before.keys() | after.keys()):
        path = f"output_config.{name}"
        one, two = (_schema(config.get(name)) for config in (before, after))
        yield from _plain(_NAMES.get(path, path), one, two)


def _schema(value: Any) -> Any:
    return value.get("schema", value) if isinstance(value, dict) else value


def _turns(body: Mapping[str, Any]) -> Sequence[Any]:
    messages = body.get("messages")
    return messages if isinstance(messages, list) else []


def _all_text(turns: Sequence[Any]) -> str:
    texts = []
    for turn in turns:
        content = turn.get("content") if isinstance(turn, dict) else None
        for block in _blocks(content):
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                texts.append(block["text"])
    return "\n".join(texts)
