"""What earlier runs tell reaches the pace of the first requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from claudebatch.core.domain import Call, Reply
from claudebatch.core.events import Waiting
from claudebatch.layers.rate_limit.usage_estimates import PastUsage
from claudebatch.setup.stack import build_stack
from tests.support.parts import make_bench
from tests.support.scripted import HAIKU, make_reply
from tests.support.virtual import run_virtual

LIMITS = {"tier": "none", "pools": {"haiku-5.5": {"input_tokens_per_minute": 60_000}}}
TEXT = "a word and another " * 40


class Before:
    """Earlier runs that counted half of what is estimated."""

    def input_factor(self, model: str) -> float | None:
        """Of every model."""
        return 0.5

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """Of every route."""
        return 50.0


def first_wait_s(before: PastUsage | None) -> float:
    async def go() -> float:
        bench = make_bench(cached=False, limits=LIMITS)

        async def answer(call: Call) -> Reply:
            await asyncio.sleep(30)
            return make_reply()

        stack = build_stack(replace(bench.parts, before=before), answer)
        calls = [bench.call(f"{TEXT}{row}", row=row, model=HAIKU) for row in range(3)]
        await asyncio.gather(*(stack(call) for call in calls))
        return bench.told(Waiting)[0].seconds

    return run_virtual(go())


def test_what_earlier_runs_counted_sets_the_pace_before_any_answer_has_come() -> None:
    without, with_them = first_wait_s(None), first_wait_s(Before())
    assert 0 < with_them < 0.5 * without
