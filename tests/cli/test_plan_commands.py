"""The commands of a plan: what the estimate was given, less what it alone knows."""

from __future__ import annotations

import pytest

from claudebatch.cli.wiring.plan_commands import plan_commands

GIVEN = ("claudebatch", "estimate", "my rows.jsonl", "--deadline", "6h", "-m", "haiku", "--json")
RUN = "claudebatch run 'my rows.jsonl'"


def test_each_way_is_one_command() -> None:
    found = plan_commands(GIVEN)
    assert (found.now, found.tonight) == (f"{RUN} -m haiku", f"{RUN} -m haiku --batch")
    assert found.mixed == f"{RUN} --deadline 6h -m haiku"
    dry = ("claudebatch", "run", "in.jsonl", "--dry-run", "--deadline=6h")
    assert plan_commands(dry).now == "claudebatch run in.jsonl"
    assert plan_commands(dry).mixed == "claudebatch run in.jsonl --deadline=6h"


@pytest.mark.parametrize("more", [("--batch",), ("--via", "auto"), ("--via=batch", "-v")])
def test_the_road_that_the_estimate_was_of_is_left_out(more: tuple[str, ...]) -> None:
    assert plan_commands((*GIVEN, *more)).now == f"{RUN} -m haiku"
