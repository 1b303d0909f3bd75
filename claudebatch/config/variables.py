"""Variables of the environment that are ours, or the SDK's: their forms, checked before
anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from claudebatch.core.errors import ConfigError
from claudebatch.core.notice import Notice
from claudebatch.core.typos import meant

_OURS = (
    "CLAUDEBATCH_CACHE_DIR",
    "CLAUDEBATCH_CONFIG",
    "CLAUDEBATCH_DEBUG",
    "CLAUDEBATCH_SHARED",
    "CLAUDEBATCH_STATE_DIR",
)
_PLACES = ("CLAUDEBATCH_CACHE_DIR", "CLAUDEBATCH_CONFIG", "CLAUDEBATCH_STATE_DIR")
_PREFIX = "CLAUDEBATCH_"


def check_variables(env: Mapping[str, str]) -> None:
    """Refuse a place that only a shell would understand; raises `ConfigError`."""
    for name in _PLACES:
        value = env.get(name, "")
        # Compose files and systemd expand nothing: a folder named ~ would be made.
        if value.startswith(("~", "$")):
            raise ConfigError(
                "E117",
                f"{name}={value}: only a shell expands {value[0]}",
                fix="write the full path, starting with /",
            )
        if value[:1] in "\"'" and value[:1] == value[-1:] and value:
            raise ConfigError(
                "E118",
                f"{name}={value}: the quotation marks are part of the value",
                fix="write it without them",
            )


def unknown_variables(env: Mapping[str, str]) -> Iterator[Notice]:
    """A sentence for each variable that looks like ours and is none."""
    for name in env:
        if name.startswith(_PREFIX) and name not in _OURS:
            # Without what all names have in common, which makes them all alike.
            own = name.removeprefix(_PREFIX)
            close = meant(own, (known.removeprefix(_PREFIX) for known in _OURS))
            hint = (
                f"did you mean {_PREFIX}{close}?"
                if close
                else f"known: {', '.join(_OURS)}; settings stand in claudebatch.yaml"
            )
            yield Notice("W002", f"{name} is set, but there is no such variable; {hint}")
