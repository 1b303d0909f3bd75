"""Some rows of an input: by chance, number, id and column; and all of them later."""

from __future__ import annotations

import json

import pytest

ROWS = [
    {"id": f"r{n}", "prompt": f"Question {n}", "lang": "de" if n % 3 else "en", "meta": {"n": n}}
    for n in range(1, 31)
]
RUN = ("run", "in.jsonl", "-o", "out.jsonl")


@pytest.fixture
def input_file(world):
    return world.write("in.jsonl", ROWS)


def ids(world) -> list[str]:
    return [json.loads(line)["id"] for line in world.path("out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (("--rows", "10-12,2"), ["r2", "r10", "r11", "r12"]),
        (("--id", "r7,r3"), ["r3", "r7"]),
        (("--where", "lang=en", "--limit", "2"), ["r3", "r6"]),
        (("--where", "meta.n=30"), ["r30"]),
        (("--where", "lang!=de", "--where", "prompt~2"), ["r12", "r21", "r24", "r27"]),
        (("--where", "lang=en", "--rows", "1-7"), ["r3", "r6"]),
        (("--where", "lang=en", "--id", "r3,r9,r12", "--limit", "2"), ["r3", "r9"]),
    ],
)
def test_the_rows_that_are_named_are_asked_and_no_others(world, api, input_file, options, chosen):
    estimated = world.claudebatch("estimate", "in.jsonl", "-o", "out.jsonl", *options, "--json")
    assert json.loads(estimated.out)["rows"] == len(chosen)
    done = world.claudebatch(*RUN, *options, "--ordered")
    assert done.code == 0, done.err
    assert ids(world) == chosen
    assert api.requests == len(chosen)
    again = world.claudebatch(*RUN, *options, "--ordered")
    assert (again.code, api.requests) == (0, len(chosen))
    whole = world.claudebatch(*RUN, "--ordered")
    assert (whole.code, api.requests) == (0, len(ROWS)), whole.err
    assert ids(world) == [row["id"] for row in ROWS]
    assert not whole.err.count("no longer in the input")


def test_other_choices_of_the_same_rows_keep_what_was_paid(world, api, input_file):
    """In any order of commands: no answer leaves the file, and none is paid twice."""
    asked: set[str] = set()
    for options in [
        ("--sample", "5"),
        ("--limit", "4"),
        ("--rows", "20-24"),
        ("--limit", "8"),
        ("--where", "lang=en"),
        ("--sample", "8"),
        ("--id", "r1"),
        (),
    ]:
        done = world.claudebatch(*RUN, *options)
        assert done.code == 0, done.err
        found = set(ids(world))
        assert asked <= found
        asked = found
        assert api.requests == len(asked)
    assert len(asked) == len(ROWS)


def test_a_sample_is_the_same_one_again_and_grows_out_of_a_smaller_one(world, api, input_file):
    world.claudebatch(*RUN, "--sample", "5")
    first = set(ids(world))
    assert len(first) == 5
    world.claudebatch(*RUN, "--sample", "9")
    assert first < set(ids(world))
    assert api.requests == 9
    world.claudebatch("run", "in.jsonl", "-o", "b.jsonl", "--sample", "5", "--seed", "1")
    assert set(world.results("b.jsonl")) != first


def test_a_choice_that_names_what_is_not_there_sends_nothing(world, api, input_file):
    for options, said in [
        (("--where", "lagn=de"), 'no row has a column "lagn"'),
        (("--rows", "31"), "there is no row 31; the input has 30"),
        (("--id", "r3,x"), 'no row has the id "x"'),
        (("--sample", "3", "--limit", "3"), "--sample and --limit"),
        (("--rows", "5-2"), "--rows: '5-2' is no row"),
        (("--where", "lang"), "is no condition"),
    ]:
        for command in (RUN, ("estimate", "in.jsonl")):
            done = world.claudebatch(*command, *options)
            assert done.code == 2
            assert said in " ".join(done.err.split()), done.err
    assert "id, prompt, lang, meta" in world.claudebatch(*RUN, "--where", "x=1").err
    assert api.requests == 0


def test_rows_that_do_not_fit_may_be_wrong_and_those_that_may_fit_may_not(world, api):
    world.write("in.jsonl", [{"prompt": "a", "lang": "de"}, {"prompt": 5, "lang": "en"}])
    assert world.claudebatch(*RUN, "--where", "lang=de").code == 0
    with world.path("in.jsonl").open("a") as file:
        file.write("{broken\n")
    done = world.claudebatch("run", "in.jsonl", "-o", "b.jsonl", "--where", "lang=de")
    assert done.code == 2 and "in.jsonl:3" in done.err
