"""Rules that no row can reach, because an earlier rule takes all that they would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What they hold is a set of values of which one must be met.
_ONE_OF = frozenset({"tags"})
_RANGES = frozenset({"max_tokens", "input_tokens", "messages", "input_chars"})


def hidden_rules(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The names of each hidden rule and of the one before it that hides it. *rules* are
    as they are configured, and valid.

    Only what is plain from the rules' text: a rule is hidden where every condition of
    an earlier one is at least as wide as its own of the same name. Two patterns, say,
    are compared by their letters.
    """
    found = []
    for number, rule in enumerate(rules):
        wider = next((one for one in rules[:number] if _covers(one["when"], rule["when"])), None)
        if wider is not None:
            found.append((str(rule["name"]), str(wider["name"])))
    return found


def _covers(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    """Whether all rows that meet *narrow* meet *wide*, as far as can be seen."""
    return all(key in narrow and _wider(key, wide[key], narrow[key]) for key in wide)


def _wider(key: str, wide: Any, narrow: Any) -> bool:
    if wide == narrow:
        return True
    if isinstance(wide, Mapping) and isinstance(narrow, Mapping) and key == "metadata":
        return all(name in narrow and _values(narrow[name]) <= _values(wide[name]) for name in wide)
    if isinstance(wide, Mapping) and isinstance(narrow, Mapping) and key == "columns":
        return all(name in narrow and _wider_column(wide[name], narrow[name]) for name in wide)
    if isinstance(wide, Mapping) and isinstance(narrow, Mapping) and key in _RANGES:
        least, most = _bounds(wide)
        return least <= _bounds(narrow)[0] and _bounds(narrow)[1] <= most
    if key in _ONE_OF:
        return _values(narrow) <= _values(wide)
    # All of them must be met: fewer are wider.
    return key == "tags_all" and _values(wide) <= _values(narrow)


def _wider_column(wide: Any, narrow: Any) -> bool:
    if isinstance(wide, Mapping) or isinstance(narrow, Mapping):
        return bool(wide == narrow)
    return _values(narrow) <= _values(wide)


def _bounds(raw: Mapping[str, Any]) -> tuple[float, float]:
    return raw.get("min", 0), raw.get("max", float("inf"))


def _values(raw: Any) -> frozenset[Any]:
    return frozenset(raw if isinstance(raw, list) else [raw])
