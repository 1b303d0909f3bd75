"""Rules see the columns of a row that are no part of its request."""

from __future__ import annotations

import pytest

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import ConfigError
from claudebatch.core.jsonl import encode_in_order
from claudebatch.routing.conditions import parse_condition
from claudebatch.routing.hidden_rules import hidden_rules
from claudebatch.routing.prompt_view import PromptView

ROW = {"lang": "de", "stars": 5, "price": 2.5, "cell": "17", "ok": True, "no": None, "m": {"a": 1}}


def holds(condition, row=ROW) -> bool:
    view = PromptView(Prompt("a", {}, columns=encode_in_order(row)), lambda prompt: 0)
    return parse_condition({"columns": condition}, "when")(view)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ({"lang": "de"}, True),
        ({"lang": ["fr", "de"]}, True),
        ({"lang": "fr"}, False),
        ({"lang": "de", "stars": 4}, False),
        ({"lang": "de", "stars": 5}, True),
        ({"stars": 5.0}, True),
        ({"stars": "5"}, True),
        ({"stars": [1, 2]}, False),
        ({"stars": {"min": 5}}, True),
        ({"stars": {"max": 4.5}}, False),
        ({"price": {"min": 2, "max": 3}}, True),
        ({"cell": 17}, True),
        ({"cell": {"min": 17, "max": 17}}, True),
        ({"lang": {"min": 1}}, False),
        ({"ok": True}, True),
        ({"ok": 1}, False),
        ({"no": None}, True),
        ({"gone": ""}, True),
        ({"gone": "x"}, False),
        ({"m.a": 1}, True),
        ({"m.b": 1}, False),
    ],
)
def test_a_column_is_compared_with_a_value_a_list_or_a_range(condition, met):
    assert holds(condition) is met


def test_a_row_without_columns_meets_none():
    view = PromptView(Prompt("a", {}), lambda prompt: 0)
    assert not parse_condition({"columns": {"lang": "de"}}, "when")(view)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("de", "when.columns must be a mapping"),
        ({"lang": []}, "when.columns.lang must be a value or a list"),
        ({"lang": [{"a": 1}]}, "when.columns.lang must be a value or a list"),
        ({"stars": {"from": 1}}, "when.columns.stars must be a range"),
        ({"stars": {"min": "1"}}, "when.columns.stars must be a range"),
        ({"stars": {"min": 2, "max": 1}}, "matches nothing: min 2 is above max 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(condition, said):
    with pytest.raises(ConfigError, match=said):
        holds(condition)


def test_a_rule_that_an_earlier_one_hides_is_seen():
    def rule(name: str, columns):
        return {"name": name, "when": {"columns": columns}}

    assert hidden_rules([rule("a", {"lang": ["de", "fr"]}), rule("b", {"lang": "de"})]) == [
        ("b", "a")
    ]
    assert not hidden_rules([rule("a", {"stars": {"min": 1}}), rule("b", {"stars": 2})])
