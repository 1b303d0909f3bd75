"""`claudebatch models`: prices and their age, limits and facts, with what the
configuration changed marked.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from claudebatch.__main__ import main
from claudebatch.core.reports.models_report import ModelsReport
from claudebatch.estimate.known_models import known_models
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices.bundled import own_table
from claudebatch.setup.run_setup import retirements
from claudebatch.ui.tables.model_tables import models_json, render_models
from tests.models.prices.published import ABOVE, HAIKU, KINDS, PUBLISHED, THRESHOLD
from tests.support.settings import settings_of

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
CONFIG = """\
model: claude-opus-6
limits: {tier: build, pools: {opus-5.5: {requests_per_minute: 50}}}
prices:
  claude-opus-6: {input: 4, output: 20, fast: {input: 8, output: 40}}
  claude-opus-5-20260724: {input: 3, output: 9}
models:
  claude-haiku-4-5: {max_output: 32000}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs `claudebatch models` in a folder of its own: (code, stdout, stderr)."""

    def call(*arguments: str, config: str = "") -> tuple[int, str, str]:
        (tmp_path / "claudebatch.yaml").write_text(config)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
        monkeypatch.delenv("CLAUDEBATCH_CONFIG", raising=False)
        monkeypatch.setattr(sys, "argv", ["claudebatch", "models", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def report(asked: str | None = None, *, at: datetime = TODAY, **config: Any) -> ModelsReport:
    return known_models(settings_of(**config), asked, at=at)


def as_json(told: tuple[int, str, str]) -> dict[str, dict[str, Any]]:
    code, out, err = told
    assert (code, err) == (0, "")
    return {line["id"]: line for line in json.loads(out)["models"]}


@pytest.mark.parametrize(("day", "fast"), [(29, True), (30, False)])
def test_fast_mode_is_told_until_its_last_day(day, fast):
    (line,) = report("claude-opus-4-8", at=datetime(2026, 11, day, tzinfo=UTC)).models
    assert line.prices is not None
    assert (line.prices.fast is not None) == fast


def test_every_published_price_is_told_to_its_last_digit(run):
    told = as_json(run("--json"))
    catalog = Catalog.load().on(datetime.now(UTC).date())
    for model, line in PUBLISHED.items():
        prices = told[model]["prices"]
        assert {kind: Decimal(prices["standard"][kind]) for kind in KINDS} == line.standard
        # Fast mode of a model may have ended, and its price with it.
        fast = line.fast is not None and catalog.facts(model).fast
        assert (prices["fast"] is not None) == fast
        assert (prices["threshold"] == THRESHOLD) == (model == HAIKU)
        assert prices["source"] in ("genai-prices", "claudebatch")
    assert {kind: Decimal(told[HAIKU]["prices"]["above"][kind]) for kind in KINDS} == ABOVE.standard
    assert told["claude-mythos-preview"]["prices"] is None


def test_the_table_has_a_line_for_every_model_and_says_how_old_the_prices_are(run):
    code, out, _ = run()
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[1:20]] == [facts.id for facts in Catalog.load()]
    sonnet = next(line for line in lines if line.startswith("claude-sonnet-4-5 "))
    assert sonnet.split()[1:6] == ["$3.00", "$15.00", "$0.30", "200k", "64k"]
    default = next(line for line in lines if line.startswith("claude-sonnet-5-5 "))
    assert default.split()[6] == "default"
    assert f"checked on {own_table().checked}" in out


def test_prices_of_another_version_than_was_checked_are_called_unchecked():
    found = report()
    text = "\n".join(render_models(replace(found, price_source="genai-prices 9.9")))
    assert "Prices from genai-prices 9.9," in text
    assert "newer prices are not checked yet" in text
    assert "newer prices are not checked yet" not in "\n".join(render_models(found))


@pytest.mark.parametrize(("days", "stale"), [(60, False), (61, True)])
def test_prices_that_nobody_looked_at_for_two_months_are_called_old(days, stale):
    checked = datetime.fromisoformat(own_table().checked).replace(tzinfo=UTC)
    text = "\n".join(render_models(report(at=checked + timedelta(days))))
    assert (f", {days} days ago: look for a newer release" in text) is stale


def test_all_about_one_model_is_told_by_its_name_an_alias_or_a_dated_one(run):
    for name in ("claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-haiku-4-5-20300101"):
        code, out, _ = run(name)
        assert code == 0
        assert out.startswith("claude-haiku-4-5 (claude-haiku-4-5-20251001)\n")
        assert "effort    not accepted" in out
        assert "cache write $1.25 for 5m, $2.00 for 1h" in out
        assert re.search(r"build +5,000 / 5M / 1M", out)


def test_part_of_a_name_finds_all_that_hold_it(run):
    assert set(as_json(run("haiku", "--json"))) == {"claude-haiku-5-5", "claude-haiku-4-5"}


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("claude-opus-5.5", "did you mean 'claude-opus-5-5'?"),
        ("gpt-4o", "claudebatch models lists"),
    ],
)
def test_a_model_that_does_not_exist_is_refused_with_a_fix(run, name, fix):
    code, out, err = run(name)
    assert (code, out) == (2, "")
    assert f"unknown model '{name}'" in err
    assert fix in err


def test_what_the_configuration_says_wins_and_is_marked(run):
    told = as_json(run("--json", config=CONFIG))
    new = told["claude-opus-6"]
    assert (new["is_default"], new["known"], new["prices"]["source"]) == (
        True,
        False,
        "configuration",
    )
    assert new["prices"]["fast"]["output"] == "40"
    assert told["claude-opus-5-20260724"]["prices"]["standard"]["input"] == "3"
    assert told["claude-opus-5"]["prices"]["standard"]["input"] == "5"
    assert (told["claude-haiku-4-5"]["max_output"], told["claude-haiku-4-5"]["changed"]) == (
        32_000,
        ["max_output"],
    )
    assert told["claude-opus-5-5"]["limits"] == {
        "requests": 50,
        "input_tokens": None,
        "output_tokens": None,
    }
    assert told["claude-sonnet-5-5"]["limits"]["requests"] == 5_000
    text = run(config=CONFIG)[1]
    assert "price set by the configuration; fast: $8.00 / $40.00" in text
    assert "max_output set by the configuration" in text
    assert "2 models priced by the configuration" in text


def test_without_limits_there_are_none():
    assert "limits     none" in "\n".join(
        render_models(report("claude-opus-5-5", limits={"tier": "none"}))
    )


def test_models_that_share_their_limits_name_each_other():
    (line,) = report("claude-opus-4-8").models
    assert line.shares_with == ("claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5")
    (alone,) = report("claude-opus-5-5").models
    assert alone.shares_with == ()


def test_a_model_that_is_about_to_go_says_when():
    told = {
        day: "\n".join(render_models(report("claude-sonnet-4-5", at=TODAY + timedelta(day))))
        for day in (0, 7, 8)
    }
    assert "ends 2026-11-30, in 8 days" in told[0]
    assert "ends 2026-11-30, in 1 day\n" in told[7]
    assert "retired 2026-11-30" in told[8]


def test_a_run_is_warned_of_models_that_are_about_to_go_or_gone():
    catalog = Catalog.load()
    asked = ["claude-sonnet-4-5-20250929", "claude-opus-5-5", "claude-mythos-preview"]
    found = retirements(catalog, asked, date(2026, 11, 22))
    unsure = "claude-mythos-preview may have been retired on 2026-06-30: requests to it may fail"
    assert [(notice.id, notice.text) for notice in found] == [
        ("W067", unsure),
        ("W012", "claude-sonnet-4-5-20250929 will be retired on 2026-11-30, in 8 days"),
    ]


def test_the_json_and_the_ledger_call_the_prices_by_one_name():
    assert models_json(report())["price_version"].startswith("genai-")
