"""The cap against an API at which every request costs the most that it can."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from claudebatch.core.domain import from_usd
from tests.e2e.world import prompts

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--no-cache")


def billed(api) -> int:
    return int(api.stats()["billed_pico"])


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"system": "Zwölf Boxkämpfer: ½ ㍿ \ufdfa"},
        {"inference_geo": "us"},
        {"max_tokens": 20_000},
        {
            "system": [
                {
                    "type": "text",
                    "text": "y" * 5000,
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
            ]
        },
    ],
    ids=["plain", "unicode", "geo", "streamed", "cached"],
)
def test_the_hold_is_what_such_a_request_costs(world, serve, extra):
    api = serve(adversarial=True)
    world.write(
        "in.jsonl",
        [
            {
                "id": 1,
                "max_tokens": 50,
                "messages": [{"role": "user", "content": "x" * 999}],
                **extra,
            }
        ],
    )
    done = world.claudebatch(*RUN, "--budget", "5")
    assert done.code == 0, done.err
    api.bodies.clear()  # the streamed one is no `create` of the SDK's
    ((worst, cost),) = world.query("SELECT worst, cost FROM attempts")
    assert cost == billed(api) <= worst
    if "system" not in extra or isinstance(extra["system"], list):
        assert cost == worst, "to the last digit"


@pytest.mark.parametrize("seed", range(3))
def test_the_cap_is_never_passed_and_used_up_but_for_less_than_one_hold(world, serve, seed):
    rng = random.Random(seed)
    api = serve(
        adversarial=True,
        latency="uniform:0.001,0.02",
        faults={"529": 0.05, "cut": 0.05, "reset": 0.03},
    )
    rows = [
        {
            "id": n,
            "prompt": "x" * rng.randint(1, 4000) + str(n),
            "max_tokens": rng.choice([50, 300, 2000]),
            "model": rng.choice([HAIKU, SONNET]),
        }
        for n in range(60)
    ]
    world.write("in.jsonl", rows)
    cap = from_usd(Decimal("0.15"))
    done = world.claudebatch(*RUN, "--budget", "0.15")
    assert done.code == 3, done.err
    ((spent, largest),) = world.query(
        "SELECT sum(CASE WHEN state IN (0, 3) THEN worst ELSE cost END), max(worst) FROM attempts"
    )
    assert billed(api) <= spent <= cap
    assert cap - spent < largest


def test_near_the_cap_requests_are_counted_so_that_more_of_them_fit(world, serve):
    # The bound of long English text is two and a half times what it has; output is next
    # to nothing.
    api = serve()
    world.write("in.jsonl", prompts(40, model=HAIKU, max_tokens=10, prompt="word " * 4000))
    cap = from_usd(Decimal("0.03"))
    done = world.claudebatch(*RUN, "--budget", "0.03")
    assert done.code == 3, done.err
    assert "asking the API for exact token counts first" in done.err
    ((worst, least),) = world.query("SELECT max(worst), min(worst) FROM attempts")
    assert least < worst / 2, "the last holds were smaller"
    assert cap - worst < cap - least < billed(api) <= cap
    assert 3 <= api.stats()["other_requests"] < 40, (
        "not every row that is left is counted only to be refused"
    )


def test_what_cannot_be_counted_keeps_its_bound(world, serve):
    api = serve()
    document = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    content = [document, {"type": "text", "text": "?"}]
    world.write(
        "in.jsonl",
        [{"id": 1, "max_tokens": 10, "messages": [{"role": "user", "content": content}]}],
    )
    assert world.claudebatch(*RUN, "--budget", "0.50").code == 3
    assert (api.requests, api.stats()["other_requests"]) == (0, 0)


def test_expected_costs_say_by_how_much_the_cap_may_be_passed_before_and_after(world, serve):
    api = serve(adversarial=True)
    world.configure("budget: {run: 0.10, mode: expected, overshoot: 20%}\n")
    world.write("in.jsonl", prompts(60, model=SONNET, max_tokens=500))
    done = world.claudebatch(*RUN)
    assert done.code == 3, done.err
    assert "the cap may be passed by up to $0.02" in done.err
    assert "of $0.10, which $0.02 may pass" in done.err
    assert billed(api) <= from_usd(Decimal("0.12"))
    assert world.claudebatch(*RUN, "--json").lines[-1]["overshoot_usd"] == "0.02"
