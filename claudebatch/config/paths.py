"""Where our own files lie on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from claudebatch.storage.private_files import CACHE_DIR, STATE_DIR

_APP = "claudebatch"


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders and files outside the run's own folder. Simulated runs have their own,
    all under `simulated`.
    """

    cache_dir: Path
    """The response cache."""
    ledger: Path
    """The machine-wide spend ledger."""
    runs: Path
    """Runs whose results go to standard output: they have no results file to lie
    beside.
    """
    user_config: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str], *, simulated: bool = False) -> Paths:
        """The platform's usual places, or those of CLAUDEBATCH_CACHE_DIR and
        CLAUDEBATCH_STATE_DIR.
        """
        cache = Path(env.get(CACHE_DIR) or platformdirs.user_cache_dir(_APP))
        state = Path(env.get(STATE_DIR) or platformdirs.user_state_dir(_APP))
        # Play money and made-up answers must never meet the real ones.
        if simulated:
            cache, state = cache / "simulated", state / "simulated"
        return cls(
            cache_dir=cache / "responses",
            ledger=state / "spend.sqlite",
            runs=state / "runs",
            user_config=Path(platformdirs.user_config_dir(_APP)) / "config.yaml",
        )
