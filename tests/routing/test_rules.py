"""Rules: what each condition sees, and how a wrong one is refused."""

import pytest

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import ConfigError
from claudebatch.routing.conditions import parse_condition
from claudebatch.routing.prompt_view import PromptView
from claudebatch.routing.rules import Rule, parse_rules


def prompt(content="hello", *, tags=(), attributes=None, messages=None, **params):
    messages = [{"role": "user", "content": content}] if messages is None else messages
    return Prompt(
        "1",
        {"max_tokens": 1024, "messages": messages, **params},
        tags=tags,
        attributes=attributes or {},
    )


def holds(when, line, tokens=100):
    return parse_condition(when, "when")(PromptView(line, lambda _: tokens))


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
DOCUMENT = {"type": "document", "source": {"type": "text", "data": "of cabbages"}}
SCHEMA = {"format": {"type": "json_schema", "schema": {}}}
TALK = [
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "second"},
    {"role": "user", "content": [{"type": "text", "text": "third"}]},
]


@pytest.mark.parametrize(
    ("when", "line", "expected"),
    [
        ({"input_tokens": {"max": 100}}, prompt(), True),
        ({"input_tokens": {"max": 99}}, prompt(), False),
        ({"input_tokens": {"min": 100, "max": 100}}, prompt(), True),
        ({"input_tokens": {"min": 101}}, prompt(), False),
        ({"tags": ["a", "b"]}, prompt(tags=("b", "c")), True),
        ({"tags": ["a", "b"]}, prompt(tags=("c",)), False),
        ({"tags": "b"}, prompt(tags=("b",)), True),
        ({"tags_all": ["a", "b"]}, prompt(tags=("b", "c", "a")), True),
        ({"tags_all": ["a", "b"]}, prompt(tags=("b",)), False),
        ({"metadata": {"customer": "acme"}}, prompt(attributes={"customer": "acme"}), True),
        ({"metadata": {"customer": ["x", "acme"]}}, prompt(attributes={"customer": "acme"}), True),
        ({"metadata": {"customer": "acme"}}, prompt(), False),
        (
            {"metadata": {"level": 3, "paid": True}},
            prompt(attributes={"level": "3", "paid": "true"}),
            True,
        ),
        (
            {"metadata": {"level": 3, "paid": True}},
            prompt(attributes={"level": "3", "paid": "false"}),
            False,
        ),
        ({"prompt_matches": r"(?i)\bHELLO\b"}, prompt("oh, hello there"), True),
        ({"prompt_matches": r"^hello$"}, prompt("oh, hello there"), False),
        (
            {"prompt_matches": "be brief"},
            prompt(system=[{"type": "text", "text": "be brief"}]),
            True,
        ),
        ({"prompt_matches": "third"}, prompt(messages=TALK), True),
        ({"prompt_matches": "cabbages"}, prompt([DOCUMENT]), True),
        (
            {"prompt_matches": "sunny"},
            prompt([{"type": "tool_result", "tool_use_id": "t", "content": "sunny today"}]),
            True,
        ),
        ({"has_tools": True}, prompt(tools=[{"name": "t", "input_schema": {}}]), True),
        ({"has_tools": True}, prompt(tools=[]), False),
        ({"has_tools": False}, prompt(), True),
        ({"has_images": True}, prompt(["x", IMAGE]), True),
        (
            {"has_images": True},
            prompt([{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]),
            True,
        ),
        (
            {"has_images": True},
            prompt([{"type": "document", "source": {"content": [IMAGE]}}]),
            True,
        ),
        ({"has_images": True}, prompt("image"), False),
        ({"has_documents": True}, prompt([DOCUMENT]), True),
        ({"has_documents": False}, prompt([IMAGE]), True),
        ({"has_schema": True}, prompt(output_config=SCHEMA), True),
        ({"has_schema": True}, prompt(output_config={"effort": "low"}), False),
        ({"max_tokens": {"min": 1024}}, prompt(), True),
        ({"max_tokens": {"max": 1023}}, prompt(), False),
        ({"turns": {"min": 2}}, prompt(messages=TALK), True),
        ({"turns": {"max": 1}}, prompt(messages=TALK), False),
        ({"tags": "a", "has_tools": False}, prompt(tags=("a",)), True),
        ({"tags": "a", "has_tools": True}, prompt(tags=("a",)), False),
        ({"any": [{"tags": "a"}, {"has_tools": True}]}, prompt(tags=("a",)), True),
        ({"any": [{"tags": "a"}, {"has_tools": True}]}, prompt(), False),
        ({"not": {"tags": "a"}}, prompt(), True),
        ({"not": {"any": [{"tags": "a"}, {"max_tokens": {"min": 1}}]}}, prompt(), False),
    ],
)
def test_a_condition_sees_what_it_names(when, line, expected):
    assert holds(when, line) is expected


def test_tokens_are_estimated_once_and_only_when_nothing_cheaper_decides():
    asked = []

    def estimate(line):
        asked.append(line)
        return 100

    when = parse_condition(
        {"input_tokens": {"max": 500}, "tags": "a", "any": [{"input_tokens": {"min": 5}}]}, "when"
    )
    assert not when(PromptView(prompt(), estimate))
    assert asked == []
    assert when(PromptView(prompt(tags=("a",)), estimate))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("when", "reason", "fix"),
    [
        ({}, "rules[0] (r).when must be a mapping", "{input_tokens: {max: 500}}"),
        (None, "rules[0] (r).when must be a mapping", "default model"),
        (
            {"input_token": {"max": 1}},
            "(r).when has the unknown condition 'input_token'",
            "did you mean 'input_tokens'?",
        ),
        ({"zzz": 1}, "unknown condition 'zzz'", "the conditions are: tags,"),
        ({"input_tokens": 500}, "(r).when.input_tokens must be a range, got 500", "{max: 500}"),
        ({"input_tokens": {"maximum": 5}}, "unknown bound 'maximum'", "{max: 500}"),
        (
            {"input_tokens": {"max": "5"}},
            "input_tokens.max must be a whole number from 0 up, got '5'",
            "{max: 500}",
        ),
        ({"turns": {"min": True}}, "turns.min must be a whole number", "{max: 500}"),
        ({"turns": {"min": 5, "max": 4}}, "matches nothing: min 5 is above max 4", "swap"),
        (
            {"prompt_matches": "a("},
            "(r).when.prompt_matches is not a valid regular expression",
            "single quotes",
        ),
        ({"prompt_matches": ""}, "must be a regular expression, got ''", "single quotes"),
        ({"has_tools": "yes"}, "has_tools must be true or false, got 'yes'", "without quotes"),
        ({"tags": []}, "tags must be a value or a list of values", "[first, second]"),
        ({"tags": [{}]}, "tags must be a value or a list of values", "[first, second]"),
        ({"metadata": {"a": None}}, "metadata.a must be a value or a list", "[first, second]"),
        ({"metadata": ["a"]}, "metadata must be a mapping", "{key: value}"),
        ({"any": {"tags": "a"}}, "any must be a list of conditions", "per dash"),
        (
            {"any": [{"tag": "a"}]},
            "when.any[0] has the unknown condition 'tag'",
            "did you mean 'tags'?",
        ),
        ({"not": []}, "when.not must be a mapping", "default model"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place_and_a_fix(when, reason, fix):
    with pytest.raises(ConfigError) as caught:
        Rule.parse({"name": "r", "when": when, "model": "claude-haiku-5-5"}, "rules[0]")
    assert reason in caught.value.message
    assert caught.value.fix is not None and fix in caught.value.fix


@pytest.mark.parametrize(
    ("raw", "reason", "fix"),
    [
        ("short", "rules[0] must be a mapping", "name, when and model"),
        (
            {"name": "r", "if": {}, "model": "m"},
            "rules[0] has the unknown field 'if'",
            "fields of a rule are",
        ),
        ({"name": "r", "wen": {}, "model": "m"}, "unknown field 'wen'", "did you mean 'when'?"),
        (
            {"when": {"tags": "a"}, "model": "m"},
            "rules[0].name must be text, got nothing",
            "needs a name",
        ),
        (
            {"name": "r", "when": {"tags": "a"}},
            "rules[0] (r).model must be text",
            "needs a model",
        ),
        (
            {"name": "default", "when": {"tags": "a"}, "model": "m"},
            "the name 'default' is reserved",
            "no rule matched",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place_and_a_fix(raw, reason, fix):
    with pytest.raises(ConfigError) as caught:
        parse_rules([raw], "rules")
    assert reason in caught.value.message
    assert caught.value.fix is not None and fix in caught.value.fix


def test_rules_are_a_list_with_different_names():
    rule = {"name": "r", "when": {"tags": "a"}, "model": "m"}
    assert [r.name for r in parse_rules([rule, {**rule, "name": "s"}], "rules")] == ["r", "s"]
    with pytest.raises(ConfigError, match="a rule before it has the same name, 'r'"):
        parse_rules([rule, rule], "rules")
    with pytest.raises(ConfigError, match="must be a list of rules"):
        parse_rules({"r": rule}, "rules")
