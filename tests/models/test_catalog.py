"""The catalog: what it knows, what it guesses, and how a configuration corrects it."""

import subprocess
import sys
from datetime import date

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.models.catalog import EFFORTS, Catalog, closest

SDK_IDS = [
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-opus-5-5",
    "claude-mythos-5-1",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-mythos-preview",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-5",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
]


@pytest.fixture
def catalog():
    return Catalog.load()


@pytest.mark.parametrize("model", SDK_IDS)
def test_every_model_of_the_sdk_is_known_and_has_limits_in_every_tier(catalog, model):
    assert catalog.known(model)
    for tier in ("start", "build", "scale"):
        assert catalog.pool_of(model) in catalog.tier(tier)


@pytest.mark.parametrize("model", SDK_IDS)
def test_the_facts_about_a_model_agree_with_each_other(catalog, model):
    facts = catalog.facts(model)
    assert facts.max_output < facts.context_window
    assert list(facts.efforts) == [effort for effort in EFFORTS if effort in facts.efforts]
    assert (
        (facts.default_effort in facts.efforts) if facts.efforts else (facts.default_effort is None)
    )
    off = {"disabled", "between_tools"}.intersection(facts.thinking)
    assert bool(off) is (facts.thinking_default != "always")
    assert facts.thinking_default != "on" or "adaptive" in facts.thinking


def test_a_dated_id_has_its_familys_facts(catalog):
    assert catalog.facts("claude-haiku-4-5-20251001") is catalog.facts("claude-haiku-4-5")
    assert catalog.facts("claude-opus-5-5-20260922") is catalog.facts("claude-opus-5-5")
    assert catalog.known("claude-opus-5-5-20260922")


def test_an_unknown_model_gets_permissive_facts_and_a_pool_of_its_own(catalog):
    facts = catalog.facts("claude-opus-9")
    assert not catalog.known("claude-opus-9")
    assert (facts.id, facts.pool, facts.tokenizer) == ("claude-opus-9", "claude-opus-9", "new")
    assert (
        facts.prefill and facts.forced_tools and facts.fast and set(facts.efforts) == set(EFFORTS)
    )
    assert catalog.limits("scale", "claude-opus-9").input_tokens_per_minute == 4_000_000


def test_the_models_that_share_limits_share_a_pool(catalog):
    assert catalog.pool_of("claude-opus-4-5-20251101") == catalog.pool_of("claude-opus-4-8")
    assert catalog.pool_of("claude-fable-5") == catalog.pool_of("claude-fable-5-2")
    assert catalog.pool_of("claude-opus-5") != catalog.pool_of("claude-opus-5-5")
    assert catalog.pool_of("claude-fable-5-1") != catalog.pool_of("claude-mythos-5-1")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("claude-sonet-5-5", "claude-sonnet-5-5"),
        ("claude-haiku-5.5", "claude-haiku-5-5"),
        ("Claude-Opus-5-5", "claude-opus-5-5"),
        ("gpt-4o", None),
    ],
)
def test_a_misspelt_model_is_guessed(catalog, typed, meant):
    assert catalog.suggest(typed) == meant


def test_a_guess_is_quick_for_a_word_of_a_megabyte():
    assert closest("a" * 1_000_000, ["a" * 100]) == "a" * 100


def test_overrides_correct_a_model_under_all_of_its_names_and_add_new_ones():
    catalog = Catalog.load(
        {
            "claude-haiku-4-5": {"max_output": 32_000},
            "claude-opus-6": {"pool": "opus-5.5", "prefill": False},
        }
    )
    assert catalog.facts("claude-haiku-4-5-20251001").max_output == 32_000
    assert catalog.facts("claude-haiku-4-5").context_window == 200_000
    assert catalog.known("claude-opus-6")
    assert catalog.pool_of("claude-opus-6") == "opus-5.5"
    assert not catalog.facts("claude-opus-6").prefill
    assert Catalog.load().facts("claude-haiku-4-5").max_output == 64_000


@pytest.mark.parametrize(
    ("fields", "reason", "fix"),
    [
        (
            {"max_ouput": 1},
            "models.claude-opus-5 has the unknown fact 'max_ouput'",
            "did you mean 'max_output'?",
        ),
        (
            {"max_output": "many"},
            "models.claude-opus-5.max_output: expected a whole number, got text",
            "correct",
        ),
        ({"efforts": ["huge"]}, "unknown value 'huge'", "correct"),
        ({"id": "x"}, "unknown fact 'id'", "facts are"),
        (7, "must be a mapping of facts, got 7", "fields such as pool"),
    ],
)
def test_a_wrong_override_is_refused_with_its_place_and_a_fix(fields, reason, fix):
    with pytest.raises(ConfigError) as caught:
        Catalog.load({"claude-opus-5": fields})
    assert reason in caught.value.message
    assert caught.value.fix is not None and fix in caught.value.fix


def test_every_model_is_listed_once_whatever_its_names(catalog):
    listed = [facts.id for facts in catalog]
    assert len(listed) == len(set(listed))
    assert set(listed) == {catalog.facts(model).id for model in SDK_IDS}


def test_a_model_is_current_up_to_the_day_before_it_retires(catalog):
    sonnet = catalog.facts("claude-sonnet-4-5")
    for day, left in (
        (date(2026, 11, 22), 8),
        (date(2026, 11, 29), 1),
        (date(2026, 11, 30), 0),
        (date(2027, 1, 1), -32),
    ):
        assert sonnet.days_left(day) == left
        assert sonnet.retired(day) is (left <= 0)
        assert (sonnet in catalog.current(day)) is (left > 0)
    assert catalog.facts("claude-opus-5-5").days_left(date(2099, 1, 1)) is None
    assert "claude-mythos-preview" not in {
        facts.id for facts in catalog.current(date(2026, 11, 22))
    }


def test_a_wrong_override_is_named_with_file_and_line():
    with pytest.raises(
        ConfigError, match=r"^c\.yaml:3: models\.claude-opus-5 has the unknown fact 'x'"
    ):
        Catalog.load(
            {"claude-opus-5": {"x": 1}}, lambda key: {"models.claude-opus-5": "c.yaml:3"}[key]
        )


def test_the_tiers_are_those_of_the_documentation(catalog):
    limits = catalog.tier("Start")["haiku-5.5"]
    assert (limits.requests_per_minute, limits.input_tokens_per_minute) == (1_000, 2_000_000)
    assert limits.output_tokens_per_minute == 400_000
    assert catalog.tier("scale")["fable-5.x"].output_tokens_per_minute == 800_000


def test_an_unknown_tier_is_refused_with_a_guess(catalog):
    with pytest.raises(ConfigError) as caught:
        catalog.tier("biuld")
    assert caught.value.fix == "did you mean 'build'?"


def test_the_facts_are_not_read_before_they_are_asked_for():
    code = "import claudebatch.models.catalog as m; assert m._models.cache_info().currsize == 0"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
