"""The rows of a file on disk: drawn from fairly, read again faithfully, and compared
with other models.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claudebatch.estimate.compare_models import Comparison, Group, weight
from claudebatch.estimate.forecast import Forecast
from claudebatch.estimate.history import History
from claudebatch.estimate.request_shape import shape_of
from claudebatch.estimate.scratch_index import EarlierResults, ScratchIndex, planned
from claudebatch.setup.input_files import InputFile
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from tests.estimate.test_history import HAIKU, SONNET
from tests.support.parts import TODAY
from tests.support.settings import settings_of

NOTHING_KEPT = EarlierResults(
    None, Keys("v").of, lambda keys: [None] * len(keys), retry_failed=False
)


def run_setup(**config: object) -> RunSetup:
    return RunSetup.set_up(settings_of(**{"model": HAIKU, **config}), override=None, at=TODAY)


@contextmanager
def plan_of(
    path: Path, prompts: list[dict], kept: EarlierResults = NOTHING_KEPT, **config: object
) -> Iterator[ScratchIndex]:
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    with planned(run_setup(**config), [InputFile(path, path.name)], kept, limit=None) as plan:
        yield plan


def rows(count: int, **more: object) -> list[dict]:
    return [
        {"id": f"{n}", "prompt": f"{n} " + "word " * (n % 37 * 9), **more} for n in range(count)
    ]


def test_every_row_is_as_likely_to_be_drawn_as_any_other(tmp_path):
    with plan_of(tmp_path / "in.jsonl", rows(40)) as plan:
        drawn = Counter(
            position
            for seed in range(400)
            for position in plan.sample(10, random.Random(seed))[HAIKU]
        )
        assert all(len(plan.sample(10, random.Random(seed))[HAIKU]) == 10 for seed in range(5))
    assert set(drawn) == set(range(40))
    assert (
        60 < min(drawn.values()) <= max(drawn.values()) < 145
    )  # 100 each; four standard deviations


def test_a_sample_is_drawn_of_each_model_and_only_of_rows_that_will_be_sent(tmp_path):
    prompts = [*rows(30), *rows(20, model=SONNET)]
    for number, prompt in enumerate(prompts):
        prompt["id"] = str(number)
    prompts += [{**prompts[0], "id": "twin"}]
    cached = EarlierResults(
        None,
        lambda prompt, body: body.hex(),
        lambda keys: [b"" if b"29 " in bytes.fromhex(k) else None for k in keys],
        False,
    )
    with plan_of(tmp_path / "in.jsonl", prompts, cached) as plan:
        assert {m: len(p) for m, p in plan.sample(25, random.Random(1)).items()} == {
            HAIKU: 25,
            SONNET: 20,
        }
        everything = plan.sample(100, random.Random(1))
        assert everything[HAIKU] == list(range(29)), "without the row in the cache and the twin"
        assert plan.models() == {HAIKU: 29, SONNET: 20}
        assert plan.sample(100, random.Random(1), cached=True) == {HAIKU: [29]}
        assert [row.model for row in plan.cached()] == [HAIKU]


def test_rows_are_read_again_as_they_were_and_left_out_where_they_changed(tmp_path):
    path = tmp_path / "in.jsonl"
    with plan_of(path, rows(6)) as plan:
        assert [call.prompt.id for call in plan.calls([4, 0, 5])] == ["4", "0", "5"]
        text = path.read_text()
        path.write_text(text.replace('"0 ', '"7 '))
        assert [call.prompt.id for call in plan.calls([4, 0, 5])] == ["4", "5"]
        path.write_text("")
        assert list(plan.calls([4, 0, 5])) == []


@pytest.mark.parametrize(("share", "near"), [(1.0, 1e-9), (0.2, 0.05)])
def test_what_another_model_would_cost_is_exact_for_small_files_and_near_for_samples(
    tmp_path, share, near
):
    prompts = [
        *rows(300),
        *[{**row, "id": f"s{n}", "model": SONNET} for n, row in enumerate(rows(300))],
    ]
    setup = run_setup()
    forecast = Forecast(setup.prices, History())
    totals: Counter[Group] = Counter()
    with plan_of(tmp_path / "in.jsonl", prompts) as plan:
        for row in plan.sent():
            totals[Group(row.shape.model, False)] += weight(forecast.expect(row.shape))  # type: ignore[assignment]
        comparison = Comparison(setup.catalog.current(TODAY.date()), forecast, setup)
        for positions in plan.sample(round(300 * share), random.Random(2)).values():
            for call in plan.calls(positions):
                comparison.add(call)
        found = {other.model: other for other in comparison.of(totals)}
    with plan_of(
        tmp_path / "all.jsonl", [{k: v for k, v in p.items() if k != "model"} for p in prompts]
    ) as plan:
        everything = [forecast.cost_of(call) for call in plan.calls(range(600))]
        batch = sum(
            forecast.batch_cost(a, forecast.expect(a))
            for a in map(shape_of, plan.calls(range(600)))
        )
    assert found[HAIKU].expected == pytest.approx(sum(everything), rel=near)
    assert found[HAIKU].batch == pytest.approx(batch, rel=near)
    assert found[HAIKU].newest
    assert not found["claude-haiku-4-5"].newest


def test_a_cached_row_is_free_at_its_own_model_and_asked_anew_of_any_other(tmp_path):
    setup = run_setup()
    forecast = Forecast(setup.prices, History())
    comparison = Comparison(setup.catalog.current(TODAY.date()), forecast, setup)
    with plan_of(tmp_path / "in.jsonl", rows(4)) as plan:
        calls = list(plan.calls(range(4)))
    for number, call in enumerate(calls):
        comparison.add(call, cached=number > 0)
    sizes = [weight(forecast.expect(shape_of(call))) for call in calls]
    totals = {Group(HAIKU, False): sizes[0], Group(HAIKU, True): sum(sizes[1:])}
    found = {other.model: other.expected for other in comparison.of(totals)}
    assert found[HAIKU] == forecast.cost_of(calls[0])
    with plan_of(tmp_path / "all.jsonl", rows(4), model=SONNET) as plan:
        everything = sum(forecast.cost_of(call) for call in plan.calls(range(4)))
    assert found[SONNET] == pytest.approx(everything, rel=1e-6)
    assert comparison.of({Group(HAIKU, True): sum(sizes)}) == (), "nothing would be sent"


def test_rows_without_anything_to_send_have_nothing_to_compare(tmp_path):
    setup = run_setup()
    comparison = Comparison(
        setup.catalog.current(TODAY.date()), Forecast(setup.prices, History()), setup
    )
    assert comparison.of({}) == ()
