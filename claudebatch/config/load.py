"""The one configuration of a run: flags over the file over the defaults, and where each
value came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec

from claudebatch.config.dollars import read_dollars
from claudebatch.config.foreign import belongs_elsewhere
from claudebatch.config.paths import Paths
from claudebatch.config.sections import BudgetSection, Config
from claudebatch.config.settings import Settings, resolve
from claudebatch.core.errors import ConfigError

_PROJECT_FILE = "claudebatch.yaml"
# A project's file is used because it lies there, whoever wrote it. These settings could
# act against whoever starts a run in its folder, so they count only in a file that its
# user has named, or in the user's own. Key → what it would do.
_NOT_FROM_A_PROJECT: Mapping[str, str] = {
    "alerts.webhook": "it would send what this run spends to a stranger",
    "alerts.command": "it would run a program",
}
# msgspec quotes the value it met; the settings that were possible help more.
_NO_OPTION = "Invalid enum value"
_CAPITAL = re.compile("^(Expected|Object)")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and the file it came from, if any."""

    config: Config
    """As it is written."""
    settings: Settings
    """As it is meant."""
    path: Path | None
    origins: Mapping[str, str]
    """Top-level key → `file:line` or the flag that set it; keys at their default are
    missing.
    """
    where: Callable[[str], str] = lambda key: ""
    """Dotted key → `file:line`, or the flag that set it; empty where nothing did."""
    found_unnamed: bool = False
    """Nobody named the file: it lies in the current folder, whoever wrote it."""


def load(
    explicit: Path | None, flags: Mapping[str, Any], *, env: Mapping[str, str], folder: Path
) -> Loaded:
    """The configuration of the file *explicit*, else of claudebatch.yaml in *folder*,
    else of the user's own file.

    *flags* that are None are not set. Raises `ConfigError` with file, line, reason and
    fix.
    """
    path, found_unnamed = explicit or _found(folder, env), False
    data: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path is not None:
        # 50 ms that a run without a file need not pay.
        from claudebatch.config.yaml_file import read_yaml  # noqa: PLC0415

        named_by = "-c/--config"
        if explicit is None:
            named_by = "CLAUDEBATCH_CONFIG" if env.get("CLAUDEBATCH_CONFIG") else "the file"
        file = read_yaml(path, named_by=named_by)
        _check_keys(file.data, Config, "", file.where)
        found_unnamed = (
            path == folder / _PROJECT_FILE
            and explicit is None
            and not env.get("CLAUDEBATCH_CONFIG")
        )
        if found_unnamed:
            _check_project(file.data, file.where, Paths.from_environment(env).user_config)
        data = read_dollars(file.data, Config, "", file.where)
        origins = {key: file.where(key) for key in data}
    # None: the flag was not given, and the file decides.
    given = {name: value for name, value in flags.items() if value is not None}
    config = _converted(
        data, lambda key: origins.get(key.split(".")[0], "") if path is None else file.where(key)
    )
    origins |= {name: "--" + name.replace("_", "-") for name in given}
    if "budget" in given and isinstance(config.budget, BudgetSection):
        # --budget is the cap of this run: those of day, month and tags stay.
        given["budget"] = msgspec.structs.replace(config.budget, run=given["budget"])
    config = msgspec.structs.replace(config, **given)

    def where(key: str) -> str:
        return file.where(key) if path is not None and key not in given else origins.get(key, "")

    return Loaded(
        config, resolve(config, where), path, origins, where=where, found_unnamed=found_unnamed
    )


def _found(folder: Path, env: Mapping[str, str]) -> Path | None:
    named = env.get("CLAUDEBATCH_CONFIG")
    if named:
        return Path(named)
    places = (folder / _PROJECT_FILE, Paths.from_environment(env).user_config)
    return next((place for place in places if place.is_file()), None)


def _check_project(data: dict[str, Any], where: Callable[[str], str], own: Path) -> None:
    """Refuse what a file that was merely found may not set. Where nothing is set (null,
    an empty list), nothing is.
    """
    for key, harm in _NOT_FROM_A_PROJECT.items():
        value: Any = data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value not in (None, [], {}):
            raise ConfigError(
                "E110",
                f"{where(key)}: {key} may not be set by a file that was only found in this "
                f"folder: {harm}",
                fix=f"if it is yours, name the file with -c, or put the setting into {own}",
            )


def _converted(data: dict[str, Any], where: Any) -> Config:
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").replace("[...]", "").replace("[", ".").replace("]", "")
        reason = (
            reason[0].lower() + reason[1:].replace("`", "") if _CAPITAL.match(reason) else reason
        )
        if reason.startswith(_NO_OPTION):
            reason = f"must be {' or '.join(_options(key))}, got{reason.removeprefix(_NO_OPTION)}"
        raise ConfigError(
            "E111", f"{where(key)}: {key}: {reason}", fix="see config.example.yaml"
        ) from error


def _check_keys(data: Any, section: Any, prefix: str, where: Any) -> None:
    """Refuse keys that do not exist, with the nearest that does: msgspec names the
    first one only by its path.
    """
    hints = get_type_hints(section)
    for key, value in data.items():
        name = f"{prefix}{key}"
        if key not in hints:
            fix = (None if prefix else belongs_elsewhere(str(key))) or _nearest(str(key), hints)
            raise ConfigError("E112", f'{where(name)}: there is no setting "{name}"', fix=fix)
        kind = _struct(hints[key])
        if kind is not None and isinstance(value, dict):
            _check_keys(value, kind, name + ".", where)


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
    return f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(sorted(known))}"


def _options(key: str) -> list[str]:
    kind: Any = Config
    for part in key.split("."):
        # An item of a list stands under its number.
        kind = get_args(kind)[0] if part.isdigit() else get_type_hints(_struct(kind) or kind)[part]
    return [str(option) for option in get_args(kind)]
