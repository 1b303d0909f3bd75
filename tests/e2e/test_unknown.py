"""`--unknown`: rows that may have been billed without an answer are asked again, left
out, or asked about.
"""

from __future__ import annotations

import signal

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-j", "2")


@pytest.fixture
def died(processes, serve):
    """A world with a run of five rows that died while two of them were being answered,
    and an API that is quick.
    """
    world = processes
    slow = serve(latency="fixed:60")
    world.write("in.jsonl", prompts(5))
    process = world.launch(*RUN, "-q")
    world.until(lambda: slow.requests == 2)
    process.send(signal.SIGKILL)
    process.wait()
    return world


def test_by_default_they_are_asked_again(died, serve):
    api = serve()
    done = died.claudebatch(*RUN, "-q")
    assert (done.code, api.requests) == (0, 5)


def test_they_can_be_left_out_and_asked_for_later(died, serve):
    api = serve()
    done = died.claudebatch(*RUN, "--unknown", "skip")
    assert (done.code, api.requests) == (1, 3), done.err
    assert "2 requests were in flight when this run was killed and may have been billed" in done.err
    assert "$0.18" in done.err
    assert "2 rows that may have been billed without an answer are not asked again" in done.err
    assert "claudebatch run in.jsonl -o out.jsonl -j 2\n" in done.err
    assert died.claudebatch(*RUN, "--unknown=skip", "-q").code == 1
    assert died.claudebatch(*RUN, "-q").code == 0
    assert api.requests == 5
    assert len(died.results()) == 5


@pytest.mark.parametrize(("reply", "code", "requests"), [(b"y\n", 0, 5), (b"n\n", 1, 3)])
def test_on_a_terminal_the_user_is_asked(died, serve, reply, code, requests):
    api = serve()
    done = died.claudebatch(*RUN, "--unknown", "ask", "-q", stdin=reply, terminal=True)
    assert (done.code, api.requests) == (code, requests), done.err
    assert "2 rows may have been billed without an answer, $0.18" in done.err


def test_without_a_terminal_nothing_is_sent_until_it_is_said(died, serve):
    api = serve()
    done = died.claudebatch(*RUN, "--unknown", "ask", "-q")
    assert (done.code, api.requests) == (2, 0)
    assert "--unknown retry or --unknown skip" in done.err


def test_where_nothing_is_unknown_nobody_is_asked(world, api):
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN, "--unknown", "ask", "-q").code == 0


def test_what_the_cache_holds_is_left_out_as_well_and_comes_later_for_nothing(died, serve):
    api = serve()
    assert died.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "-q").code == 0
    done = died.claudebatch(*RUN, "--unknown", "skip", "-q")
    assert (done.code, api.requests) == (1, 5), done.err
    assert died.claudebatch(*RUN, "-q").code == 0
    assert api.requests == 5


def test_a_row_with_the_same_request_is_left_out_as_well(processes, serve):
    world = processes
    slow = serve(latency="fixed:60")
    rows = prompts(3)
    world.write("in.jsonl", [*rows, rows[0] | {"id": "twin"}])
    process = world.launch(*RUN, "-q")
    world.until(lambda: slow.requests == 2)
    process.send(signal.SIGKILL)
    process.wait()
    api = serve()
    assert world.claudebatch(*RUN, "--unknown", "skip", "-q").code == 1
    assert api.requests == 1
    assert world.claudebatch(*RUN, "-q").code == 0
    assert (api.requests, len(world.results())) == (3, 4)
