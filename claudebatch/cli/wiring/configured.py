"""The settings of a command and what they set up: of a run, an estimate, and a look at
the requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from claudebatch.config import environment
from claudebatch.config.load import Loaded, load
from claudebatch.setup.line_reading import read_as
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup


def configured(
    options: RunOptions, flags: Mapping[str, Any], config: Path | None, *, at: datetime
) -> tuple[Loaded, RunSetup]:
    """The configuration and what it sets up. Raises `ClaudebatchError`."""
    loaded = load(config, flags, env=environment(), folder=Path())
    run_setup = RunSetup.set_up(
        loaded.settings,
        override=options.model,
        at=at,
        lines=read_as(options, loaded.settings),
        allow_unknown_model=options.allow_unknown_model,
        where=loaded.where,
    )
    return loaded, run_setup
