"""A model that cannot be asked is known before anything is sent, with the name that was
meant or takes its place.
"""

from __future__ import annotations

from datetime import date

import pytest

from claudebatch.models.catalog import Catalog
from claudebatch.models.model_names import ModelNames, _gone

ON = date(2026, 11, 29)
CATALOG = Catalog.load()
NAMES = ModelNames(CATALOG, on=ON)


@pytest.mark.parametrize("line", ["haiku", "sonnet", "opus", "fable", "mythos"])
def test_a_short_name_is_the_newest_model_of_its_line(line):
    newest = CATALOG.resolve(line)
    assert newest == CATALOG.resolve(line.upper()) == CATALOG.newest(line)
    assert CATALOG.facts(newest).line == line
    versions = {facts.id for facts in CATALOG if facts.line == line}
    dated = [name.removeprefix(f"claude-{line}-") for name in versions]
    assert newest == f"claude-{line}-{max(version for version in dated if version[0].isdigit())}"
    assert NAMES.problem(line) is None


def test_other_names_stand_for_themselves():
    for name in ("claude-haiku-5-5", "claude-opus-9", "gpt-4o", ""):
        assert CATALOG.resolve(name) == name


@pytest.mark.parametrize("facts", list(CATALOG), ids=lambda facts: facts.id)
def test_every_model_of_the_list_can_be_asked_until_the_day_of_its_retirement(facts):
    for name in (facts.id, *facts.aliases):
        problem = NAMES.problem(name)
        assert (problem is not None) == (facts.retired(ON) and facts.retires_for_sure)
    if facts.retires_at is not None:
        day = date.fromisoformat(facts.retires_at)
        before = ModelNames(CATALOG, on=date.fromordinal(day.toordinal() - 1))
        assert before.problem(facts.id) is None
        gone = ModelNames(CATALOG, on=day).problem(facts.id)
        # Where nobody can say whether it still answers, it may be asked.
        if not facts.retires_for_sure:
            assert gone is None
            return
        assert gone is not None
        assert gone.reason == f'the model "{facts.id}" was retired on {facts.retires_at}'


@pytest.mark.parametrize("name", list(_gone()))
def test_a_retired_model_is_named_as_such_with_the_newest_of_its_line(name):
    problem = NAMES.problem(name)
    assert problem is not None
    assert problem.reason.startswith(f'the model "{name}" was retired')
    newest = CATALOG.newest(str(_gone()[name].line))
    assert problem.fix == f'use "{newest}"'
    of_line = NAMES.of_line(name)
    assert of_line is not None
    assert of_line.fix.endswith(f"or --model-map {name}={_gone()[name].line}")
    assert CATALOG.listed(name) is False
    # Permission for new models is none for old ones.
    assert ModelNames(CATALOG, on=ON, allow_unknown=True).problem(name) == problem


MISSPELT = {
    "claude-hiaku-5-5": "claude-haiku-5-5",
    "claude-opos-5-5": "claude-opus-5-5",
    "claude-haiku-5.5": "claude-haiku-5-5",
    "Claude-Opus-5-5": "claude-opus-5-5",
    "claude haiku 5.5": "claude-haiku-5-5",
    "haiku-5-5": "claude-haiku-5-5",
    "claude-haiku": "claude-haiku-5-5",
    "claude-opus-latest": "claude-opus-5-5",
    "hiaku": "claude-haiku-5-5",
    "anthropic/claude-opus-4.6": "claude-opus-4-6",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": "claude-haiku-4-5-20251001",
    "claude-haiku-4-5@20251001": "claude-haiku-4-5-20251001",
    "claude-haiku-4-5-20991231": "claude-haiku-4-5",
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_model_is_unknown_with_the_one_that_was_meant(name):
    problem = NAMES.problem(name)
    assert problem is not None
    assert problem.reason == f'unknown model "{name}"'
    assert problem.fix.startswith(f'did you mean "{MISSPELT[name]}"? ')
    of_line = NAMES.of_line(name)
    assert of_line is not None
    assert f"--model-map {name}={MISSPELT[name]}" in of_line.fix


@pytest.mark.parametrize("name", ["claude-unheard-of-9", "claude", "claude-code"])
def test_what_only_begins_like_a_model_is_no_misspelling(name):
    problem = NAMES.problem(name)
    assert problem is not None
    assert problem.fix.startswith("claudebatch models lists")


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gemini-pro", "mistral-large", "o3-mini", "x"])
def test_a_model_of_others_is_unknown_without_a_guess(name):
    problem, of_line = NAMES.problem(name), NAMES.of_line(name)
    assert problem is not None
    assert of_line is not None
    assert "did you mean" not in problem.fix
    assert of_line.fix == f"name a Claude model, or --model-map {name}=haiku"


def test_an_embedding_model_is_read_as_no_other():
    problem = NAMES.of_line("text-embedding-ada-002")
    assert problem is not None
    assert problem.fix == "Claude makes no embeddings: leave these requests out"


def test_a_new_model_passes_where_it_is_allowed_or_the_user_has_its_price_or_facts():
    new = "claude-haiku-6"
    assert NAMES.problem(new) is not None
    assert ModelNames(CATALOG, on=ON, allow_unknown=True).problem(new) is None
    assert ModelNames(CATALOG, on=ON, vouched=[new]).problem(new) is None
    told = Catalog.load({new: {"context_window": 5}})
    assert ModelNames(told, on=ON).problem(new) is None


def test_facts_under_a_short_name_are_those_of_the_newest():
    told = Catalog.load({"haiku": {"context_window": 5}})
    assert told.facts("claude-haiku-5-5").context_window == 5


def test_a_name_of_a_megabyte_is_cut_and_names_without_end_are_not_kept():
    problem = NAMES.of_line("x" * 1_000_000)
    assert problem is not None
    assert len(problem.reason) + len(problem.fix) < 300
    names = ModelNames(CATALOG, on=ON)
    for number in range(3000):
        assert names.of_line(f"x{number}") is not None
    assert len(names._judged) == 1000
