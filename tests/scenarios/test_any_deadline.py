"""The two promises of a deadline, kept by the running session over any prices, paces,
batches and cancels: never later than the deadline where all at once would be in time,
and never dearer than all at once. In virtual time, with the real sender, journal,
engine and plan.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.errors import CommandRefused
from tests.engine.batches.test_kept_deadlines import (
    DAY,
    HOUR,
    MINUTE,
    Case,
    Dollars,
    Lived,
    live,
)
from tests.support.timed_batches import TimedBatches
from tests.support.virtual import run_virtual

# A share of what other tests draw: each is a whole run, or two of them. With
# `--hypothesis-profile=long` it is 600.
EXAMPLES = (settings.default or settings()).max_examples * 15 // 100
# A session that is stopped leaves rows in flight undone, which take their time again.
_AGAIN = 1
# Of seconds that are sums.
_ROUNDED = 1e-6


@st.composite
def some_dollars(draw: st.DrawFn) -> Dollars:
    at_once = draw(st.integers(1, 100_000))
    # Half of it, mostly; searches and lost cache hits make it dearer than that.
    batch = int(at_once * draw(st.just(0.5) | st.floats(0.3, 1.4)))
    return Dollars(at_once, batch, int(batch * draw(st.floats(1, 20))))


@st.composite
def some_cases(draw: st.DrawFn) -> Case:
    # Shares of the time to the deadline: there plans differ, and promises break.
    deadline = draw(st.sampled_from((5 * MINUTE, 20 * MINUTE, HOUR, 4 * HOUR, 30 * HOUR)))
    rows = draw(st.integers(1, 30))
    work = st.sampled_from((0.0, 0.01, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.9, 1.0, 1.1))
    lasting = st.sampled_from((0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.2, 100.0))
    durations = lasting.map(lambda share: min(share * deadline, 2 * DAY))
    sonnet = sum(1 for row in range(1, rows + 1) if row % 3 == 0)
    account = TimedBatches(
        draw(st.lists(durations, min_size=1, max_size=4)),
        cancel_s=draw(st.sampled_from((0.0, 60.0, 850.0)) | st.floats(0, 850)),
        answered=draw(st.sampled_from((0.0, 1.0)) | st.floats(0, 1)),
    )
    return Case(
        deadline * draw(st.floats(0.9, 1.1)),
        draw(work) * deadline / max(1, rows - sonnet),
        account,
        rows=rows,
        max_requests=draw(st.sampled_from((1, 3, 10, 10_000))),
        sonnet_s=draw(work) * deadline / max(1, sonnet),
        dollars=draw(some_dollars()),
        past=draw(st.lists(durations, max_size=20)),
        queue=draw(st.sampled_from((200_000, 5, 20))),
        poll=draw(st.sampled_from((1.0, 10.0))),
        stop_after=draw(st.none() | durations),
    )


async def to_the_end(case: Case, path: Path) -> tuple[list[Lived], float]:
    """A session; and where it is stopped half-way, the same command again."""
    notes: dict[str, Any] = {}
    lived = [await live(case, path, notes=notes)]
    if case.stop_after is not None:
        lived.append(await live(replace(case, stop_after=None), path, notes=notes))
    return lived, lived[-1].ended


@settings(max_examples=EXAMPLES, deadline=None)
@given(some_cases())
def test_a_run_is_never_late_where_all_at_once_is_not_and_never_dearer(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            lived, ended = run_virtual(to_the_end(case, Path(folder)))
        except CommandRefused as refused:
            assert (refused.id, case.all_live_s > case.deadline - _ROUNDED) == ("E842", True)
            return
    at_once, by_batch = sum(one.live for one in lived), case.account.rows_answered
    assert at_once + by_batch == case.rows, "each row once"
    dollars = at_once * case.dollars.live + by_batch * case.dollars.batch
    assert dollars <= case.rows * case.dollars.live
    again = _AGAIN * max(case.pace.values()) if len(lived) > 1 else 0.0
    if case.all_live_s + again <= case.deadline:
        assert ended <= case.deadline + again + _ROUNDED
