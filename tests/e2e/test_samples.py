"""A sample first, then the whole: answers at once, the price of the rest, nothing paid
twice, and a word where the rest costs otherwise.
"""

from __future__ import annotations

import csv
import json
import random
from decimal import Decimal

import pytest

TEMPLATE = ("-t", "Classify as praise or complaint: {review}", "-m", "haiku")
WORDS = "great tea lovely cup broken late box never again good taste slow parcel"


@pytest.fixture
def reviews(world):
    rng = random.Random(16)
    with world.path("reviews.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["review", "stars"])
        for _ in range(400):
            table.writerow(
                [" ".join(rng.choices(WORDS.split(), k=rng.randint(3, 30))), rng.randint(1, 5)]
            )


def last(done) -> dict[str, object]:
    return json.loads(done.out.splitlines()[-1])


def test_the_first_session_of_a_newcomer(world, api, reviews):
    """The example of the documentation, as it stands there."""
    sample = world.claudebatch("run", "reviews.csv", *TEMPLATE, "--sample", "20")
    assert sample.code == 0, sample.err
    assert (api.requests, sample.out) == (20, "")
    lines = sample.err.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("prompt "))
    results = world.results("reviews.csv.results.jsonl")
    shown = lines[head + 1 : head + 21]
    for line, result in zip(
        shown, sorted(results.values(), key=lambda row: row["line"]), strict=True
    ):
        assert line.startswith("…" + result["input"]["review"][:10])
        assert result["text"][:20] in line
    assert "380 more rows for about $" in sample.err
    whole = f"claudebatch run reviews.csv {TEMPLATE[0]} '{TEMPLATE[1]}' -m haiku"
    assert lines[-1] == f"next      {whole}"
    done = world.claudebatch("run", "reviews.csv", *TEMPLATE, "--budget", "5", "-o", "labelled.csv")
    assert done.code == 0, done.err
    # The sample's answers were taken over, and equal rows are asked once.
    with world.path("labelled.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert api.requests == len({row["review"] for row in rows})
    assert all(row["answer"] for row in rows)


def test_the_interval_of_the_sample_holds_what_the_rest_then_costs(world, api, reviews):
    command = ("run", "reviews.csv", *TEMPLATE, "-o", "out.jsonl", "--json")
    rest = last(world.claudebatch(*command, "--sample", "40"))["rest"]
    assert rest["rows"] == 360
    assert rest["seconds"] > 0
    low, cost, high = (Decimal(rest[name]) for name in ("low_usd", "cost_usd", "high_usd"))
    assert 0 < low < cost < high < 2 * low
    events = [json.loads(line) for line in world.claudebatch(*command).out.splitlines()]
    assert low <= Decimal(events[-1]["spent_now_usd"]) <= high
    assert events[-1]["finished_before"] == 40
    assert events[-1]["rest"] is None
    assert not [event for event in events if event["event"] == "drift"]


@pytest.fixture
def misleading(world):
    """Rows of which those of the sample have short answers, the others long ones."""
    rows = [{"id": f"r{n}", "prompt": f"Question {n}", "part": n % 2} for n in range(200)]
    world.write("in.jsonl", rows)
    probe = world.claudebatch("run", "in.jsonl", "--simulate", "--sample", "20", "-o", "p.jsonl")
    assert probe.code == 0
    drawn = world.results("p.jsonl")
    for row in rows:
        row["prompt"] += f" [[simulate: tokens {30 if row['id'] in drawn else 600}]]"
    world.write("in.jsonl", rows)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_rows_that_cost_more_than_the_sample_said_are_told_with_the_new_total(
    world, api, misleading, elsewhere
):
    command = ("run", "in.jsonl", "-m", "haiku", "--max-tokens", "900")
    sampled = last(world.claudebatch(*command, "--sample", "20", "--json"))
    where = ("-o", "b.jsonl") if elsewhere else ()
    done = world.claudebatch(*command, *where, "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    (drift,) = [event for event in events if event["event"] == "drift"]
    (notice,) = [event for event in events if event.get("id") == "W071"]
    assert "rows cost $" in notice["text"]
    said = Decimal(sampled["spent_usd"]) + Decimal(sampled["rest"]["cost_usd"])
    assert Decimal(drift["expected_total_usd"]) == said
    assert Decimal(drift["mean_usd"]) > Decimal(drift["high_usd"])
    assert drift["rows"] < 100
    spent = Decimal(sampled["spent_usd"]) + Decimal(events[-1]["spent_now_usd"])
    assert abs(Decimal(drift["total_usd"]) / spent - 1) < Decimal("0.1")
    assert api.requests == 200
    # Once all is done, it is no news.
    assert "W071" not in world.claudebatch(*command, *where).err


def test_a_sample_of_another_question_or_of_other_rows_says_nothing_of_these(
    world, api, misleading
):
    assert world.claudebatch("run", "in.jsonl", "-m", "haiku", "--sample", "20").code == 0
    for options in (("-m", "sonnet"), ("-m", "haiku", "--where", "part=1")):
        done = world.claudebatch("run", "in.jsonl", *options, "-o", f"{options[1]}-{len(options)}")
        assert done.code == 0, done.err
        assert "W071" not in done.err
    whole = world.claudebatch("run", "in.jsonl", "-m", "haiku", "-o", "whole.jsonl")
    assert "W071" in whole.err


def test_a_sample_that_is_not_finished_says_what_finishes_it(world, api, reviews):
    command = ("run", "reviews.csv", *TEMPLATE, "--sample", "20", "--budget", "0.0001", "--json")
    done = world.claudebatch(*command)
    assert done.code == 3
    assert last(done)["rest"] is None
    assert "--sample 20" in last(done)["next_command"]


def test_a_sample_that_was_stopped_goes_on_where_it_was(world, api, reviews):
    command = ("run", "reviews.csv", *TEMPLATE, "--max-tokens", "100", "--sample", "20")
    first = world.claudebatch(*command, "--budget", "0.0009", "--json")
    assert first.code == 3
    begun = api.requests
    assert 0 < begun < 20
    done = world.claudebatch(*command, "--budget", "1", "--json")
    assert (done.code, api.requests) == (0, 20)
    assert last(done)["finished_before"] == begun
    assert last(done)["rest"]["rows"] == 380


def test_a_sample_of_all_rows_leaves_no_rest(world, api, reviews):
    done = world.claudebatch("run", "reviews.csv", *TEMPLATE, "--sample", "999", "--json")
    assert (last(done)["rest"], last(done)["rows"]) == (None, 400)


def test_a_quiet_run_shows_no_answers(world, api, reviews):
    done = world.claudebatch("run", "reviews.csv", *TEMPLATE, "--sample", "3", "-q")
    assert len(done.err.splitlines()) == 1


def test_no_answer_steers_the_terminal(world, api):
    world.write("in.jsonl", [{"prompt": f"a\x1b[2J\u202e {n}"} for n in range(3)])
    done = world.claudebatch("run", "in.jsonl", "--sample", "2")
    assert done.code == 0
    assert "\x1b" not in done.err and "\u202e" not in done.err
    assert "\\x1b" in done.err
