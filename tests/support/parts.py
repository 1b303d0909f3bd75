"""Real `Parts` for a real stack, with memory stores and the virtual clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from claudebatch.core.domain import Call, Pico, Prompt
from claudebatch.core.drain import Drain
from claudebatch.core.events import Event
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys, Parts
from tests.support.scripted import HAIKU, MemoryCache, MemoryLog, WatchedBudget
from tests.support.settings import settings_of
from tests.support.virtual import now

EventT = TypeVar("EventT")

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
NO_LIMITS: Mapping[str, Any] = {"tier": "none"}


@dataclass
class Bench:
    """Everything around one stack, open to inspection."""

    run_setup: RunSetup
    parts: Parts
    cache: MemoryCache
    log: MemoryLog
    budget_store: WatchedBudget
    drain: Drain
    events: list[Event] = field(default_factory=list)

    def call(
        self, text: str = "hello", *, row: int = 1, model: str | None = None, **params: Any
    ) -> Call:
        """The call that the run itself would make of a prompt."""
        members = {"max_tokens": 100, "messages": [{"role": "user", "content": text}], **params}
        return self.run_setup.builder.first(
            row, Prompt(f"row-{row}", members, model=model, digest=text.encode())
        )

    def worst(self, call: Call) -> Pico:
        """The hold that one attempt at *call* takes."""
        return self.run_setup.prices.worst(call)

    def told(self, kind: type[EventT]) -> list[EventT]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def make_bench(
    *,
    cap: Pico | None = None,
    overshoot: Pico = 0,
    cached: bool = True,
    cache: MemoryCache | None = None,
    seed: int = 0,
    **config: Any,
) -> Bench:
    """A bench in the running (virtual) loop. *config* is written as in YAML; without it
    there are no rate limits.
    """
    settings = settings_of(**{"model": HAIKU, "limits": NO_LIMITS, **config})
    # A bench may ask whatever model a test invents.
    run_setup = RunSetup.set_up(settings, override=None, at=TODAY, allow_unknown_model=True)
    cache, log, budget_store, drain = (
        cache or MemoryCache(),
        MemoryLog(),
        WatchedBudget(cap, overshoot=overshoot),
        Drain(),
    )
    events: list[Event] = []
    parts = Parts(
        settings=settings,
        catalog=run_setup.catalog,
        prices=run_setup.prices,
        builder=run_setup.builder,
        keys=Keys("2026-10-21"),
        cache=cache if cached else None,
        log=log,
        budget_store=budget_store,
        drain=drain,
        now=now,
        rng=random.Random(seed),
        emit=events.append,
    )
    return Bench(run_setup, parts, cache, log, budget_store, drain, events)
