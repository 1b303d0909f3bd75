"""A value of the configuration, as a message repeats it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_LONGEST = 40
_KINDS: Mapping[str, str] = {
    "array": "a list",
    "bool": "true or false",
    "decimal": "an amount of dollars",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a mapping",
    "str": "text",
}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?: (>=|<=|>|<) (\S+))?(?: of length >= (\d+))?")
_SIGNS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


def got(value: object) -> str:
    """What *value* is, in the words of YAML: short values as they are, others by their
    kind.
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def expected(reason: str, value: object) -> str:
    """*reason*, what msgspec says of *value*, in the words of YAML."""
    if reason.startswith("Invalid enum value"):
        return f"unknown value{reason.removeprefix('Invalid enum value')}"
    found = _EXPECTED.match(reason)
    if found is None:
        return reason[0].lower() + reason[1:].replace("`", "")
    kinds, sign, bound, length = found.groups()
    named = " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))
    if sign:
        named += f" {_SIGNS[sign]} {_plain(bound)}"
    if length:
        named += f" of at least {length} character{'' if length == '1' else 's'}"
    return f"expected {named}, got {'text' if isinstance(value, str) and value else got(value)}"


def _plain(bound: str) -> str:
    return f"{float(bound):,.0f}" if float(bound).is_integer() else bound
