"""The caps that a run is under, resolved for its tag; config fills it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.domain import Pico
from claudebatch.core.shared_cap import SharedCap


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Dollars that this run may spend, and those that it shares with other runs."""

    cap: Pico | None = None
    """Of this run alone; None: there is none."""
    mode: Literal["strict", "expected"] = "strict"
    """Whether a request is held at its worst case or at what such requests cost."""
    overshoot: Pico = 0
    """The most by which `cap` may be passed; 0 where `mode` is strict."""
    shared: tuple[SharedCap, ...] = ()
    """Caps of this machine and of the run's tag."""

    @property
    def capped(self) -> bool:
        """Whether a cap concerns this run: then its models need prices, and the tools
        that the API runs a bound.
        """
        return self.cap is not None or bool(self.shared)
