"""What a script can accept: failed rows, some or all of them, and what it need not
accept: an empty input.
"""

from __future__ import annotations

import json
import signal

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
BAD = {"prompt": "[[simulate: error 400]]"}


def rows(good, bad):
    return [
        *prompts(good),
        *({"id": f"bad-{n}", "prompt": BAD["prompt"] + str(n)} for n in range(bad)),
    ]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), 1),
        (("--max-failures", "0"), 1),
        (("--max-failures", "1"), 1),
        (("--max-failures", "2"), 0),
        (("--max-failures", "3"), 0),
        (("--exit-zero",), 0),
        (("--exit-zero", "--max-failures", "1"), 0),
    ],
    ids=str,
)
def test_a_finished_run_ends_with_0_where_no_more_rows_failed_than_are_accepted(
    world, api, more, code
):
    world.write("in.jsonl", rows(3, 2))
    done = world.claudebatch(*RUN, "--json", *more)
    end = done.lines[-1]
    assert (done.code, end["exit_code"], end["failures_accepted"]) == (code, code, code == 0)
    assert (end["succeeded"], end["failed"], end["failures"]) == (
        3,
        2,
        {"invalid_request_error": 2},
    )
    assert end["next_command"].startswith("jq -c"), "the same requests would fail again"
    again = world.claudebatch(*RUN, *more)
    assert (again.code, api.requests) == (code, 5), "also when an earlier session has done it all"
    assert f"3 ok · 2 failed{' (accepted)' if code == 0 else ''}\n" in again.err


@pytest.mark.parametrize("more", [(), ("--exit-zero",)], ids=" ".join)
def test_where_no_row_failed_there_is_nothing_to_accept(world, api, more):
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*RUN, "--json", *more)
    assert (done.code, done.lines[-1]["failures_accepted"]) == (0, False)
    assert done.lines[-1]["next_command"] == "jq -r .text out.jsonl"


ACCEPTING = ("--exit-zero", "--max-failures", "100")


@pytest.mark.parametrize(
    ("faults", "more", "code"),
    [
        ({}, ("--budget", "0.0000001"), 3),
        ({"401": 1.0}, (), 4),
        ({"529": 1.0}, ("--max-outage", "0.3s"), 5),
    ],
    ids=["budget", "account", "outage"],
)
def test_a_run_that_stopped_early_keeps_its_code(world, serve, faults, more, code):
    world.configure("breaker: {minimum_calls: 4, wait_open_s: 0.1, window_s: 5}\n")
    serve(faults=faults)
    world.write("in.jsonl", prompts(8))
    assert world.claudebatch(*RUN, *more, *ACCEPTING).code == code


def test_results_that_nobody_reads_are_still_exit_6(processes, api):
    processes.write("in.jsonl", prompts(3))
    with open("/dev/full", "wb") as full:
        process = processes.launch("run", "in.jsonl", "-o", "-", *ACCEPTING, stdout=full.fileno())
        assert process.wait().code == 6


def test_a_signal_keeps_its_code(processes, serve):
    api = serve(latency="fixed:0.2")
    processes.write("in.jsonl", prompts(50))
    process = processes.launch(*RUN, "-j", "2", *ACCEPTING)
    processes.until(lambda: api.requests >= 2)
    process.send(signal.SIGTERM)
    assert process.wait().code == 143


def test_rows_that_are_left_to_be_done_are_no_failed_rows(processes, serve):
    api = serve(latency="fixed:0.02")
    path = processes.write("in.jsonl", rows(700, 1))
    process = processes.launch(*RUN, "-j", "8", "--yes", *ACCEPTING)
    processes.until(lambda: api.requests >= 1)
    path.write_bytes(
        path.read_bytes().replace(b'"prompt": "row-699"', b'"prompt": "row-XXX"')
    )  # not read ahead yet
    done = process.wait()
    assert "700 of 701 done" in done.err
    assert "warning[W039]: 1 line of the input changed during the run and was not" in done.err
    assert done.code == 1


EMPTY = {"no bytes": "", "blank lines": "\n\n \n"}


@pytest.mark.parametrize("text", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize(
    "command", [RUN, (*RUN, "--dry-run"), ("estimate", "in.jsonl")], ids=" ".join
)
def test_an_empty_input_is_fine_unless_it_is_called_an_error(world, api, command, text):
    world.path("in.jsonl").write_text(text)
    assert world.claudebatch(*command).code == 0
    done = world.claudebatch(*command, "--fail-on-empty")
    assert (done.code, api.requests) == (2, 0)
    assert "in.jsonl: no row to send, and --fail-on-empty is given" in done.err


def test_an_input_of_which_every_line_is_left_out_is_empty_as_well(world, api):
    world.path("in.jsonl").write_text("{}\n")
    skip = ("--on-bad-row", "skip")
    assert world.claudebatch(*RUN, *skip).code == 1
    assert world.claudebatch(*RUN, *skip, "--fail-on-empty").code == 2
    for accepting in (("--exit-zero",), ("--max-failures", "1")):
        assert world.claudebatch(*RUN, *skip, *accepting).code == 0


def test_nothing_piped_in_is_an_empty_input(world, api):
    assert world.claudebatch("run", "-").code == 0
    assert world.claudebatch("run", "-", "--fail-on-empty").code == 2


def test_an_input_that_was_emptied_by_mistake_costs_nothing_that_was_answered(world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    before = world.path("out.jsonl").read_bytes()
    for more in ((), ("--fresh",)):
        world.path("in.jsonl").write_text("")
        assert world.claudebatch(*RUN, "--fail-on-empty", *more).code == 2
        assert world.claudebatch("runs", "rebuild", "out.jsonl").code == 0
        assert world.path("out.jsonl").read_bytes() == before
        world.write("in.jsonl", prompts(3))
        assert world.claudebatch(*RUN, "--fail-on-empty").code == 0
        assert (world.path("out.jsonl").read_bytes(), api.requests) == (before, 3)
    assert json.loads(before.splitlines()[0])["status"] == "succeeded"
