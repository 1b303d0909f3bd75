"""Wherever a model is named, a name that cannot be asked stops the run before anything
is made or sent, and a short name asks the newest model of its line.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.e2e.world import prompts

FIELD = Path(__file__).parents[3] / "shared" / "field"
HAIKU, OPUS, SONNET = "claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-5-5"
WRONG = {
    "claude-hiaku-5-5": 'unknown model "claude-hiaku-5-5"',
    "gpt-4o": 'unknown model "gpt-4o"',
    "claude-3-opus-20240229": "was retired on 2026-01-05",
}
# MODEL stands for the wrong one.
PLACES = {
    "model: MODEL": "model",
    "routes: [{name: long, when: {tags: x}, model: MODEL}]": "routes[0] (long)",
    "fallbacks: {claude-sonnet-5-5: [MODEL]}": "fallbacks",
    "fallbacks: {MODEL: [claude-sonnet-5-5]}": "fallbacks",
}


@pytest.mark.parametrize("command", ["run", "estimate"])
@pytest.mark.parametrize("model", WRONG)
def test_an_option_with_a_wrong_model_stops_before_anything(world, api, command, model):
    world.write("in.jsonl", prompts(2))
    before = world.files()
    for option, place in (("-m", "-m"), ("--model-map", "--model-map")):
        value = model if option == "-m" else f"a={model}"
        done = world.claudebatch(command, "in.jsonl", option, value)
        assert (done.code, api.requests) == (2, 0)
        assert re.match(rf"error\[E\d+\]: {re.escape(place)}: ", done.err)
        assert WRONG[model] in done.err
        assert "  hint: " in done.err
    assert world.files() == before


@pytest.mark.parametrize("model", WRONG)
@pytest.mark.parametrize("setting", PLACES)
def test_a_configuration_with_a_wrong_model_stops_with_its_line(world, api, setting, model):
    world.configure(setting.replace("MODEL", model) + "\n")
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch("run", "in.jsonl")
    assert (done.code, api.requests) == (2, 0)
    assert done.err.startswith(("error[E433]: ", "error[E434]: "))
    assert f"claudebatch.yaml:3: {PLACES[setting]}: " in done.err
    assert WRONG[model] in done.err


def test_a_line_with_a_wrong_model_is_named_with_all_its_problems_and_the_way_out(world, api):
    row = {"prompt": "x", "model": "claude-hiaku-5-5"}
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "n": 2}
    batch = {"custom_id": "a", "url": "/v1/chat/completions", "body": body}
    world.write("in.jsonl", [row, row, batch])
    done = world.claudebatch("run", "in.jsonl")
    assert (done.code, api.requests) == (2, 0)
    note, first, second, third, *_ = done.err.splitlines()
    assert note.startswith("note[N001]: settings of claudebatch.yaml")
    assert first.startswith('in.jsonl:1-2: E434 unknown model "claude-hiaku-5-5"')
    assert f'did you mean "{HAIKU}"?' in first
    assert '"n" (2) has no equal' in second
    assert third.endswith("name a Claude model, or --model-map gpt-4o-mini=haiku")
    skipped = world.claudebatch("run", "in.jsonl", "--on-bad-row", "skip")
    assert (skipped.code, api.requests) == (1, 0)


def test_short_names_ask_the_newest_model_wherever_one_is_named(world, api):
    world.configure(
        "model: sonnet\n"
        "routes: [{name: long, when: {tags: long}, model: opus}]\n"
        "fallbacks: {haiku: [sonnet]}\n"
        "prices: {haiku: {input: 1, output: 2}}\n"
    )
    rows = [
        {"id": "line", "prompt": "a", "model": "haiku"},
        {"id": "rule", "prompt": "b", "tags": ["long"]},
        {"id": "default", "prompt": "c"},
        {
            "custom_id": "openai",
            "url": "/v1/chat/completions",
            "body": {"model": "Haiku", "messages": [{"role": "user", "content": "d"}]},
        },
    ]
    world.write("in.jsonl", rows)
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl")
    assert done.code == 0, done.err
    found = {row: line["requested_model"] for row, line in world.results().items()}
    assert found == {"line": HAIKU, "rule": OPUS, "default": SONNET, "openai": HAIKU}
    told = world.claudebatch("run", "in.jsonl", "-o", "b.jsonl", "-m", "fable")
    assert told.code == 0, told.err
    assert world.results("b.jsonl")["default"]["requested_model"] == "claude-fable-5-2"
    assert api.asked().keys()


def test_a_new_model_is_asked_where_that_is_allowed(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "x", "model": "claude-haiku-9"}])
    assert world.claudebatch("run", "in.jsonl", "-o", "a.jsonl").code == 2
    assert api.requests == 0
    done = world.claudebatch("run", "in.jsonl", "-o", "a.jsonl", "--allow-unknown-model")
    assert api.requests == 1
    assert "no price is known for claude-haiku-9" in done.err


# By number: the options with which a file that somebody brought runs as it is.
RUNS = {
    "01": ["--model-map", "gpt-4o-mini=haiku", "--drop", "temperature,response_format"],
    "03": ["--model-map", "claude-3-5-sonnet-20240620=sonnet", "--drop", "temperature"],
    "47": ["--model-map", "o3-mini=haiku"],
    "71": ["--drop", "seed,temperature,top_p"],
}


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
@pytest.mark.parametrize("number", RUNS)
def test_a_file_made_for_others_runs_whole_with_the_changes_counted(world, api, number):
    (path,) = FIELD.glob(f"{number}-*")
    shutil.copyfile(path, world.path("in.jsonl"))
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl").code == 2
    assert api.requests == 0
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", *RUNS[number])
    assert done.code == 0, done.err
    assert "no row" not in done.err
    rows = len(path.read_text().splitlines())
    assert len(world.results()) == rows
    assert f"({rows} row" in done.err or f"in {rows} row" in done.err


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
@pytest.mark.parametrize(
    ("number", "kept"), [("06", {"answer"}), ("10", {"key", "instruction_id_list", "kwargs"})]
)
def test_a_file_with_columns_of_its_own_runs_as_it_is(world, api, number, kept):
    (path,) = FIELD.glob(f"{number}-*")
    shutil.copyfile(path, world.path("in.jsonl"))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl")
    assert done.code == 0, done.err
    assert all(kept <= row["input"].keys() for row in world.results().values())


def test_changes_to_the_lines_are_counted_in_run_and_estimate(world, api):
    world.write("in.jsonl", [{"prompt": f"{n}", "model": "gpt-4o", "seed": n} for n in range(3)])
    edits = ("--model-map", "gpt-4o=opus", "--drop", "seed,top_k")
    for command in ("estimate", "run"):
        done = world.claudebatch(command, "in.jsonl", *edits)
        assert done.code == 0, done.err
        assert "left out of the rows (--drop): seed (3 rows)" in done.err
        assert "--drop: no row has top_k" in done.err
        assert "gpt-4o is read as claude-opus-5-5 in 3 rows (--model-map)" in done.err
    answered = [
        json.loads(line) for line in world.path("in.results.jsonl").read_text().splitlines()
    ]
    assert {line["requested_model"] for line in answered} == {OPUS}


def test_a_map_without_two_models_is_refused(world, api):
    world.write("in.jsonl", prompts(1))
    for wrong in ("haiku", "=haiku", "gpt-4o="):
        done = world.claudebatch("run", "in.jsonl", "--model-map", wrong)
        assert (done.code, api.requests) == (2, 0)
        assert "is not OLD=NEW" in done.err


def test_a_configuration_that_was_only_found_is_named_on_the_first_line(world, api):
    world.write("in.jsonl", prompts(1))
    world.configure("model: haiku\nsystem: You are a pirate.\n")
    found = "note[N001]: settings of claudebatch.yaml in this folder: limits, model, retry, system"
    for command in (("run", "-o", "out.jsonl"), ("estimate",)):
        first, *_ = world.claudebatch(*command, "in.jsonl").err.splitlines()
        assert sorted(first.replace(",", "").split()) == sorted(found.replace(",", "").split())
        named = world.claudebatch(*command, "in.jsonl", "-c", "claudebatch.yaml")
        assert "in this folder" not in named.err
    quiet = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-q")
    assert "in this folder" not in quiet.err
