"""Answers of a wanted form: asked for, held against it, asked again, kept and shown."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3

import pytest

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
FIELDS = ("--schema", "mood good|bad, stars int")
VALUE = {"mood": "good", "stars": 1}
INVALID = "[[simulate: fault invalid]]"


def write(world, *texts: str, **more: object) -> None:
    rows = [{"id": f"r{n}", "prompt": text, **more} for n, text in enumerate(texts)]
    world.write("in.jsonl", rows)


def last_turns(body: dict[str, object]) -> list[str]:
    return [turn["role"] for turn in body["messages"]]  # type: ignore[attr-defined]


def test_the_value_is_in_parsed_and_its_members_are_columns(world, api):
    write(world, "good?", "bad?")
    assert world.claudebatch(*RUN, *FIELDS, "-q").code == 0
    assert [row["parsed"] for row in world.results().values()] == [VALUE] * 2
    assert world.claudebatch("export", "out.jsonl", "-o", "x.csv").code == 0
    with world.path("x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["mood"], row["stars"]) for row in rows] == [("good", "1")] * 2
    assert world.claudebatch("export", "out.jsonl", "-o", "x.db").code == 0
    with sqlite3.connect(world.path("x.db")) as base:
        assert base.execute("SELECT mood, stars FROM results").fetchall() == [("good", 1)] * 2
    done = world.claudebatch(
        "export", "out.jsonl", "-o", "-", "--output-format", "csv", "--columns", "id,parsed.stars"
    )
    assert done.out.splitlines() == ["id,parsed.stars", "r0,1", "r1,1"]


def test_names_that_the_rows_have_come_under_parsed(world, api):
    write(world, "good?", mood="x", model_name="y")
    assert world.claudebatch(*RUN, "--schema", "mood, model, Answer", "-q").code == 0
    assert world.claudebatch("export", "out.jsonl", "-o", "x.csv").code == 0
    header = world.path("x.csv").read_text().splitlines()[0].split(",")
    assert header[:6] == [
        *("id", "mood", "model_name", "parsed.mood", "parsed.model", "parsed.Answer")
    ]


def test_an_unfit_answer_is_asked_again_and_both_are_paid(world, serve):
    api = serve(script=("invalid",))
    write(world, "good?")
    assert world.claudebatch(*RUN, *FIELDS, "-q").code == 0
    (row,) = world.results().values()
    assert (row["parsed"], row["attempts"], row["ending"]) == (VALUE, 2, "complete")
    assert last_turns(api.bodies[1]) == ["user", "assistant", "user"]
    (paid,) = world.query("SELECT sum(cost) FROM attempts")[0]
    assert round(float(row["cost_usd"]) * 10**12) == paid


def test_what_never_fits_is_said_and_can_be_asked_again(world, api):
    write(world, f"{INVALID} 1", "good?")
    done = world.claudebatch(*RUN, *FIELDS)
    assert (done.code, api.requests) == (1, 4), done.err
    assert "2 of 2 answered: 1 complete · 0 cut off" not in done.err
    assert "1 complete · 1 invalid" in done.err
    assert "--retry-failed" in done.err
    row = world.results()["r0"]
    assert (row["status"], row["ending"], row["parsed"]) == ("succeeded", "invalid", None)
    assert row["invalid"].startswith('"mood" is a required property')
    assert world.claudebatch(*RUN, *FIELDS, "-q").code == 1, "also when nothing is left to do"
    assert api.requests == 4
    done = world.claudebatch(*RUN, *FIELDS, "--retry-failed", "--schema-retries", "0", "-q")
    assert (done.code, api.requests) == (1, 5)
    assert len(world.results()) == 2
    assert world.claudebatch(*RUN, *FIELDS, "--max-failures", "1", "-q").code == 0


def test_refused_and_cut_off_answers_are_none_that_do_not_fit(world, api):
    write(world, "[[simulate: refusal]]", "[[simulate: max_tokens]]")
    assert world.claudebatch(*RUN, *FIELDS, "-q").code == 0
    found = {name: (row["ending"], row["parsed"]) for name, row in world.results().items()}
    assert found == {"r0": ("refused", None), "r1": ("cut_off", None)}
    assert api.requests == 2


def test_only_answers_that_fit_are_kept_and_they_are_whole_again(world, api):
    write(world, f"{INVALID} 1", "good?")
    world.claudebatch(*RUN, *FIELDS, "--schema-retries", "0", "-q")
    assert world.claudebatch(*RUN[:3], "x.jsonl", *RUN[4:], *FIELDS, "-q").code == 1
    assert api.requests == 2 + 3
    kept = world.results("x.jsonl")["r1"]
    assert (kept["source"], kept["parsed"]) == ("cache", VALUE)


def test_a_killed_run_goes_on_from_the_answers_that_it_paid_for(processes, serve):
    world = processes
    dying = serve(script=("invalid", "invalid", "hang"))
    write(world, "good?")
    process = world.launch(*RUN, *FIELDS, "-q")
    world.until(lambda: dying.requests == 3)
    process.send(signal.SIGKILL)
    process.wait()
    api = serve(script=("invalid",))
    done = world.claudebatch(*RUN, *FIELDS, "--schema-retries", "3")
    assert (done.code, api.requests) == (0, 2), done.err
    assert [last_turns(body) for body in api.bodies] == [["user", "assistant", "user"]] * 2
    (row,) = world.results().values()
    assert (row["parsed"], row["attempts"]) == (VALUE, 5 - 1)
    (paid,) = world.query("SELECT sum(cost) FROM attempts WHERE body IS NOT NULL")[0]
    assert round(float(row["cost_usd"]) * 10**12) == paid


def test_an_unfit_answer_that_came_last_before_a_crash_is_the_rows_only_without_retries(
    processes, serve
):
    world = processes
    dying = serve(script=("invalid", "hang"))
    write(world, "good?")
    process = world.launch(*RUN, *FIELDS, "-q")
    world.until(lambda: dying.requests == 2)
    process.send(signal.SIGKILL)
    process.wait()
    api = serve()
    assert world.claudebatch(*RUN, *FIELDS, "--schema-retries", "0", "-q").code == 1
    assert api.requests == 0
    (row,) = world.results().values()
    assert (row["ending"], row["attempts"]) == ("invalid", 1)


def test_a_cap_that_ends_between_two_answers_keeps_the_first(world, serve):
    api = serve(script=("invalid",))
    write(world, "good?", max_tokens=1000)
    # One request fits, and what it leaves is too little for another.
    (worst,) = [
        json.loads(
            world.claudebatch(
                "estimate", "in.jsonl", "-m", "haiku", *FIELDS, "--schema-retries", "0", "--json"
            ).out
        )["worst_usd"]
    ]
    done = world.claudebatch(*RUN, *FIELDS, "--budget", worst)
    assert (done.code, api.requests) == (3, 1), done.err
    assert world.results() == {}
    assert world.claudebatch(*RUN, *FIELDS, "--budget", "1", "-q").code == 0
    assert api.requests == 2
    assert last_turns(api.bodies[1]) == ["user", "assistant", "user"]


def test_the_worst_case_counts_the_further_requests(world):
    write(world, "good?")

    def worst(*more: str) -> float:
        done = world.claudebatch("estimate", "in.jsonl", "-m", "haiku", *FIELDS, "--json", *more)
        return float(json.loads(done.out)["worst_usd"])

    once = worst("--schema-retries", "0")
    assert 3 * once < worst() < 4 * once
    assert (
        "2 more requests for each row with a schema"
        in world.claudebatch("estimate", "in.jsonl", "-m", "haiku", *FIELDS).err
    )


def test_a_model_without_schemas_is_forced_to_call_a_tool(world, serve):
    api = serve(script=("invalid",))
    world.configure("models: {claude-haiku-5-5: {structured: false}}\n")
    write(world, "good?")
    done = world.claudebatch(*RUN, *FIELDS, "-q")
    assert done.code == 0, done.err
    (row,) = world.results().values()
    assert (row["parsed"], row["text"], row["stop_reason"]) == (VALUE, "", "tool_use")
    assert all("output_config" not in body for body in api.bodies)


def test_a_line_may_have_a_schema_of_its_own(world, api):
    own = {
        "type": "object",
        "properties": {"z": {"type": "integer"}, "a": {"type": "boolean"}},
        "required": ["z", "a"],
        "additionalProperties": False,
    }
    rows = [
        {"id": "own", "prompt": "x", "schema": own},
        {
            "id": "sent",
            "prompt": "x",
            "output_config": {"format": {"type": "json_schema", "schema": own}},
        },
        {"id": "run", "prompt": "x"},
        {"id": "column", "prompt": "x", "schema": "CREATE TABLE t (x)"},
    ]
    world.write("in.jsonl", rows)
    done = world.claudebatch(*RUN, *FIELDS, "-q")
    assert done.code == 0, done.err
    found = {name: row["parsed"] for name, row in world.results().items()}
    mine = {"z": 1, "a": True}
    assert found == {"own": mine, "sent": mine, "run": VALUE, "column": VALUE}
    assert world.results()["column"]["input"] == {"schema": "CREATE TABLE t (x)"}
    # The members are asked for in the order of their author.
    sent = next(body for body in api.bodies if "z" in json.dumps(body["output_config"]))
    assert list(sent["output_config"]["format"]["schema"]["properties"]) == ["z", "a"]


def test_another_schema_is_another_row(world, api):
    write(world, "good?")
    world.claudebatch(*RUN, *FIELDS, "-q")
    done = world.claudebatch(*RUN, "--schema", "mood good|bad")
    assert (done.code, api.requests) == (0, 2)
    assert "edited since the answer came" in done.err
    assert [row["parsed"] for row in world.results().values()] == [{"mood": "good"}]


@pytest.mark.parametrize(
    ("wanted", "code", "found"),
    [("regex:answer (?P<id>[0-9a-f]{8})", 0, "complete"), ("xml:answer", 1, "invalid")],
)
def test_prose_gives_what_is_found_in_it(world, api, wanted, code, found):
    write(world, "good?")
    done = world.claudebatch(*RUN, "--extract", wanted)
    assert (done.code, api.requests) == (code, 1), done.err
    (row,) = world.results().values()
    assert row["ending"] == found
    assert (row["parsed"] is None) == (found == "invalid")
    # Another look at the same answers costs nothing.
    assert world.claudebatch(*RUN, "--extract", "regex:Sim", "-q").code == 0
    assert api.requests == 1
    assert [row["parsed"] for row in world.results().values()] == ["Sim"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--schema", "name strng"), 'E191]: --schema: the field "name" has the type "strng"'),
        (("--schema", "bad.json"), "E196]: bad.json is not valid JSON"),
        (("--schema", "open.json"), 'E193]: open.json: "schema.properties.a" is an object without'),
        (("--schema", "odd.json"), "E192]: odd.json is no JSON schema"),
        (("--schema", "none.json"), "E032]: --schema @none.json: no such file"),
        (("--extract", "yaml"), 'E194]: extract: "yaml" is none of json'),
        (("--extract", "json", *FIELDS), "E195]: a schema and extract are both given"),
    ],
)
def test_a_form_that_cannot_be_meant_is_refused_before_anything_is_sent(world, api, given, words):
    write(world, "good?")
    closed = {"type": "object", "additionalProperties": False}
    world.path("bad.json").write_text("{not json")
    world.path("open.json").write_text(
        json.dumps({**closed, "properties": {"a": {"type": "object"}}})
    )
    world.path("odd.json").write_text(json.dumps({**closed, "required": "name"}))
    done = world.claudebatch(*RUN, *given)
    assert (done.code, api.requests) == (2, 0)
    assert words in done.err
