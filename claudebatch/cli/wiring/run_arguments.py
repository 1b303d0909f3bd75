"""The values that `run` and `estimate` were given, sorted into options of the run and
configuration.

A new option that both have stands in options.py, in their two signatures, and in
`RunOptions` or `_CONFIGURED`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from claudebatch.setup.run_options import RunOptions

_CONFIGURED = ("system", "max_tokens", "budget", "tag", "concurrency", "on_bad_row", "max_outage")
"""What a configuration file can say as well."""


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """What is no configuration of *given*, the parameters of a command by their names."""
    known = {field.name for field in fields(RunOptions)}
    values = {name: value for name, value in given.items() if name in known}
    return RunOptions(
        **values | {"inputs": tuple(given["inputs"]), "command": ("claudebatch", *sys.argv[1:])}
    )


def config_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of *given* wins over the configuration; None: was not said."""
    values = {name: given.get(name) for name in _CONFIGURED}
    return {
        name: value.value if isinstance(value, Enum) else value for name, value in values.items()
    }
