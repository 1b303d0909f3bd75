"""JSON that is whole but for its encoding or for some of its characters.

Gateways re-encode what they pass on, cut a character in half or pad a body. The answer
inside was paid for: it is read, and whatever cannot be is replaced and counted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

_REPLACEMENT = "\ufffd"
_MOST_DIGITS = 300
# Marks of an encoding, and padding: nothing of it belongs to the value.
_AROUND = "\ufeff\0 \t\r\n"
# Strings that are never closed end with the text: looking for their end once for every
# quote in them would take the square of the time.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_PARTS = re.compile(rf"{_STRING}|-?\bInfinity\b|\bNaN\b", re.DOTALL)
_HEX = "[0-9a-fA-F]"
_IN_STRING = re.compile(
    rf"\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
    rf'|\\u{_HEX}{{4}}|\\["\\/bfnrt]|\\|[\x00-\x1f]'
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]..")
_BACKSLASH = 0x5C
_HALF_IN_BYTES = re.compile(rb"\\u[dD]").search
_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")


@dataclass(frozen=True, slots=True)
class Repaired:
    """A body in valid UTF-8, valid as JSON wherever its characters were what was
    wrong.
    """

    body: bytes
    replaced: int
    """Characters, or numbers, that nobody can read: U+FFFD or null stands for each."""


def is_plain(body: bytes) -> bool:
    """Whether *body* is UTF-8 in which no escape can be half a character."""
    # By number, as in `message`: a search for a text of one byte takes five times as
    # long, and this runs for every answer.
    if _BACKSLASH in body and _HALF_IN_BYTES(body):
        return False
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def repaired(body: bytes) -> Repaired:
    """*body* with its characters repaired. Raises `UnicodeDecodeError` where it is cut
    within one.
    """
    text, lost = joined(decoded(body))
    strings = _Strings()
    text = _PARTS.sub(strings.part, text.strip(_AROUND))
    return Repaired(text.encode(), lost + strings.lost)


def decoded(body: bytes) -> str:
    """*body* in the encoding that its first bytes show. Bytes that are no UTF-8 become
    lone surrogates, for `joined`.
    """
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8"):
        return body.decode("utf-8", "surrogateescape")
    return body.decode(encoding, "surrogatepass")


def loose(body: bytes) -> object:
    """The value of *body*, with halves of characters still in its strings: a gateway
    may have cut a stream between them. Raises `ValueError`.
    """
    text = decoded(body).strip(_AROUND)
    plain = _PARTS.sub(_Strings(keep_halves=True).part, text)
    return json.loads(plain, parse_int=_whole, parse_float=_real)


def _whole(digits: str) -> int | str:
    # Python reads no longer ones; as a text it is at least no count of anything.
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _real(digits: str) -> float | str:
    number = float(digits)
    return number if isfinite(number) else digits


def joined_within(value: Any) -> tuple[Any, int]:
    """*value*, as JSON has it, with `joined` done to all of its strings."""
    if isinstance(value, str):
        return joined(value)
    if isinstance(value, list):
        each = [joined_within(one) for one in value]
        return [one for one, _ in each], sum(lost for _, lost in each)
    if isinstance(value, dict):
        pairs = [(joined(name), joined_within(one)) for name, one in value.items()]
        lost = sum(in_name + in_one for (_, in_name), (_, in_one) in pairs)
        return {name: one for (name, _), (one, _) in pairs}, lost
    return value, 0


def joined(text: str) -> tuple[str, int]:
    """*text* with the halves of characters put together, and how many had no other
    half.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = _BYTES.sub(_of_bytes, text)
        whole = whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole, whole.count(_REPLACEMENT) - text.count(_REPLACEMENT)
    return text, 0


def marked(body: bytes, replaced: int) -> bytes:
    """The object *body* with a member that says how many characters were *replaced*."""
    if not replaced or not body.endswith(b"}"):
        return body
    return b'%b,"replaced_characters":%d}' % (body[:-1], replaced)


def _of_bytes(found: re.Match[str]) -> str:
    raw = found[0].encode("utf-8", "surrogateescape")
    try:
        # Half a character in the form of UTF-8, as some databases write all of them.
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


class _Strings:
    """Repairs the strings of a text."""

    def __init__(self, *, keep_halves: bool = False) -> None:
        self._keep_halves = keep_halves
        # Mutable, changed by the substitutions only.
        self.lost = 0

    def part(self, found: re.Match[str]) -> str:
        """A string, repaired; null for a number that JSON does not have."""
        part = found[0]
        if not part.startswith('"'):
            self.lost += 1
            return "null"
        return _IN_STRING.sub(self._character, part)

    def _character(self, found: re.Match[str]) -> str:
        part = found[0]
        if part == "\\":  # escapes nothing that JSON knows: it was meant as it stands
            return "\\\\"
        if len(part) == 1 and part < " ":
            return f"\\u{ord(part):04x}"
        if len(part) == 6 and _HALF.match(part) and not self._keep_halves:
            self.lost += 1
            return "\\ufffd"
        return part
