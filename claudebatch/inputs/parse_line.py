"""One input line becomes one prompt, or the full list of what is wrong with it.

Runs once or twice for each of a million lines, so a plain line costs one decode, one
encode and one hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import BadRow, Problem
from claudebatch.core.jsonl import MAX_LINE_BYTES, InvalidJson, decode, encode
from claudebatch.inputs.parsed_line import ParsedLine
from claudebatch.inputs.shapes import json_line, text_line

_ID_BYTES = 8
"""16 hex digits: among a million prompts, two share an id by chance once in 37 million
runs.
"""

_FIXES = {
    "UTF-8": "save the file as UTF-8",
    "nested": "flatten it",
    "too large": "write the number in quotes",
    "surrogate": "write the whole character",
}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a line that does not say otherwise gets."""

    max_tokens: int
    system: str | None = None
    text: bool = False
    """Each line is a prompt as it stands, not JSON."""


def parse_line(data: bytes, defaults: Defaults, *, file: str, line: int) -> Prompt:
    """The prompt that the line *data* asks; raises `BadRow` with every problem found,
    and nothing else.
    """
    found = _read(data, text=defaults.text)
    if found.problems:
        raise BadRow(*(Problem(f"{p.reason} (in {found.shape})", p.fix) for p in found.problems))
    digest = _digest(found)
    own_id = found.id
    return Prompt(
        digest[:_ID_BYTES].hex() if own_id is None else own_id,
        _with_defaults(found.params, defaults),
        found.model,
        found.tags,
        found.attributes,
        digest,
        own_id is not None,
        file,
        line,
    )


def _read(data: bytes, *, text: bool) -> ParsedLine:
    if len(data) > MAX_LINE_BYTES:
        megabytes = MAX_LINE_BYTES // 1_000_000
        raise BadRow(
            Problem(
                f"the line is longer than {megabytes} MB", "the API takes 32 MB: shorten the prompt"
            )
        )
    if text:
        return text_line(_text(data))
    try:
        value = decode(data)
    except InvalidJson as error:
        raise BadRow(Problem(str(error), _json_fix(data, str(error)))) from error
    return json_line(value, data)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRow(
            Problem(f"not valid UTF-8 at byte {error.start + 1}", "save the file as UTF-8")
        ) from error


def _json_fix(data: bytes, reason: str) -> str:
    for word, fix in _FIXES.items():
        if word in reason:
            return fix
    if data.lstrip()[:1] in (b"{", b'"', b"["):
        return "write one whole JSON value on the line"
    return "write one JSON value per line, or use --text if each line is a prompt as it stands"


def _digest(found: ParsedLine) -> bytes:
    """The hash of all that the line itself says, but for its id."""
    return sha256(encode((found.params, found.model, found.tags, found.attributes))).digest()


def _with_defaults(own: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """The line's own parameters before the defaults; an empty `system` means none at
    all.
    """
    params = {"max_tokens": defaults.max_tokens, **own}
    if "system" not in own:
        if defaults.system:
            params["system"] = defaults.system
    elif not own["system"]:
        del params["system"]
    return params
