"""A value out of an answer in prose: `json`, `code`, `xml:TAG` or `regex:PATTERN`."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from claudebatch.core.jsonl import InvalidJson, decode

_FENCED = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^[ \t]*(?P=mark)[`~]*", re.M | re.S
)
_OPENS = re.compile(r"[{\[]")
_TAG = re.compile(r"[A-Za-z_][\w.-]*")
_DECODER = json.JSONDecoder()
# Brackets in prose are no JSON. Trying each of a million would take as many passes.
_MOST_TRIES = 1000


class BadExtract(ValueError):
    """What is to be extracted is not said in a known way; the text is the reason."""


def check_extract(wanted: str) -> None:
    """Raise `BadExtract` for *wanted* that nothing can be found by."""
    kind, colon, rest = wanted.partition(":")
    if wanted in ("json", "code"):
        return
    if kind == "xml" and colon:
        if not _TAG.fullmatch(rest):
            raise BadExtract(f'"{rest}" is no name of a tag')
    elif kind == "regex" and colon and rest:
        try:
            re.compile(rest)
        except re.error as error:
            raise BadExtract(f"the pattern cannot be read: {error}") from error
    else:
        raise BadExtract(f'"{wanted}" is none of json, code, xml:TAG and regex:PATTERN')


def extracted(wanted: str, text: str) -> Any | None:
    """The value of *text* that *wanted* names; None: there is none."""
    kind, _, rest = wanted.partition(":")
    if kind == "json":
        return _json(text)
    if kind == "code":
        found = _FENCED.search(text)
        return None if found is None else found["code"].removesuffix("\n")
    pattern = _pattern(kind, rest)
    found = pattern.search(text)
    if found is None:
        return None
    if kind == "xml":
        return found[1].strip()
    if pattern.groupindex:
        return found.groupdict()
    return found[1] if pattern.groups else found[0]


@lru_cache(maxsize=8)
def _pattern(kind: str, rest: str) -> re.Pattern[str]:
    if kind == "regex":
        return re.compile(rest)
    tag = re.escape(rest)
    return re.compile(rf"<{tag}(?:\s[^>]*)?>(.*?)</{tag}\s*>", re.S)


def _json(text: str) -> Any | None:
    """The whole text, else the first code block that is JSON, else the first object or
    list within the prose.
    """
    for candidate in (text, *(found["code"] for found in _FENCED.finditer(text))):
        value = _decoded(candidate)
        if value is not None:
            return value
    place, tries = 0, 0
    while (opens := _OPENS.search(text, place)) is not None and tries < _MOST_TRIES:
        tries += 1
        try:
            _, end = _DECODER.raw_decode(text, opens.start())
        except (ValueError, RecursionError):
            place = opens.end()
            continue
        value = _decoded(text[opens.start() : end])
        if value is not None:
            return value
        place = end
    return None


def _decoded(text: str) -> Any | None:
    try:
        return decode(text.encode())
    except (InvalidJson, UnicodeEncodeError):
        return None
