"""An estimate is right the second time: by the user's own answers, and by the API's
count where it is asked for.
"""

from __future__ import annotations

import json
import math
import random
from decimal import Decimal

import pytest

from claudebatch.simulator.reading import RequestReader

ROWS = 240
WORDS = (
    "price",
    "order",
    "customer",
    "late",
    "refund",
    "box",
    "Zürich",
    "delivery",
    "again",
    "please",
)


def letters(seed: int) -> list[dict[str, str]]:
    """A file of one kind: texts of different lengths, whose answers are log-normal in
    length.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(ROWS):
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(20, 200)))
        length = max(1, round(rng.lognormvariate(math.log(180), 0.7)))
        rows.append(
            {"id": f"{seed}-{number}", "prompt": f"Answer: {text} [[simulate: tokens {length}]]"}
        )
    return rows


@pytest.fixture
def counts(monkeypatch) -> list[bytes]:
    """The bodies whose tokens the simulated API counted."""
    seen: list[bytes] = []
    count = RequestReader.count

    def counted(desk, request) -> int:
        seen.append(request.body)
        return count(desk, request)

    monkeypatch.setattr(RequestReader, "count", counted)
    return seen


def estimate(world, *arguments: str) -> dict:
    done = world.claudebatch("estimate", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def run(world, *arguments: str) -> dict:
    done = world.claudebatch("run", *arguments, "--json", "--yes")
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def off(expected: str, actual: str) -> Decimal:
    """By how much of the actual dollars an estimate is off."""
    return abs(Decimal(expected) / Decimal(actual) - 1)


@pytest.mark.parametrize("how", ["rehearsal", "real"])
def test_from_the_second_run_of_a_kind_the_expected_dollars_are_within_a_tenth(world, serve, how):
    if how == "real":
        serve()
    more = ("--simulate",) if how == "rehearsal" else ()
    world.configure("simulate: {latency: 'fixed:0'}\n")
    offs = []
    for seed in (1, 2, 3):
        world.write(f"{seed}.jsonl", letters(seed))
        told = estimate(world, f"{seed}.jsonl", *more)
        came = run(world, f"{seed}.jsonl", *more)
        offs.append(off(told["expected_usd"], came["spent_usd"]))
        assert Decimal(came["spent_usd"]) < Decimal(told["worst_usd"])
        assert seed == 1 or Decimal(told["low_usd"]) < Decimal(came["spent_usd"])
        assert came["expected_now_usd"] == told["expected_usd"], (
            "the summary puts the same estimate beside it"
        )
    assert offs[0] > Decimal("0.5"), "the first one can only guess"
    assert max(offs[1:]) < Decimal("0.1")
    assert told["routes"][0]["output_basis"]["sample"] == 2 * ROWS
    assert told["routes"][0]["input_basis"]["method"] == "history"


def test_a_trial_with_the_first_rows_is_what_the_rest_is_estimated_by(world):
    """Whatever other files under the same rule took."""
    world.configure("simulate: {latency: 'fixed:0'}\n")
    world.write("other.jsonl", [{"prompt": f"{n} [[simulate: tokens 900]]"} for n in range(60)])
    world.write("mine.jsonl", [{"prompt": f"{n} [[simulate: tokens 30]]"} for n in range(60)])
    run(world, "other.jsonl", "--simulate")
    assert estimate(world, "mine.jsonl", "--simulate")["routes"][0]["output_tokens"] == 60 * 900
    run(world, "mine.jsonl", "--simulate", "-n", "25")
    told = estimate(world, "mine.jsonl", "--simulate")
    assert (told["finished"], told["routes"][0]["output_tokens"]) == (25, 35 * 30)


def test_rehearsals_teach_nothing_to_real_estimates(world):
    world.configure("simulate: {latency: 'fixed:0'}\n")
    world.write("in.jsonl", letters(1)[:30])
    run(world, "in.jsonl", "--simulate")
    assert (
        estimate(world, "in.jsonl", "--simulate", "--fresh", "--no-cache")["routes"][0][
            "output_basis"
        ]["sample"]
        == 30
    )
    assert estimate(world, "in.jsonl")["routes"][0]["output_basis"] == {"method": "rule"}


def test_a_dry_run_is_an_estimate(world):
    world.write("in.jsonl", letters(1)[:5])
    dry, told = (
        world.claudebatch(*words)
        for words in (("run", "in.jsonl", "--dry-run"), ("estimate", "in.jsonl"))
    )
    assert dry.out == told.out
    assert "Nothing was sent." in told.out


def test_only_count_sends_anything_and_it_is_the_rows_that_are_counted(world, serve, counts):
    api = serve()
    world.write("in.jsonl", letters(1))
    guessed = estimate(world, "in.jsonl")
    assert not counts
    counted = estimate(world, "in.jsonl", "--count", "20")
    assert (api.requests, len(counts), len(set(counts))) == (0, 20, 20)
    exact = estimate(world, "in.jsonl", "--count", str(ROWS))["routes"][0]
    basis = counted["routes"][0]["input_basis"]
    assert (basis["method"], basis["sample"]) == ("counted", 20)
    assert exact["input_basis"]["standard_error"] == 0
    wrong = abs(counted["routes"][0]["input_tokens"] / exact["input_tokens"] - 1)
    assert (
        wrong
        < 4 * basis["standard_error"]
        < abs(guessed["routes"][0]["input_tokens"] / exact["input_tokens"] - 1)
    )
    assert world.ledger() == (0, 0)


def test_a_row_that_cannot_be_counted_is_left_out_of_the_sample(world, serve, counts):
    serve()
    source = {"type": "url", "url": "https://example.com/a.png"}
    image = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    world.write("in.jsonl", [image, {"prompt": "a"}, {"prompt": "b" * 50}])
    basis = estimate(world, "in.jsonl", "--count", "3")["routes"][0]["input_basis"]
    assert (basis["sample"], len(counts)) == (2, 2)


def test_a_count_without_a_key_or_without_an_api_says_so(world):
    world.write("in.jsonl", letters(1)[:5])
    done = world.claudebatch("estimate", "in.jsonl", "--count", "2")
    assert done.code == 4
    world.point_at("http://127.0.0.1:9")
    done = world.claudebatch("estimate", "in.jsonl", "--count", "2")
    assert done.code == 5
    assert "the API did not count the tokens" in done.err
    assert "Traceback" not in done.err
    assert world.claudebatch("run", "in.jsonl", "--count", "2").code == 2


def test_what_other_models_and_batches_would_cost(world, serve):
    serve()
    world.write("in.jsonl", letters(1))
    run(world, "in.jsonl", "-m", "claude-haiku-5-5")
    told = estimate(world, "in.jsonl", "-o", "again.jsonl", "--no-cache", "-m", "claude-haiku-5-5")
    prices = {other["model"]: Decimal(other["expected_usd"]) for other in told["elsewhere"]}
    assert list(prices.values()) == sorted(prices.values()), "the cheapest first"
    assert prices["claude-haiku-5-5"] == Decimal(told["expected_usd"])
    assert Decimal(told["batch_usd"]) == pytest.approx(
        Decimal(told["expected_usd"]) / 2, rel=Decimal("1e-6")
    )
    assert "claude-mythos-preview" not in prices, "retired"
    # The same tokenizer at twenty times the price; the answers are expected to be as
    # long as Haiku's were.
    assert prices["claude-sonnet-5-5"] == pytest.approx(
        20 * prices["claude-haiku-5-5"], rel=Decimal("0.001")
    )
    # A tokenizer with fewer tokens for the same text, at ten times the price.
    assert 7 < prices["claude-haiku-4-5"] / prices["claude-haiku-5-5"] < 8
    actual = run(world, "in.jsonl", "-o", "sonnet.jsonl", "-m", "claude-sonnet-5-5")
    assert off(str(prices["claude-sonnet-5-5"]), actual["spent_usd"]) < Decimal("0.1")


def test_another_model_would_have_to_answer_what_the_cache_answers_as_it_is(world, serve):
    serve()
    everything = letters(1)
    world.write("some.jsonl", everything[: len(everything) // 2])
    run(world, "some.jsonl", "-m", "claude-haiku-5-5")
    world.write("in.jsonl", everything)
    haiku = ("-m", "claude-haiku-5-5")
    half, whole = (estimate(world, "in.jsonl", *haiku, *more) for more in ((), ("--no-cache",)))
    half_at, whole_at = (
        {other["model"]: other["expected_usd"] for other in told["elsewhere"]}
        for told in (half, whole)
    )
    assert half_at.pop("claude-haiku-5-5") == half["expected_usd"]
    assert whole_at.pop("claude-haiku-5-5") == whole["expected_usd"] != half["expected_usd"]
    assert [off(half_at[model], whole_at[model]) < Decimal("0.001") for model in whole_at] == [
        True
    ] * len(whole_at)
    done = world.claudebatch("estimate", "in.jsonl", *haiku)
    assert "all rows on" in done.out
    assert "another model is asked for answers of its own" in done.out


def test_a_ledger_that_cannot_be_read_leaves_the_rules_of_thumb(world):
    world.write("in.jsonl", letters(1)[:5])
    state = world.home / "state"
    state.mkdir()
    (state / "spend.sqlite").write_bytes(b"no database at all" * 100)
    assert estimate(world, "in.jsonl")["routes"][0]["output_basis"] == {"method": "rule"}


def test_models_without_a_price_and_those_about_to_be_retired_are_told_beside_the_estimate(world):
    world.write("in.jsonl", letters(1)[:5])
    world.configure('models: {claude-opus-4-8: {retires_at: "2099-01-01"}}\n')
    done = world.claudebatch("estimate", "in.jsonl", "-m", "claude-opus-4-8", "--json")
    assert "claude-opus-4-8 will be retired on 2099-01-01" in done.err
    assert json.loads(done.out)["rows"] == 5
    new = ("-m", "claude-nobody-1", "--allow-unknown-model")
    done = world.claudebatch("estimate", "in.jsonl", *new)
    assert "no price is known for claude-nobody-1" in done.err
    assert "unknown" in done.out


def test_no_plan_is_made_for_a_moment_that_has_passed(world):
    world.write("in.jsonl", letters(1)[:5])
    done = world.claudebatch("estimate", "in.jsonl", "--deadline", "2026-01-01T00:00Z")
    assert (done.code, "E846" in done.err) == (2, True), done.err
