"""The cap over the whole stack: never passed, and used up, whatever the cap, the
prices, the sizes and the order.
"""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call
from claudebatch.core.errors import AttemptError, NotServed, RateLimited
from claudebatch.core.events import Waiting
from claudebatch.setup.stack import Money, build_stack
from tests.support.parts import Bench, make_bench
from tests.support.scripted import HAIKU, OPUS, SONNET, overloaded, rate_limited, timed_out
from tests.support.spender import Dearest, spend
from tests.support.virtual import virtual

QUICK: dict[str, Any] = {
    "retry": {"base_s": 0.1, "cap_s": 1, "max_attempts": 3},
    "breaker": {"minimum_calls": 10_000},
}
EXTRAS: list[dict[str, Any]] = [
    {},
    {"inference_geo": "global"},
    {"inference_geo": "us"},
    {"cache_control": {"type": "ephemeral"}},
    {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
]


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
@pytest.mark.parametrize("model", [HAIKU, SONNET, OPUS])
@virtual
async def test_the_worst_case_is_what_the_dearest_answer_costs_and_not_a_digit_more(model, extra):
    bench = make_bench()
    call = bench.call("x" * 5000, model=model, **extra)
    api = Dearest(bench)
    await build_stack(bench.parts, api)(call)
    assert api.billed == bench.worst(call) == bench.budget_store.spent


@pytest.mark.parametrize("times", [0.5, 0.999, 1, 1.5, 2, 10, 63.5, 64, 65, 1000])
@virtual
async def test_of_equal_rows_as_many_are_answered_as_the_cap_holds_and_as_fast_as_without_one(
    times,
):
    probe = make_bench()
    one = probe.worst(probe.call("row 1000"))
    cap = int(one * times)
    bench = make_bench(cap=cap, cached=False)
    rows = [bench.call(f"row {1000 + n}", row=n) for n in range(1200)]
    found = await spend(bench, Dearest(bench), rows)
    affordable = cap // one
    assert (found.answered, found.billed) == (affordable, affordable * one)
    assert found.highest <= cap, "at no moment"
    assert found.billed >= cap - one + (cap % one == 0), "the share used is at least 1 - hold / cap"
    free = make_bench(cached=False)
    uncapped = await spend(free, Dearest(free), rows[:affordable])
    assert found.seconds == pytest.approx(uncapped.seconds), "as long as the money lasts"
    assert found.most_in_flight == uncapped.most_in_flight


@virtual
async def test_rows_that_wait_for_money_say_so_by_the_name_of_their_pool_until_they_have_it():
    probe = make_bench()
    bench = make_bench(cap=probe.worst(probe.call("row 0")) * 3 // 2, cached=False)
    await spend(bench, Dearest(bench, takes_s=3), [bench.call(f"row {n}", row=n) for n in range(2)])
    waits = [event for event in bench.events if isinstance(event, Waiting)]
    assert [(event.pool, event.reason, event.seconds) for event in waits] == [
        ("haiku-5.5", "money", inf),
        ("haiku-5.5", "money", 0.0),
    ]


@virtual
async def test_a_request_without_a_price_is_not_served_under_a_cap_and_free_of_holds_without_one():
    bench = make_bench()
    call = replace(bench.call(), model="claude-unheard-of-9")
    assert Money(bench.run_setup.prices).worst(call) == 0
    with pytest.raises(
        NotServed, match="no price is known for this request at claude-unheard-of-9"
    ):
        Money(bench.run_setup.prices, capped=True).worst(call)


_ROW = st.tuples(
    st.sampled_from([HAIKU, SONNET, OPUS]),
    st.integers(1, 4000),  # bytes
    st.integers(1, 3000),  # max_tokens
    st.sampled_from(EXTRAS),
    st.sampled_from(["answer"] * 6 + ["refused", "unknown", "429"]),
)
_FAILURES = {"refused": overloaded, "unknown": timed_out, "429": lambda: rate_limited(0.1)}


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(_ROW, min_size=1, max_size=60),
    part=st.floats(0, 1.2),
    prices=st.dictionaries(
        st.sampled_from([HAIKU, SONNET, OPUS]),
        st.fixed_dictionaries({"input": st.integers(0, 100), "output": st.integers(1, 500)}),
    ),
    mode=st.sampled_from(["strict", "expected"]),
    seed=st.integers(0, 5),
)
@virtual
async def test_the_cap_is_never_passed_and_what_is_left_is_less_than_the_next_hold(
    rows, part, prices, mode, seed
):
    rng = random.Random(seed)
    probe = make_bench(prices=prices)
    rows = [
        (probe.call("x" * size + str(n), row=n, model=model, max_tokens=most, **extra), fate)
        for n, (model, size, most, extra, fate) in enumerate(rows)
    ]
    cap = int(sum(probe.worst(call) for call, _ in rows) * part)
    bench = make_bench(
        cap=cap, cached=False, prices=prices, budget={"run": 1, "mode": mode}, **QUICK
    )
    left = {call.row: rng.choice([1, 1, 5]) for call, _ in rows}
    fates = {call.row: fate for call, fate in rows}

    def fails(call: Call) -> AttemptError | RateLimited | None:
        left[call.row] -= 1
        failure = _FAILURES.get(fates[call.row])
        return failure() if failure and left[call.row] >= 0 else None

    api = Dearest(bench, takes_s=rng.random(), fails=fails)
    found = await spend(bench, api, [call for call, _ in rows])
    assert found.highest <= cap, "overshoot 0, at every moment and in every order"
    assert found.billed <= bench.budget_store.spent <= cap
    if found.refused:
        largest = max(bench.worst(call) for call, _ in rows)
        assert cap - bench.budget_store.spent < largest, (
            "what is left would not have held the largest"
        )


@virtual
async def test_expected_holds_finish_sooner_and_the_overshoot_stays_what_it_was_said_to_be():
    # Answers of a twentieth of max_tokens; but once that is learned, all of them use
    # everything.
    probe = make_bench()
    one = probe.worst(probe.call("row 1000", max_tokens=2000))
    cap, overshoot = one * 20, one * 20
    found: dict[str, Any] = {}
    for mode, allowed in (("strict", 0), ("expected", overshoot)):
        bench = make_bench(
            cap=cap, overshoot=allowed, cached=False, budget={"run": 1, "mode": mode}
        )
        api = _Thrifty(bench, turns_at=200)
        rows = [bench.call(f"row {1000 + n}", row=n, max_tokens=2000) for n in range(600)]
        found[mode] = await spend(bench, api, rows)
    assert found["strict"].billed <= cap < found["expected"].billed <= cap + overshoot
    assert found["expected"].seconds < found["strict"].seconds * 0.7


class _Thrifty(Dearest):
    """Uses little of `max_tokens` until it turns."""

    def __init__(self, bench: Bench, *, turns_at: int) -> None:
        super().__init__(bench)
        self._turns_at = turns_at

    def usage(self, call: Call) -> dict[str, Any]:
        """The usage of an answer to *call*."""
        return {
            **super().usage(call),
            **({"output_tokens": 100} if call.row < self._turns_at else {}),
        }
