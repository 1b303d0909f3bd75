"""The one configuration of a run: flags over the file over the defaults, and where each
value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from claudebatch.config.paths import Paths
from claudebatch.config.schema_faults import by_line, converted
from claudebatch.config.sections import BudgetSection, Config
from claudebatch.config.settings import Settings, resolve
from claudebatch.config.shared import VARIABLE, with_address
from claudebatch.core.errors import ConfigError

if TYPE_CHECKING:
    from claudebatch.config.yaml_file import YamlFile

_PROJECT_FILE = "claudebatch.yaml"
_NAMED = "CLAUDEBATCH_CONFIG"
# A project's file is used because it lies there, whatever its author. These settings
# could act against the user who starts a run there, so they count only in a file that
# this user has named, or in the user's own. Key → what it would do.
_NOT_FROM_A_PROJECT: Mapping[str, str] = {
    "alerts.webhook": "it would send what this run spends to a stranger",
    "alerts.command": "it would run a program",
    "shared": "it would tell a stranger what is sent, and let one stop this run",
    "files_root": "it would let rows name files that lie elsewhere on this machine",
}


def _nowhere(key: str) -> str:
    return ""


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
    where: Callable[[str], str] = _nowhere
    """Dotted key → `file:line`, or the flag that set it; empty where nothing did."""
    found_unnamed: bool = False
    """The file was not named: it lies in the current folder."""


def load(
    explicit: Path | None, flags: Mapping[str, Any], *, env: Mapping[str, str], folder: Path
) -> Loaded:
    """The configuration of the file *explicit*, else of claudebatch.yaml in *folder*,
    else of the user's own file.

    *flags* that are None are not set. Raises `ConfigError` with file, line, reason and
    fix.
    """
    path = explicit or _found(folder, env)
    # Named by hand or in the environment, a file is trusted.
    unnamed = explicit is None and not env.get(_NAMED) and path == folder / _PROJECT_FILE
    file = None if path is None else _read(path, explicit, env)
    if file is not None and unnamed:
        _check_project(file.data, file.where, Paths.from_environment(env).user_config)
    data = {} if file is None else file.data
    origins = {} if file is None else {str(key): file.where(str(key)) for key in data}
    # None: the flag was not given, and the file decides.
    given = {name: value for name, value in flags.items() if value is not None}
    config, faults = converted(data, _nowhere if file is None else file.where)
    origins |= {name: "--" + name.replace("_", "-") for name in given}
    if env.get(VARIABLE):
        # The address only: its password is why it is better there than in a file.
        given["shared"] = with_address(config.shared, env[VARIABLE])
        origins["shared"] = VARIABLE
    if "budget" in given and isinstance(config.budget, BudgetSection):
        # --budget is the cap of this run: those of day, month and tags stay.
        given["budget"] = msgspec.structs.replace(config.budget, run=given["budget"])
    config = msgspec.structs.replace(config, **given)

    def where(key: str) -> str:
        return file.where(key) if file is not None and key not in given else origins.get(key, "")

    return Loaded(
        config,
        _resolved(config, where, faults),
        path,
        origins,
        where=where,
        found_unnamed=unnamed,
    )


def _resolved(config: Config, where: Callable[[str], str], faults: list[ConfigError]) -> Settings:
    """What *config* means; raises all *faults* of its form with those of its values."""
    try:
        settings = resolve(config, where)
    except ConfigError as error:
        faults.append(error)
    if faults:
        raise by_line(faults)
    return settings


def _read(path: Path, explicit: Path | None, env: Mapping[str, str]) -> YamlFile:
    # 50 ms that a run without a file need not pay.
    from claudebatch.config.yaml_file import read_yaml  # noqa: PLC0415

    if explicit is not None:
        return read_yaml(path, named_by="-c/--config")
    return read_yaml(path, named_by=_NAMED if env.get(_NAMED) else "the file")


def _found(folder: Path, env: Mapping[str, str]) -> Path | None:
    named = env.get(_NAMED)
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
                f"{where(key)}: {key} cannot be set by a file found in the current folder: {harm}",
                fix=f"if the file is yours, name it with -c, or move the setting to {own}",
            )
