"""Routing rules: prompts that meet a condition go to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claudebatch.core.errors import ConfigError
from claudebatch.models.catalog import did_you_mean
from claudebatch.routing.conditions import Condition, parse_condition

RESERVED_NAMES = ("line", "--model", "default")
"""Values of `Route.rule` for routes that no rule decided."""

_KEYS = ("name", "when", "model")


@dataclass(frozen=True, slots=True)
class Rule:
    """Prompts that meet *when* go to *model*."""

    name: str
    """Shown in results and estimates."""
    when: Condition
    model: str

    @classmethod
    def parse(cls, raw: Mapping[str, Any], where: str) -> Rule:
        """The rule in a plain mapping; *where* is its place in the configuration, for
        error messages.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(
                "E147", f"{where} must be a mapping, got {raw!r}", fix="write name, when and model"
            )
        for key in raw:
            if key not in _KEYS:
                raise ConfigError(
                    "E148",
                    f"{where} has no field called {key!r}",
                    fix=did_you_mean(str(key), _KEYS, "fields of a rule"),
                )
        name = _text(raw, "name", where)
        # In results and the ledger such a rule could not be told from rows without one.
        if name in RESERVED_NAMES:
            raise ConfigError(
                "E149",
                f"{where}: the name {name!r} is taken",
                fix="results use it where no rule decided",
            )
        where = f"{where} ({name})"
        return cls(
            name, parse_condition(raw.get("when"), f"{where}.when"), _text(raw, "model", where)
        )


def parse_rules(raw: Any, where: str) -> tuple[Rule, ...]:
    """The rules of a plain list, in its order; the names must differ."""
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise ConfigError(
            "E150", f"{where} must be a list of rules, got {raw!r}", fix="write one rule per dash"
        )
    rules = tuple(Rule.parse(item, f"{where}[{number}]") for number, item in enumerate(raw))
    names = [rule.name for rule in rules]
    for name in names:
        # Sums by route would be those of both rules.
        if names.count(name) > 1:
            raise ConfigError(
                "E151",
                f"{where}: two rules are called {name!r}",
                fix="results tell rules by name: rename one",
            )
    return rules


def _text(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            "E152", f"{where}.{key} must be a text, got {value!r}", fix=f"every rule needs a {key}"
        )
    return value
