"""Message batches in the one counter of a run: how many, since when, and no pace that
is untrue.
"""

from __future__ import annotations

from claudebatch.core.events import BatchChanged, BatchPhase, RowFinished, RunStarted
from claudebatch.core.stats.open_batches import BatchProgress
from claudebatch.core.stats.run_stats import RunStats

DAY_MS = 86_400_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def changed(
    batch: int, state: BatchPhase, *, at_s: int = 0, made_s: int | None = 0, held: int = 7
) -> BatchChanged:
    made = None if made_s is None else made_s * 1000
    return BatchChanged(
        batch,
        None if made is None else f"msgbatch_{batch}",
        state,
        100,
        held,
        at_ms=at_s * 1000,
        created_ms=made,
        expires_ms=None if made is None else made + DAY_MS,
    )


def test_open_ones_are_summed_and_grow_older_between_two_questions() -> None:
    clock = Clock()
    stats = RunStats(clock, usual_batch_s=2400.0)
    stats(changed(1, "submitted", at_s=60))
    stats(changed(2, "canceling", at_s=60, made_s=30))
    stats(changed(3, "looked for", made_s=None))
    clock.now = 40.0
    assert stats.snapshot(40.0).batches == BatchProgress(
        batches=3,
        rows=300,
        held=21,
        looked_for=1,
        canceling=1,
        age_s=100.0,
        left_s=86_300.0,
        usual_s=2400.0,
    )


def test_a_batch_that_is_over_counts_no_more() -> None:
    stats = RunStats(Clock())
    for batch, end in enumerate(("collected", "never made", "lost"), 1):
        stats(changed(batch, "submitted"))
        stats(changed(batch, end))  # type: ignore[arg-type]
    found = stats.snapshot(0.0).batches
    assert (found.batches, found.held, found.collected) == (0, 0, 1)


def test_a_server_whose_clock_is_ahead_makes_no_negative_age() -> None:
    stats = RunStats(Clock())
    stats(changed(1, "submitted", at_s=0, made_s=30))
    assert stats.snapshot(0.0).batches.age_s == 0.0


def test_no_time_to_the_end_while_batches_are_open_and_no_pace_of_their_rows() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(RunStarted("r", 1000, 0, 0, None, "o", False))
    clock.now = 10.0
    for _ in range(50):
        stats(RowFinished("a", "m", "api", True))
    assert stats.snapshot(10.0).eta_s
    stats(changed(1, "submitted"))
    assert stats.snapshot(10.0).eta_s is None
    # Its answers come all at once: the rest is not faster for it.
    stats(changed(1, "collected"))
    before = stats.snapshot(10.0).eta_s
    for _ in range(500):
        stats(RowFinished("b", "m", "api", True, via="batch"))
    run = stats.snapshot(10.0)
    assert before is not None
    assert run.eta_s is not None
    assert run.eta_s * 950 == before * 450, "fewer rows at the same pace"
    assert (run.answered, run.by_batch) == (550, 500)
