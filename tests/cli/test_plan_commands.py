"""The commands of a plan: what the estimate was given, less what it alone knows."""

from __future__ import annotations

import pytest

from claudebatch.cli.dates import duration
from claudebatch.cli.wiring.plan_commands import plan_commands
from claudebatch.core.reports import DeadlinePlan, PlanPart

GIVEN = ("claudebatch", "estimate", "my rows.jsonl", "--deadline", "6h", "-m", "haiku", "--json")
RUN = "claudebatch run 'my rows.jsonl' -m haiku"


def plan(*parts: tuple[int, int]) -> DeadlinePlan:
    made = tuple(PlanPart("m", f"r{n}", *rows) for n, rows in enumerate(parts))
    return DeadlinePlan(
        60.0,
        made,
        give_up_s=10.0,
        chance=0.5,
        past_batches=0,
        latest_s=50.0,
        expected=1,
        live_s=20.0,
        live=2,
    )


def test_everything_by_batch_is_one_command_and_what_follows_a_late_batch() -> None:
    found = plan_commands(GIVEN, plan((0, 9)))
    assert (found.now, found.tonight) == (RUN, f"{RUN} --batch")
    late = f"after 10 s, if it has not ended: cancel it, and {RUN}"
    assert found.mixed == (f"{RUN} --batch", late)


def test_rows_that_are_all_alike_are_split_by_their_number() -> None:
    assert plan_commands(GIVEN, plan((3, 9))).mixed[0] == f"{RUN} -n 3"
    # The first three would be of either rule.
    assert plan_commands(GIVEN, plan((3, 9), (0, 4))).mixed == ()
    assert plan_commands((*GIVEN, "-n", "12"), plan((3, 9))).mixed == ()


@pytest.mark.parametrize("more", [("--batch",), ("--via", "auto"), ("--via=batch", "-v")])
def test_the_road_that_the_estimate_was_of_is_left_out(more: tuple[str, ...]) -> None:
    assert plan_commands((*GIVEN, *more), plan((0, 9))).now == RUN


def test_times_from_now() -> None:
    assert [duration(text) for text in ("90m", "1.5h", "2d")] == [5400.0, 5400.0, 172_800.0]
