"""The budget in the configuration: dollars, or several caps; what cannot be meant is
refused with its place.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from claudebatch.config.load import load
from claudebatch.config.sections import BudgetSection, Config, TagCaps, settings_text
from claudebatch.core.errors import ConfigError

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text()


def read(tmp_path: Path, text: str, **flags: object) -> Config:
    file = tmp_path / "claudebatch.yaml"
    file.write_text(text)
    return load(file, flags, env={}, folder=tmp_path).config


def test_dollars_alone_are_the_cap_of_the_run(tmp_path):
    config = read(tmp_path, "budget: 2.50\n")
    assert (config.caps, config.capped) == (BudgetSection(run=Decimal("2.50")), True)
    assert not read(tmp_path, "").capped


def test_a_dollar_sign_may_stand_wherever_an_amount_stands(tmp_path):
    for text in ("budget: $2.50\n", 'budget: "$ 2.50"\n'):
        assert read(tmp_path, text).caps.run == Decimal("2.50")
    caps = read(tmp_path, "budget: {day: $5, tags: {a: $6, b: {month: $7, day: 8}}}\n").caps
    assert (caps.day, caps.tags) == (
        5,
        {"a": Decimal(6), "b": TagCaps(month=Decimal(7), day=Decimal(8))},
    )
    config = read(tmp_path, "confirm_above: $10\nmonitor: {floor_usd_per_minute: $0.20}\n")
    assert (config.confirm_above, config.monitor.floor_usd_per_minute) == (10, Decimal("0.20"))
    assert read(tmp_path, "system: $5\ntag: $6\n").system == "$5", (
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
    config = read(tmp_path, "budget: {day: 20, run: 1}\n", budget=Decimal(3))
    assert (config.caps.run, config.caps.day) == (3, 20)


def test_the_example_in_the_comments_is_valid(tmp_path):
    block = re.search(r"^budget: null\n((?:#  .*\n)+)", EXAMPLE, re.MULTILINE)
    text = "budget:\n" + "".join(line.removeprefix("#") + "\n" for line in block[1].splitlines())
    caps = read(tmp_path, text).caps
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
    config = read(tmp_path, "budget: {tags: {a: 5, b: {day: 2}}}\n", tag=tag)
    assert (config.capped, config.tag_caps.total) == (capped, total)


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
        ("budget:\n  dya: 1\n", 'yaml:2: there is no setting "budget.dya"'),
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
        settings_text(read(tmp_path, text))
        for text in ("budget: 1\n", "budget: {day: 7}\n", "tag: a\n", "")
    ]
    assert texts[0] == texts[1] != texts[2] == texts[3]
