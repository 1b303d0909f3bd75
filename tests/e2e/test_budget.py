"""The cap is never passed, whatever is in flight; what is left can be done later."""

from __future__ import annotations

import json
import random
import re
import shlex
from decimal import Decimal

import pytest

from claudebatch.core.domain import from_usd
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
HAIKU = "claude-haiku-5-5"


def money(world, api, cap):
    """(billed, settled, unknown), with every promise about them checked."""
    billed, settled = api.stats()["billed_pico"], world.settled()
    unknown = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state IN (0, 3)")[0][
        0
    ]
    assert settled <= billed <= settled + unknown <= from_usd(Decimal(cap))
    return billed, settled, unknown


def next_command(done):
    (line,) = [line for line in done.err.splitlines() if line.startswith("next ")]
    return shlex.split(line.removeprefix("next "))[1:]


def test_a_cap_that_is_reached_ends_with_3_and_the_command_that_goes_on(world, serve):
    api = serve(use_all_max_tokens=True)
    world.write("in.jsonl", prompts(40, max_tokens=1000))
    done = world.claudebatch(*RUN, "--budget", "0.10")
    assert done.code == 3
    billed, settled, unknown = money(world, api, "0.10")
    assert (settled, unknown) == (billed, 0)
    answered = len(world.results())
    assert 5 <= answered < 40
    told = f"{answered} of 40 answered: 0 complete · {answered} cut off · {40 - answered} pending"
    assert told in done.err
    assert "stopped   the cap is reached" in done.err
    assert "of $0.10" in done.err

    again = world.claudebatch(*RUN, "--budget", "0.10")
    assert again.code == 3
    assert api.stats()["billed_pico"] <= from_usd(Decimal("0.10")), "earlier sessions count"

    command = next_command(done)
    assert command == [*RUN, "--budget", "0.20"]
    while (done := world.claudebatch(*command)).code == 3:
        money(world, api, command[-1])
        command = next_command(done)
    assert done.code == 0
    assert len(world.results()) == 40
    assert api.requests == 40, "nothing was asked twice on the way"
    assert world.settled() == api.stats()["billed_pico"] == world.ledger()[0]


@pytest.mark.parametrize("seed", range(6))
def test_the_cap_holds_whatever_the_prompts_the_faults_and_the_order(world, serve, seed):
    rng = random.Random(seed)
    api = serve(
        use_all_max_tokens=True,
        faults={"529": 0.05, "reset": 0.05, "cut": 0.05, "empty": 0.03},
        latency="uniform:0.001,0.02",
    )
    rows = [
        {
            "id": n,
            "prompt": "x" * rng.randint(1, 4000) + str(n),
            "max_tokens": rng.choice([50, 300, 2000]),
            "model": rng.choice([HAIKU, "claude-sonnet-5-5", "claude-opus-5-5"]),
        }
        for n in range(60)
    ]
    world.write("in.jsonl", rows)
    cap = rng.choice(["0.02", "0.08", "0.30"])
    done = world.claudebatch(*RUN, "--budget", cap)
    assert done.code in (0, 3), done.err
    money(world, api, cap)
    assert world.ledger()[0] == world.settled()


def test_a_row_that_can_never_fit_does_not_keep_smaller_ones_from_being_done(world, api):
    rows = [{"id": "huge", "prompt": "x", "max_tokens": 100_000}, *prompts(5, max_tokens=100)]
    world.write("in.jsonl", rows)
    done = world.claudebatch(*RUN, "--budget", "0.05")
    assert done.code == 3
    assert sorted(world.results()) == [f"row-{n}" for n in range(5)]
    assert "the cheapest row left may cost $1." in done.err


def test_cached_answers_need_no_money(world, api):
    world.write("in.jsonl", prompts(10, max_tokens=1000))
    world.claudebatch(*RUN)
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--budget", "0.000001")
    assert (done.code, api.requests) == (0, 10)


def test_an_answer_that_was_lost_counts_at_its_worst_case(world, serve):
    api = serve(script=("cut", "cut"), use_all_max_tokens=True)
    world.write("in.jsonl", prompts(1, max_tokens=1000))
    done = world.claudebatch(*RUN)
    assert done.code == 0
    billed, settled, unknown = money(world, api, "1")
    assert billed == 3 * settled, "the simulator billed three answers and delivered one"
    assert unknown >= 2 * settled
    assert "the cost of 2 requests is not known" in done.err
    assert world.ledger() == (settled, unknown)


def test_a_model_without_a_price_is_refused_under_a_cap_before_anything_is_sent(world, api):
    world.write(
        "in.jsonl", [*prompts(2), {"id": "x", "prompt": "y", "model": "claude-unheard-of-9"}]
    )
    done = world.claudebatch(*RUN, "--budget", "5", "--allow-unknown-model")
    assert (done.code, api.requests) == (2, 0)
    assert "no price is known for claude-unheard-of-9, and the run has a cap" in done.err
    assert "add prices.claude-unheard-of-9 to the configuration" in done.err


def test_a_fallback_without_a_price_is_refused_under_a_cap_too(world, api):
    world.configure(f"fallbacks: {{{HAIKU}: [claude-unheard-of-9]}}\n")
    world.write("in.jsonl", prompts(2, model=HAIKU))
    done = world.claudebatch(*RUN, "--budget", "5", "--allow-unknown-model")
    assert (done.code, api.requests) == (2, 0)
    assert "no price is known for claude-unheard-of-9, and the run has a cap" in done.err


def test_a_price_from_the_configuration_is_as_good_as_any(world, api):
    world.configure(f"prices: {{{HAIKU}: {{input: 1000, output: 1000}}}}\n")
    world.write("in.jsonl", prompts(3, model=HAIKU, max_tokens=10_000))
    assert world.claudebatch(*RUN, "--budget", "1").code == 3
    assert api.requests == 0


class TestBeforeAnExpensiveRun:
    """Nobody is asked where nobody is; and a no is a no the second time, too."""

    ROWS = prompts(300, model="claude-fable-5-2", max_tokens=8000)

    def test_it_is_not_started_without_yes_or_a_cap(self, world, api):
        world.write("in.jsonl", self.ROWS)
        for _ in range(2):
            done = world.claudebatch(*RUN)
            assert (done.code, api.requests) == (2, 0)
            assert "above confirm_above ($5.00)" in done.err
            assert "add --yes, or a cap: --budget " in done.err

    def test_the_fix_it_offers_works(self, world, api):
        world.write("in.jsonl", self.ROWS)
        done = world.claudebatch(*RUN)
        cap = done.err.split("--budget ")[1].split()[0]
        assert world.claudebatch(*RUN, "--budget", cap, "-n", "3").code == 0
        assert world.claudebatch(*RUN, "--yes", "-n", "5").code == 0
        assert api.requests == 5

    def test_who_agreed_to_the_half_price_is_asked_about_the_whole(self, world, api):
        world.write("in.jsonl", self.ROWS)
        world.path("low.yaml").write_text("confirm_above: 0.01\n")
        asked = [
            world.claudebatch(*RUN, "-c", "low.yaml", *more).err for more in ((), ("--batch",))
        ]
        dollars = [float(line.split("about $")[1].split(",")[0]) for line in asked]
        assert dollars[0] == pytest.approx(2 * dollars[1], rel=0.01)
        world.configure(f"confirm_above: {dollars[1] * 1.2:.2f}\n")
        # Below by batch, above at once: whatever the session before was asked.
        assert world.claudebatch(*RUN, "--batch", "--detach").code == 0
        done = world.claudebatch(*RUN)
        assert done.code == 2
        assert "above confirm_above" in done.err

    def test_rehearsals_and_cheap_runs_are_not_asked_about(self, world, api):
        world.configure("simulate: {latency: 'fixed:0'}\n")
        world.write("in.jsonl", self.ROWS)
        assert world.claudebatch(*RUN, "-n", "5").code == 0
        assert world.claudebatch("run", "in.jsonl", "-o", "rehearsal.jsonl", "--simulate").code == 0
        world.configure("confirm_above: 1000\n")
        assert world.claudebatch(*RUN).code == 0


def test_the_stop_says_what_is_left_at_the_end_and_what_the_rows_left_may_cost(world, api):
    sizes = {"small": 100, "large": 3000, "middle": 2000}
    world.write(
        "in.jsonl",
        [{"id": name, "prompt": "hello", "max_tokens": most} for name, most in sizes.items()],
    )
    done = world.claudebatch(*RUN, "--budget", "0.01", "--json")
    assert done.code == 3
    (end,) = (json.loads(line) for line in done.out.splitlines() if '"event":"done"' in line)
    left = Decimal("0.01") - Decimal(end["spent_usd"]) - Decimal(end["unknown_usd"])
    told = end["stop_reason"]
    assert f"${left.normalize():f} of the cap is left" in told, told
    cheapest, dearest = re.search(r"cost \$([\d.]+), the most expensive \$([\d.]+)", told).groups()
    assert left < Decimal(cheapest) < Decimal(dearest)


def test_at_the_cap_a_smaller_max_tokens_is_proposed_where_it_lets_more_rows_fit(world, api):
    world.write("in.jsonl", prompts(200))
    done = world.claudebatch(*RUN, "--budget", "0.30")
    assert done.code == 3
    before = len(world.results())
    proposed, more = re.search(
        r"--max-tokens (\d+) would let about (\d+) more rows fit", " ".join(done.err.split())
    ).groups()
    assert int(proposed) < 8192
    # It holds what it promises.
    assert world.claudebatch(*RUN, "--budget", "0.30", "--max-tokens", proposed).code in (0, 3)
    assert len(world.results()) - before >= 0.8 * int(more) > 0
    assert {line["ending"] for line in world.results().values()} == {"complete"}


def test_where_rows_bring_their_own_max_tokens_none_is_proposed(world, api):
    world.write("in.jsonl", prompts(100, max_tokens=8192 - 1))
    done = world.claudebatch(*RUN, "--budget", "0.30")
    assert done.code == 3
    assert len(world.results()) > 5
    assert "more rows fit" not in done.err
