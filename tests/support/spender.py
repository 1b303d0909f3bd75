"""An API that costs as much as it can, and workers that spend a cap on it, in virtual
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from claudebatch.core.domain import Call, Pico, Reply
from claudebatch.core.errors import AttemptError, BudgetExhausted
from claudebatch.setup.stack import build_stack
from tests.support.parts import Bench
from tests.support.scripted import make_reply
from tests.support.virtual import now


@dataclass
class Spent:
    """What came of spending."""

    billed: Pico
    """By the API."""
    highest: Pico
    """Spent and held together, at its highest."""
    answered: int
    refused: int
    seconds: float
    most_in_flight: int


class Dearest:
    """Every answer has as much input as its bound allows, uses all of `max_tokens`, and
    is billed at its worst.
    """

    def __init__(
        self, bench: Bench, *, takes_s: float = 1.0, fails: Any = lambda call: None
    ) -> None:
        self._bench = bench
        self._takes_s = takes_s
        self._fails = fails
        # Mutable: what was billed, and who is being answered.
        self.billed: Pico = 0
        self.in_flight = 0
        self.most_in_flight = 0

    async def __call__(self, call: Call) -> Reply:
        """Bill at once, answer later."""
        error = self._fails(call)
        usage = self.usage(call)
        reply = make_reply(model=call.model, stop_reason="max_tokens", usage=usage)
        if not isinstance(error, AttemptError) or error.may_be_billed:
            self.billed += self._bench.run_setup.prices.cost(call.model, reply.usage)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._takes_s)
        finally:
            self.in_flight -= 1
        if error is not None:
            raise error
        return reply

    def usage(self, call: Call) -> dict[str, Any]:
        """The usage of an answer to *call* that costs the most."""
        params, tokens = call.prompt.params, call.size.input_bound
        geo = "global" if params.get("inference_geo") == "global" else "us"
        usage = {
            "output_tokens": call.size.output_bound,
            "inference_geo": geo,
            "speed": params.get("speed"),
        }
        if b'"cache_control"' not in call.body:
            return {**usage, "input_tokens": tokens}
        kind = "ephemeral_1h_input_tokens" if b'"1h"' in call.body else "ephemeral_5m_input_tokens"
        return {
            **usage,
            "input_tokens": 0,
            "cache_creation_input_tokens": tokens,
            "cache_creation": {kind: tokens},
        }


async def spend(bench: Bench, api: Dearest, calls: Iterable[Call], *, workers: int = 64) -> Spent:
    """Have *workers* at a time answer *calls* under the bench's cap, as the engine
    does.
    """
    stack, queue = build_stack(bench.parts, api), iter(calls)
    answered = refused = 0
    began = now()

    async def work() -> None:
        nonlocal answered, refused
        for call in queue:
            try:
                await stack(call)
                answered += 1
            except BudgetExhausted:
                refused += 1
            except AttemptError:
                pass

    await asyncio.gather(*(work() for _ in range(workers)))
    assert bench.budget_store.held == 0
    return Spent(
        api.billed, bench.budget_store.highest, answered, refused, now() - began, api.most_in_flight
    )
