"""A watch that remembers."""

from __future__ import annotations

import asyncio

from claudebatch.core.domain import PromptTokens
from claudebatch.core.limit_headers import Limits

BEGAN, HIDES = "began", "hides"


class Seen:
    """A watch that keeps what it is told, in order; numbers are what was shown."""

    def __init__(self) -> None:
        self.told: list[str | int] = []
        self.limits: Limits | None = None
        self.prompt: PromptTokens | None = None
        self._waited_for: dict[int, asyncio.Event] = {}

    def began(self, limits: Limits | None) -> None:
        self.limits = limits
        self._keep(BEGAN)

    def read(self, prompt: PromptTokens) -> None:
        self.prompt = prompt

    def showed(self, size: int) -> None:
        self._keep(size)

    def hides(self) -> None:
        self._keep(HIDES)

    @property
    def shown(self) -> int:
        return sum(what for what in self.told if isinstance(what, int))

    def after(self, count: int) -> asyncio.Event:
        """Set once *count* things were told: a server that waits for it says no more
        before.
        """
        return self._waited_for.setdefault(count, asyncio.Event())

    def _keep(self, what: str | int) -> None:
        self.told.append(what)
        self.after(len(self.told)).set()
