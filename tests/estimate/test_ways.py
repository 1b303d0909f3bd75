"""The same rows at once, by batch and by the rules: rows, dollars, time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.reports import BatchTimes, Estimate
from claudebatch.estimate.duration import ApiModel
from claudebatch.estimate.estimate import EstimateOptions, estimate
from claudebatch.estimate.history import History
from claudebatch.estimate.ways import batch_times
from claudebatch.setup.input_files import InputFile
from tests.estimate.test_plan import NOTHING_KEPT, rows, run_setup
from tests.support.parts import TODAY

URGENT = {"name": "urgent", "when": {"tags": ["urgent"]}, "model": "haiku", "via": "live"}


def estimated(
    path: Path, prompts: list[dict[str, Any]], *, deadline_s: float | None = None, **config: object
) -> Estimate:
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return estimate(
        run_setup(**config),
        [InputFile(path, path.name)],
        NOTHING_KEPT,
        EstimateOptions(History(), ApiModel(), TODAY.date(), deadline_s=deadline_s),
        limit=None,
        cap=None,
        output="o",
    )


def test_a_batch_is_half_and_what_is_chosen_is_what_the_table_shows(tmp_path):
    live = estimated(tmp_path / "in.jsonl", rows(30))
    batch = estimated(tmp_path / "in.jsonl", rows(30), via="batch")
    assert [way.name for way in live.ways] == [way.name for way in batch.ways] == ["live", "batch"]
    assert [way.chosen for way in live.ways] == [True, False]
    assert [way.chosen for way in batch.ways] == [False, True]
    at_once, by_batch = live.ways
    assert (live.expected, live.worst) == (at_once.expected, at_once.worst)
    assert (batch.expected, batch.worst) == (by_batch.expected, by_batch.worst)
    # Row by row, an odd pico-dollar is rounded up.
    assert 2 * by_batch.worst == pytest.approx(at_once.worst, abs=60)
    assert 2 * by_batch.expected == pytest.approx(at_once.expected, abs=120)
    assert batch.batch == live.batch == by_batch.expected
    assert (batch.batch_rows, batch.seconds) == (30, 0.0)
    assert (live.batch_rows, live.seconds) == (0, at_once.seconds)


def test_rules_may_send_some_rows_at_once(tmp_path):
    prompts = [{**row, "tags": ["urgent"] if n < 10 else []} for n, row in enumerate(rows(30))]
    found = estimated(tmp_path / "in.jsonl", prompts, via="batch", routes=[URGENT])
    live, batch, mixed = found.ways
    assert (mixed.live_rows, mixed.batch_rows, mixed.chosen) == (10, 20, True)
    assert batch.expected < mixed.expected < live.expected
    assert (found.expected, found.worst) == (mixed.expected, mixed.worst)
    assert 0 < found.seconds <= live.seconds


def test_rows_that_no_batch_takes_are_at_once_by_every_way(tmp_path):
    found = estimated(
        tmp_path / "in.jsonl", rows(10, speed="fast", model="claude-opus-5-5"), via="batch"
    )
    live, batch = found.ways
    assert (batch.live_rows, batch.batch_rows) == (10, 0)
    assert batch.expected == live.expected == found.expected


def test_what_does_not_fit_its_schema_is_asked_again_at_the_full_price(tmp_path):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "schema": schema}
    more = {"output_config": {"format": form}}
    found = estimated(tmp_path / "in.jsonl", rows(10, **more), via="batch")
    live, batch = found.ways
    assert (batch.live_rows, batch.batch_rows) == (0, 10)
    # Three requests at worst, of which the first is at half the price.
    assert 2 / 3 < batch.worst / live.worst < 1


def test_a_plan_has_every_row_once_and_leaves_alone_what_must_not_wait(tmp_path):
    prompts = [{**row, "tags": ["urgent"] if n < 10 else []} for n, row in enumerate(rows(30))]
    found = estimated(tmp_path / "in.jsonl", prompts, routes=[URGENT], deadline_s=100_000.0)
    live, batch = found.ways
    assert found.plan is not None
    assert (found.plan.batch_rows, found.plan.live_rows) == (20, 10)
    assert found.plan.live == live.expected
    assert batch.expected < found.plan.expected < live.expected
    assert found.plan.live_s == live.seconds
    short = estimated(tmp_path / "in.jsonl", prompts, routes=[URGENT], deadline_s=600.0)
    assert short.plan is not None
    assert (short.plan.batch_rows, short.plan.expected) == (0, live.expected)


def test_nothing_to_send_has_no_way(tmp_path):
    assert estimated(tmp_path / "in.jsonl", []).ways == ()


def test_how_long_batches_take_is_what_earlier_ones_took():
    assert batch_times([]) is None
    assert batch_times([(1, float(n)) for n in range(100, 0, -1)]) == BatchTimes(100, 51.0, 91.0)
    assert batch_times([(5, 60.0)]) == BatchTimes(1, 60.0, 60.0)
