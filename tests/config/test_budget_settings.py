"""The budget in the configuration: dollars, or several caps; what cannot be meant is
refused with its place.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from claudebatch.config.load import Loaded, load
from claudebatch.config.sections import TagCaps
from claudebatch.core.domain import PICO_PER_USD, Pico
from claudebatch.core.errors import ConfigError
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.settings import BudgetSettings

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text()


def usd(dollars: float) -> Pico:
    return round(dollars * PICO_PER_USD)


def budget(tmp_path: Path, text: str, **flags: object) -> BudgetSettings:
    return read(tmp_path, text, **flags).settings.budget


def limits(budget: BudgetSettings) -> dict[str, Pico]:
    return {cap.name: cap.limit for cap in budget.shared}


def read(tmp_path: Path, text: str, **flags: object) -> Loaded:
    file = tmp_path / "claudebatch.yaml"
    file.write_text(text)
    return load(file, flags, env={}, folder=tmp_path)


def test_dollars_alone_are_the_cap_of_the_run(tmp_path):
    assert budget(tmp_path, "budget: 2.50\n") == BudgetSettings(cap=usd(2.50))
    assert budget(tmp_path, "budget: 2.50\n").capped
    assert not budget(tmp_path, "").capped


def test_a_dollar_sign_may_stand_wherever_an_amount_stands(tmp_path):
    for text in ("budget: $2.50\n", 'budget: "$ 2.50"\n'):
        assert budget(tmp_path, text).cap == usd(2.50)
    text = "budget: {day: $5, tags: {a: $6, b: {month: $7, day: 8}}}\n"
    caps = read(tmp_path, text).config.budget
    assert (caps.day, caps.tags) == (
        5,
        {"a": Decimal(6), "b": TagCaps(month=Decimal(7), day=Decimal(8))},
    )
    text = "confirm_above: $10\nmonitor: {floor_usd_per_minute: $0.20}\n"
    settings = read(tmp_path, text).settings
    assert (settings.confirm_above, settings.alerts.spikes.floor) == (usd(10), usd(0.20))
    assert read(tmp_path, "system: $5\ntag: $6\n").settings.system == "$5", (
        "elsewhere it is a letter like any other"
    )


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("budget: 5 dollars", "budget", "5 dollars"),
        ("budget: $1,000", "budget", "$1,000"),
        ("budget: $", "budget", "$"),
        ("budget: true", "budget", "True"),
        ("budget: {day: five}", "budget.day", "five"),
        ("budget: {tags: {a: {total: [1]}}}", "budget.tags.a.total", "[1]"),
        ("confirm_above: much", "confirm_above", "much"),
    ],
)
def test_what_is_no_amount_is_told_with_its_place_and_an_example(tmp_path, text, key, value):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert refused.value.message.endswith(
        f"claudebatch.yaml:1: {key}: '{value}' is not an amount of dollars"
    )
    assert refused.value.fix == "write a number such as 5 or 2.50"


def test_the_flag_sets_the_cap_of_the_run_and_leaves_the_others(tmp_path):
    found = budget(tmp_path, "budget: {day: 20, run: 1}\n", budget=Decimal(3))
    assert (found.cap, limits(found)) == (usd(3), {"day": usd(20)})


def test_the_example_in_the_comments_is_valid(tmp_path):
    block = re.search(r"^budget: null\n((?:#  .*\n)+)", EXAMPLE, re.MULTILINE)
    text = "budget:\n" + "".join(line.removeprefix("#") + "\n" for line in block[1].splitlines())
    caps = read(tmp_path, text).config.budget
    assert (caps.run, caps.day, caps.month, caps.mode, caps.overshoot) == (
        5,
        20,
        200,
        "strict",
        "10%",
    )
    assert caps.tags == {
        "client-a": 50,
        "client-b": TagCaps(day=Decimal(5), month=Decimal(60), total=Decimal(300)),
    }


@pytest.mark.parametrize(
    ("tag", "capped", "total"),
    [("a", True, 5), ("b", True, None), ("c", False, None), (None, False, None)],
)
def test_the_caps_of_a_tag_concern_the_runs_that_have_it(tmp_path, tag, capped, total):
    found = budget(tmp_path, "budget: {tags: {a: 5, b: {day: 2}}}\n", tag=tag)
    totals = [cap.limit for cap in found.shared if cap.span == "total"]
    assert (found.capped, totals) == (capped, [] if total is None else [usd(total)])


def test_every_cap_of_a_run_is_named_as_people_read_it(tmp_path):
    text = "budget: {day: 1, month: 2, tags: {a: {total: 3, day: 4, month: 5}, b: 6}}\n"
    assert budget(tmp_path, text, tag="a").shared == (
        SharedCap("day", usd(1), "day", None, "budget.day"),
        SharedCap("month", usd(2), "month", None, "budget.month"),
        SharedCap("tag a", usd(3), "total", "a", "budget.tags.a"),
        SharedCap("tag a per day", usd(4), "day", "a", "budget.tags.a"),
        SharedCap("tag a per month", usd(5), "month", "a", "budget.tags.a"),
    )


@pytest.mark.parametrize(
    ("text", "overshoot"),
    [
        ("budget: {run: 5}", 0),
        ("budget: {run: 5, mode: expected}", 0.5),
        ("budget: {run: 0.1, mode: expected, overshoot: 30%}", 0.03),
        ("budget: {day: 5, mode: expected}", 0),
    ],
)
def test_only_the_cap_of_the_run_may_be_passed_and_only_where_costs_are_expected(
    tmp_path, text, overshoot
):
    assert budget(tmp_path, text).overshoot == usd(overshoot)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "budget: 0\n",
            "yaml:1: budget must be an amount of dollars above 0 and at most 4,000,000, got 0",
        ),
        ("budget: .inf\n", "yaml:1: budget must be an amount of dollars above 0"),
        ("budget: 1e99\n", "yaml:1: budget must be an amount of dollars above 0"),
        (
            "budget:\n  day: -1\n",
            "yaml:2: budget.day must be an amount of dollars above 0 and at most 4,000,000",
        ),
        ("budget:\n  tags:\n    a: 0\n", "yaml:3: budget.tags.a must be"),
        ("budget:\n  tags:\n    a:\n      month: 0\n", "yaml:4: budget.tags.a.month must be"),
        ("budget:\n  dya: 1\n", 'yaml:2: unknown setting "budget.dya"'),
        ("budget:\n  mode: loose\n", "yaml:2: budget.mode: "),
        ("budget:\n  overshoot: 120%\n", "yaml:2: budget.overshoot: not a share"),
        ("budget: [1]\n", "yaml:1: budget: "),
        ("budget: yes\n", "yaml:1: budget: "),
        ("tag: ''\n", "yaml:1: tag: a tag has 1 to 64"),
        ("tag: ' a'\n", "yaml:1: tag: a tag has 1 to 64"),
        ('tag: "a\\eb"\n', "yaml:1: tag: a tag has 1 to 64"),
        ("budget: {tags: {'': 1}}\n", "budget.tags.: a tag has 1 to 64"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert said in refused.value.message
    assert refused.value.fix


def test_an_intake_depends_on_whether_there_is_a_cap_and_not_on_which(tmp_path):
    texts = [
        read(tmp_path, text).settings.intake_text
        for text in ("budget: 1\n", "budget: {day: 7}\n", "tag: a\n", "")
    ]
    assert texts[0] == texts[1] != texts[2] == texts[3]
