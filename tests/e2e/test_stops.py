"""When no row can succeed: the account is refused, or the API is gone. The run stops
early, and can go on later.
"""

from __future__ import annotations

import socket

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


@pytest.mark.parametrize(
    ("fault", "words", "page"),
    [
        ("401", "401 invalid API key", "/keys"),
        ("402", "402 Your account has a problem with its billing", "/billing"),
        ("403", "403 Your API key does not have permission", "/keys"),
        (
            "spend_limit",
            "429 You have reached your organization's enforced monthly spend limit",
            "/limits",
        ),
        ("credit", "400 Your credit balance is too low", "/billing"),
        ("spend_400", "400 You have reached your specified API usage limits", "/billing"),
    ],
)
def test_a_refused_account_ends_with_4_after_what_was_in_flight_and_no_row_has_failed(
    world, serve, fault, words, page
):
    api = serve(faults={fault: 1.0})
    world.write("in.jsonl", prompts(50))
    done = world.claudebatch(*RUN, "-j", "4")
    assert done.code == 4
    assert api.requests <= 4
    assert words in done.err
    assert f"platform.claude.com/settings{page}" in done.err
    assert "0 of 50 done: 0 ok · 50 pending" in done.err
    assert world.path("out.jsonl").read_bytes() == b""

    seen = api.requests
    api.set_faults({})
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == seen + 50


def test_what_was_answered_before_the_refusal_is_kept(world, serve):
    api = serve(script=("ok",) * 10 + ("402",) * 40)
    world.write("in.jsonl", prompts(30))
    assert world.claudebatch(*RUN, "-j", "4").code == 4
    assert len(world.results()) == 10
    api.set_faults({})
    assert world.claudebatch(*RUN).code == 0
    assert api.stats()["by_status"]["200"] == 30


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_is_even_read(world, api, key):
    del world.environment["ANTHROPIC_API_KEY"]
    if key is not None:
        world.environment["ANTHROPIC_API_KEY"] = key
    world.write("in.jsonl", ["not looked at"])
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (4, 0)
    assert "no API key: ANTHROPIC_API_KEY is not set" in done.err
    assert "--simulate" in done.err
    assert not world.path("out.jsonl.claudebatch").exists()


OUTAGE = "breaker: {minimum_calls: 4, wait_open_s: 0.1, window_s: 5}\n"


def test_an_outage_ends_with_5_and_few_requests_and_goes_on_when_it_is_over(world, serve):
    world.configure(OUTAGE)
    api = serve(faults={"529": 1.0})
    world.write("in.jsonl", prompts(100))
    done = world.claudebatch(*RUN, "-j", "8", "--max-outage", "0.4s")
    assert done.code == 5, done.err
    assert "no answer from sonnet-5.5 for " in done.err
    assert "wait until the API is back, then run the same command" in done.err
    assert "0 of 100 done: 0 ok · 100 pending" in done.err
    assert "does not answer: paused" in done.err
    # 8 at once before the breaker opens, some of them twice, then at most three probes
    # every 0.1 s.
    assert api.requests <= 16 + 3 * 12
    assert world.settled() == 0

    api.set_faults({})
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 100
    assert api.stats()["by_status"]["200"] == 100


def test_nobody_who_listens_ends_with_2_after_two_requests_and_goes_on_when_somebody_does(
    world, serve
):
    """Nothing was ever answered there, so it is no outage that passes."""
    world.configure(OUTAGE)
    api = serve()
    url = world.environment["ANTHROPIC_BASE_URL"]
    world.write("in.jsonl", prompts(100))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    world.environment["ANTHROPIC_BASE_URL"] = f"http://{address}"
    done = world.claudebatch(*RUN, "-j", "8", "--max-outage", "0.4s")
    assert done.code == 2, done.err
    assert f"nothing listens on {address}" in done.err
    assert "0 of 100 done: 0 ok · 100 pending" in done.err
    assert world.settled() == 0

    world.environment["ANTHROPIC_BASE_URL"] = url
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 100
    assert api.stats()["by_status"]["200"] == 100


def test_an_outage_that_ends_in_time_costs_no_row(world, serve):
    world.configure("breaker: {minimum_calls: 4, wait_open_s: 0.05, window_s: 5}\n")
    api = serve(script=("529",) * 8)
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch(*RUN, "-j", "8", "--max-outage", "20s")
    assert done.code == 0, done.err
    assert "answers again" in done.err
    assert api.stats()["by_status"]["200"] == 40


def test_an_outage_of_one_model_is_anothers_work(world, serve):
    world.configure(OUTAGE + "fallbacks: {claude-opus-5-5: [claude-sonnet-5-5]}\n")
    api = serve()
    rows = prompts(12, model="claude-opus-5-5")
    world.write("in.jsonl", [{**row, "prompt": row["prompt"]} for row in rows])
    api.set_faults({}, ("529",) * 6)
    assert world.claudebatch(*RUN, "-j", "2", "--max-outage", "20s").code == 0
    results = world.results()
    assert {line["requested_model"] for line in results.values()} == {"claude-opus-5-5"}
    stood_in = [line for line in results.values() if line["model"] == "claude-sonnet-5-5"]
    assert stood_in
    assert {line["fallback_reason"] for line in stood_in} <= {"overloaded_error", "circuit_open"}


def test_a_model_that_is_gone_fails_its_rows_or_falls_back(world, api):
    world.configure("fallbacks: {claude-sonnet-9: [claude-haiku-5-5]}\n")
    world.write(
        "in.jsonl",
        [
            {"id": "a", "prompt": "x", "model": "claude-opus-9"},
            {"id": "b", "prompt": "y", "model": "claude-sonnet-9"},
        ],
    )
    done = world.claudebatch(*RUN, "--allow-unknown-model")
    assert done.code == 1
    results = world.results()
    assert (results["a"]["status"], results["a"]["error"]["type"]) == ("failed", "not_found_error")
    assert (results["b"]["model"], results["b"]["fallback_reason"]) == (
        "claude-haiku-5-5",
        "not_found_error",
    )


@pytest.mark.parametrize("fault", ["html", "empty", "cut"])
def test_garbage_with_a_200_is_tried_again_and_never_a_result(world, serve, fault):
    api = serve(script=(fault,) * 3)
    world.write("in.jsonl", prompts(6))
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 9
    assert {line["status"] for line in world.results().values()} == {"succeeded"}


def test_answers_that_never_end_are_cut_off_at_the_deadline_and_asked_again(world, serve):
    world.configure("attempt_deadline: 0.4s\n")
    api = serve(script=("hang", "drip"), drip_s=0.05)
    world.write("in.jsonl", prompts(4, max_tokens=10))
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    assert api.requests == 6
    assert "the cost of 2 requests is not known" in done.err
