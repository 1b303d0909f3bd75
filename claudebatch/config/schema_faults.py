"""What is wrong with the form of a configuration: unknown settings and values of other
types, all of them at once and in our own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

from claudebatch.config.dollars import read_dollars
from claudebatch.config.field_types import field_types
from claudebatch.config.foreign import belongs_elsewhere
from claudebatch.config.sections import Config
from claudebatch.core.errors import ConfigError, all_at_once
from claudebatch.core.values_shown import expected

_Where = Callable[[str], str]
# More names than this are a page, not a hint.
_MOST_NAMED = 8
_STEP = re.compile(r"\.\w+|\[[^\]]*\]")
_NO_OPTION = "Invalid enum value"


def converted(data: dict[str, Any], where: _Where) -> tuple[Config, list[ConfigError]]:
    """*data* as a configuration, without the settings whose form is wrong, and an error
    for each of those; *where* gives the `file:line` of a dotted key.
    """
    found: list[ConfigError] = list(_unknown(data, Config, "", where))
    right: dict[str, Any] = {}
    for leaf in _leaves(_known(data, Config), Config):
        try:
            dollars = read_dollars(leaf, Config, "", where)
            msgspec.convert(dollars, Config)
            _merge(right, dollars)
        except msgspec.ValidationError as error:
            found.append(_fault(error, leaf, where))
        except ConfigError as error:
            found.append(error)
    return msgspec.convert(right, Config), found


def by_line(found: Sequence[ConfigError]) -> ConfigError:
    """All of *found* as one error, in the order of the file's lines."""

    def line(error: ConfigError) -> int:
        number = re.search(r":(\d+): ", error.message)
        return int(number[1]) if number else 0

    return all_at_once(sorted(found, key=line))


def _merge(into: dict[str, Any], leaf: Mapping[str, Any]) -> None:
    for key, value in leaf.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def with_default(config: Config, path: Sequence[str]) -> Config:
    """*config* with the setting at *path* as if nobody had set it."""
    replaced: Config = _default(config, type(config)(), path)
    return replaced


def _default(section: Any, usual: Any, path: Sequence[str]) -> Any:
    name = path[0]
    if name not in section.__struct_fields__:
        return section
    inner, normal = getattr(section, name), getattr(usual, name)
    if len(path) > 1 and isinstance(inner, msgspec.Struct):
        normal = _default(inner, type(inner)(), path[1:])
    return msgspec.structs.replace(section, **{name: normal})


def _unknown(data: Mapping[str, Any], section: Any, prefix: str, where: _Where) -> Iterator[Any]:
    """An error for each key that does not exist, with the nearest that does."""
    hints = field_types(section)
    for key, value in data.items():
        name = f"{prefix}{key}"
        if key not in hints:
            fix = (None if prefix else belongs_elsewhere(str(key))) or _nearest(str(key), hints)
            yield ConfigError("E112", f'{where(name)}: unknown setting "{name}"', fix=fix)
        elif (kind := _struct(hints[key])) is not None and isinstance(value, dict):
            yield from _unknown(value, kind, name + ".", where)


def _known(data: Mapping[str, Any], section: Any) -> dict[str, Any]:
    """*data* without the keys that do not exist."""
    hints = field_types(section)
    return {
        key: _known(value, kind)
        if (kind := _struct(hints[key])) is not None and isinstance(value, dict)
        else value
        for key, value in data.items()
        if key in hints
    }


def _leaves(data: Mapping[str, Any], section: Any) -> Iterator[dict[str, Any]]:
    """Each setting of *data* alone, within its sections."""
    hints = field_types(section)
    for key, value in data.items():
        kind = _struct(hints[key])
        if kind is not None and isinstance(value, dict) and value:
            yield from ({key: leaf} for leaf in _leaves(value, kind))
        elif get_origin(hints[key]) is dict and isinstance(value, dict) and value:
            yield from ({key: {name: item}} for name, item in value.items())
        else:
            yield {key: value}


def _fault(error: msgspec.ValidationError, data: Any, where: _Where) -> ConfigError:
    """*error* of msgspec in the words of an author of YAML."""
    reason, _, path = str(error).partition(" - at ")
    value, names = data, []
    for part in _STEP.findall(path.rpartition("`$")[2]):
        # Of a mapping's value msgspec does not tell the name; here it is the only one.
        name = next(iter(value)) if part == "[...]" else part.strip(".[]")
        names.append(str(name))
        value = value[int(name)] if isinstance(value, list) else value.get(name)
    key = ".".join(names)
    if reason.startswith(_NO_OPTION):
        text = f"must be {' or '.join(_options(key))}, got{reason.removeprefix(_NO_OPTION)}"
    else:
        text = expected(reason, value)
    fix = "config.example.yaml shows it"
    if text.startswith("expected a list") and isinstance(value, str):
        fix = f"write [{value}]"
    named = re.sub(r"\.(\d+)", r"[\1]", key)
    return ConfigError("E111", f"{where(key)}: {named}: {text}", fix=fix)


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    """The section that *hint* allows, alone or among others."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next(
        (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)),
        None,
    )


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    # 10 ms of import that only a misspelt key needs.
    from difflib import get_close_matches  # noqa: PLC0415

    # A key of megabytes would take minutes to compare.
    close = get_close_matches(key[:80], list(known), n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    if len(known) > _MOST_NAMED:
        return "remove it; config.example.yaml has all settings"
    return f"known here: {', '.join(sorted(known))}"


def _options(key: str) -> list[str]:
    kind: Any = Config
    for part in key.split("."):
        # An item of a list stands under its number.
        kind = get_args(kind)[0] if part.isdigit() else field_types(_struct(kind) or kind)[part]
    return [str(option) for option in get_args(kind)]
