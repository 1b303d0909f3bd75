"""Settings as a run has them, from words as they are written in YAML."""

from __future__ import annotations

import msgspec

from claudebatch.config.sections import Config
from claudebatch.config.settings import Settings, resolve


def settings_of(**config: object) -> Settings:
    """The settings of a file that says *config*; everything else is at its default."""
    return resolve(msgspec.convert(config, Config))
