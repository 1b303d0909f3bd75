"""Routing rules: prompts that meet a condition go to a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claudebatch.core.errors import ConfigError, all_at_once
from claudebatch.core.values_shown import got
from claudebatch.models.catalog import did_you_mean
from claudebatch.routing.conditions import Condition, parse_condition

RESERVED_NAMES = ("line", "--model", "default")
"""Values of `Route.rule` for routes that no rule decided."""

_KEYS = ("name", "when", "model", "via")
_VIAS = ("live", "batch")
# How a fault begins: the rule's number, maybe its name, and the member.
_PLACE = re.compile(r"(\w+)(\[\d+\])?(?: \([^)]*\))?((?:\.\w+|\[\d+\])*)")


@dataclass(frozen=True, slots=True)
class Rule:
    """Prompts that meet *when* go to *model*."""

    name: str
    """Shown in results and estimates."""
    when: Condition
    model: str
    via: str | None = None
    """How its rows are sent, live or batch; None: as all others."""

    @classmethod
    def parse(cls, raw: Mapping[str, Any], where: str) -> Rule:
        """The rule in a plain mapping; *where* is its place in the configuration, for
        error messages.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(
                "E147",
                f"{where} must be a mapping, got {got(raw)}",
                fix="write name, when and model",
            )
        for key in raw:
            if key not in _KEYS:
                raise ConfigError(
                    "E148",
                    f"{where} has the unknown field {key!r}",
                    fix=did_you_mean(str(key), _KEYS, "fields of a rule"),
                )
        name = _text(raw, "name", where)
        # In results and the ledger such a rule could not be told from rows without one.
        if name in RESERVED_NAMES:
            raise ConfigError(
                "E149",
                f"{where}: the name {name!r} is reserved",
                fix="results use it for rows that no rule matched: choose another",
            )
        where = f"{where} ({name})"
        when = parse_condition(raw.get("when"), f"{where}.when")
        return cls(name, when, _text(raw, "model", where), _via(raw, where))


def parse_rules(
    raw: Any, where: str, locate: Callable[[str], str] = lambda key: ""
) -> tuple[Rule, ...]:
    """The rules of a plain list, in its order; the names must differ. Raises
    `ConfigError` with the faults of all rules; *locate* gives the `file:line` of a
    dotted key.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise ConfigError(
            "E150",
            f"{where} must be a list of rules, got {got(raw)}",
            fix="write one rule per dash",
        )
    rules, faults = [], []
    for number, item in enumerate(raw):
        try:
            rules.append(Rule.parse(item, f"{where}[{number}]"))
        except ConfigError as fault:
            faults.append(_located(fault, locate))
    if faults:
        raise all_at_once(faults)
    names = [rule.name for rule in rules]
    for number, name in enumerate(names):
        # Sums by route would be those of both rules.
        if name in names[:number]:
            twin = ConfigError(
                "E151",
                f"{where}[{number}]: a rule before it has the same name, {name!r}",
                fix="rule names must be unique: rename one",
            )
            raise _located(twin, locate)
    return tuple(rules)


def _located(fault: ConfigError, locate: Callable[[str], str]) -> ConfigError:
    """*fault* with the file and the line of what it names."""
    found = _PLACE.match(fault.message)
    key = "" if found is None else "".join(found.groups("")).replace("[", ".").replace("]", "")
    place = locate(key)
    return ConfigError(fault.id, f"{place}: {fault.message}", fix=fault.fix) if place else fault


def _via(raw: Mapping[str, Any], where: str) -> str | None:
    value = raw.get("via")
    if value is not None and value not in _VIAS:
        raise ConfigError(
            "E199",
            f"{where}.via must be live or batch, got {got(value)}",
            fix="live: sent at once; batch: with a message batch, at half the price",
        )
    return value


def _text(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            "E152", f"{where}.{key} must be text, got {got(value)}", fix=f"every rule needs a {key}"
        )
    return value
