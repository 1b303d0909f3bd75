"""The gate in front of each pool: with limits, or open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from claudebatch.core.domain import Usage
from claudebatch.simulator.limits import SimulatedLimits
from claudebatch.simulator.settings import SimulatorSettings


class Gate(Protocol):
    """The rate limits in front of one pool of models."""

    def admit(self, estimate: int, now: float) -> None:
        """Take a request of about *estimate* input tokens, or raise its 429."""

    def produce(self, tokens: int, seconds: float, now: float) -> None:
        """The work begins: *tokens* of output arise over the next *seconds*."""

    def settle(self, estimate: int, usage: Usage, now: float) -> None:
        """The answer begins: correct the estimate."""

    def finish(self, tokens: int, now: float) -> None:
        """The answer is complete, with *tokens* of output."""

    def headers(self, now: float) -> bytes:
        """Header lines with the remaining allowance."""


class NoLimits:
    """The gate of a pool without limits."""

    def admit(self, estimate: int, now: float) -> None:
        """Let everything through."""

    def produce(self, tokens: int, seconds: float, now: float) -> None:
        """Nothing to take."""

    def settle(self, estimate: int, usage: Usage, now: float) -> None:
        """Nothing to correct."""

    def finish(self, tokens: int, now: float) -> None:
        """Nothing to take."""

    def headers(self, now: float) -> bytes:
        """No lines at all."""
        return b""


class Gates:
    """The gates of all pools, each made at its first request."""

    def __init__(self, settings: SimulatorSettings, *, wall: Callable[[], datetime]) -> None:
        self._settings = settings
        self._wall = wall
        # Pool -> its gate; grows by `gate` only.
        self._gates: dict[str, Gate] = {}

    def gate(self, pool: str, now: float, *, fast: bool = False) -> Gate:
        """The gate in front of *pool*; *fast*: with the headers of fast mode."""
        gate = self._gates.get(pool)
        if gate is None:
            # Made at the first request, because the pools of models that a run uses are
            # not known before.
            allowance = self._settings.pool_limits.get(pool, self._settings.limits)
            gate = (
                NoLimits()
                if allowance.unlimited
                else SimulatedLimits(allowance, now=now, wall=self._wall, fast=fast)
            )
            self._gates[pool] = gate
        return gate
