"""The conditions of routing rules, parsed from plain YAML mappings into tests on a
prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

from claudebatch.core.errors import ConfigError
from claudebatch.core.field_paths import value_at
from claudebatch.core.jsonl import encode
from claudebatch.core.values_shown import got
from claudebatch.models.catalog import did_you_mean
from claudebatch.routing.column_test import column_test
from claudebatch.routing.prompt_view import PromptView

Condition: TypeAlias = Callable[[PromptView], bool]
"""Decides whether a prompt meets the condition."""


def parse_condition(raw: Any, where: str) -> Condition:
    """The condition in *raw*, all of whose keys must hold; *where* is its place in
    error messages.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(
            "E135",
            f"{where} must be a mapping of conditions, got {got(raw)}",
            fix="give one such as {input_tokens: {max: 500}}; what no rule matches goes to the "
            "default model",
        )
    for key in raw:
        if key not in _PARSERS:
            raise ConfigError(
                "E136",
                f"{where} has the unknown condition {key!r}",
                fix=did_you_mean(str(key), _PARSERS, "conditions"),
            )
    # Cheap tests come first, in the table's order, so that tokens are estimated only
    # when nothing else decides.
    tests = tuple(
        parse(raw[key], f"{where}.{key}") for key, parse in _PARSERS.items() if key in raw
    )
    return tests[0] if len(tests) == 1 else _all(tests)


def _all(tests: tuple[Condition, ...]) -> Condition:
    def test(view: PromptView) -> bool:
        for holds in tests:  # noqa: SIM110 - half the time of all(), and this runs for every prompt
            if not holds(view):
                return False
        return True

    return test


def _range(attribute: str) -> Callable[[Any, str], Condition]:
    """Parser of `{min, max}`, both inclusive, on a number of the view."""
    number = attrgetter(attribute)

    def parse(raw: Any, where: str) -> Condition:
        least, most = _bounds(raw, where)
        return lambda view: least <= number(view) <= most

    return parse


def _bounds(raw: Any, where: str) -> tuple[int, float]:
    fix = "write {min: 100}, {max: 500} or both"
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError("E137", f"{where} must be a range, got {got(raw)}", fix=fix)
    for key, bound in raw.items():
        if key not in ("min", "max"):
            raise ConfigError("E138", f"{where} has the unknown bound {key!r}", fix=fix)
        # `type`, because YAML's `yes` is an int to `isinstance`.
        if type(bound) is not int or bound < 0:
            raise ConfigError(
                "E139", f"{where}.{key} must be a whole number from 0 up, got {got(bound)}", fix=fix
            )
    least, most = raw.get("min", 0), raw.get("max", float("inf"))
    # A rule that can never match is a typo, and its rows would silently go to the
    # default model.
    if least > most:
        raise ConfigError(
            "E140", f"{where} matches nothing: min {least} is above max {most}", fix="swap the two"
        )
    return least, most


def _flag(attribute: str) -> Callable[[Any, str], Condition]:
    """Parser of true or false on a yes-or-no of the view."""
    read = attrgetter(attribute)

    def parse(raw: Any, where: str) -> Condition:
        if not isinstance(raw, bool):
            raise ConfigError(
                "E141",
                f"{where} must be true or false, got {got(raw)}",
                fix="write true or false, without quotes",
            )
        return lambda view: read(view) is raw

    return parse


def _tags(raw: Any, where: str) -> Condition:
    wanted = _strings(raw, where)
    return lambda view: not wanted.isdisjoint(view.prompt.tags)


def _tags_all(raw: Any, where: str) -> Condition:
    wanted = _strings(raw, where)
    return lambda view: wanted.issubset(view.prompt.tags)


def _metadata(raw: Any, where: str) -> Condition:
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(
            "E142",
            f"{where} must be a mapping, got {got(raw)}",
            fix="write {key: value} or {key: [value, value]}",
        )
    # YAML reads `2024:` as a number; a line's metadata has text keys only.
    wanted = {str(key): _strings(value, f"{where}.{key}") for key, value in raw.items()}

    def test(view: PromptView) -> bool:
        attributes = view.prompt.attributes
        return all(attributes.get(key) in values for key, values in wanted.items())

    return test


def _columns(raw: Any, where: str) -> Condition:
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(
            "E160",
            f"{where} must be a mapping, got {got(raw)}",
            fix="write {column: value}, {column: [value, value]} or {column: {min: 1}}",
        )
    wanted = [(str(name), column_test(value, f"{where}.{name}")) for name, value in raw.items()]

    def test(view: PromptView) -> bool:
        columns = view.columns
        return all(fits(value_at(columns, name)) for name, fits in wanted)

    return test


def _pattern(raw: Any, where: str) -> Condition:
    if not isinstance(raw, str) or not raw:
        raise ConfigError(
            "E143",
            f"{where} must be a regular expression, got {got(raw)}",
            fix="write it in single quotes",
        )
    try:
        search = re.compile(raw).search
    except re.error as error:
        fix = "fix the pattern; in YAML single quotes keep backslashes as they are"
        raise ConfigError(
            "E144", f"{where} is not a valid regular expression: {error}", fix=fix
        ) from error
    return lambda view: search(view.text) is not None


def _any(raw: Any, where: str) -> Condition:
    if not isinstance(raw, list) or not raw:
        raise ConfigError(
            "E145",
            f"{where} must be a list of conditions, got {got(raw)}",
            fix="write one condition per dash",
        )
    tests = tuple(parse_condition(item, f"{where}[{number}]") for number, item in enumerate(raw))
    return lambda view: any(test(view) for test in tests)


def _not(raw: Any, where: str) -> Condition:
    test = parse_condition(raw, where)
    return lambda view: not test(view)


def _strings(raw: Any, where: str) -> frozenset[str]:
    """A plain value or a list of them, as texts. Numbers and booleans are spelt as in
    JSON, because that is their spelling in a line's metadata.
    """
    values = raw if isinstance(raw, list) else [raw]
    if not values or not all(isinstance(value, str | int | float) for value in values):
        raise ConfigError(
            "E146",
            f"{where} must be a value or a list of values, got {got(raw)}",
            fix="write [first, second]",
        )
    return frozenset(
        value if isinstance(value, str) else encode(value).decode() for value in values
    )


# In order of cost: `_range("input_tokens")` estimates tokens, `_pattern` joins all
# text.
_PARSERS: dict[str, Callable[[Any, str], Condition]] = {
    "tags": _tags,
    "tags_all": _tags_all,
    "metadata": _metadata,
    "has_tools": _flag("has_tools"),
    "has_schema": _flag("has_schema"),
    "max_tokens": _range("max_tokens"),
    "turns": _range("turns"),
    "has_images": _flag("has_images"),
    "has_documents": _flag("has_documents"),
    "columns": _columns,
    "any": _any,
    "not": _not,
    "input_tokens": _range("input_tokens"),
    "prompt_matches": _pattern,
}
