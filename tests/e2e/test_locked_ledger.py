"""A start that finds the spend ledger locked says so and waits no longer than it says;
it can be called off at once.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
WORDS = "waiting for the spend ledger, which another program has locked"
WAITS = f"note[N002]: {WORDS}"
HOLDER = """
import sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None)
ledger.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locked(processes: World, api: object) -> Iterator[Callable[[], None]]:
    """The ledger of a run that has ended is held by another process; called, it lets
    go.
    """
    processes.write("in.jsonl", prompts(3))
    assert processes.claudebatch(*RUN, "-n", "1").code == 0
    command = [sys.executable, "-c", HOLDER, str(processes.home / "state" / "spend.sqlite")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield holder.stdin.close
        holder.kill()


@pytest.mark.parametrize("more", [(), ("--fresh",)], ids=["resumed", "fresh"])
def test_a_run_says_that_it_waits_and_goes_on_once_the_ledger_is_free(processes, api, locked, more):
    process = processes.launch(*RUN, *more)
    processes.until(lambda: WAITS in process.err, what="the word")
    assert api.requests == 1, "nothing is sent meanwhile"
    locked()
    done = process.wait()
    assert (done.code, done.err.count(WAITS)) == (0, 1)
    assert len(processes.results()) == 3


def test_a_run_that_waits_for_the_ledger_can_be_called_off(processes, api, locked):
    process = processes.launch(*RUN)
    processes.until(lambda: WAITS in process.err, what="the word")
    process.send(signal.SIGINT)
    assert process.wait().code == 130
    assert api.requests == 1
    locked()
    assert processes.claudebatch(*RUN).code == 0


@pytest.mark.parametrize(
    "command", [("spend",), ("runs", "list"), ("runs", "settle", "--all")], ids=" ".join
)
def test_a_report_says_that_it_waits_as_well(processes, locked, command):
    process = processes.launch(*command)
    # A report has no notes: it says what it waits for, and nothing else.
    processes.until(lambda: process.err.startswith(WORDS), what="the word")
    locked()
    done = process.wait()
    assert (done.code, done.err.count("\n")) == (0, 1)


def test_an_estimate_does_without_what_earlier_runs_have_learned(processes, locked):
    done = processes.claudebatch("estimate", "in.jsonl", "--json")
    found = "note[N001]: settings of claudebatch.yaml in this folder: limits, retry\n"
    assert (done.code, done.err) == (0, found)
    assert done.lines[0]["routes"][0]["output_basis"] == {"method": "rule"}


@pytest.fixture(autouse=True)
def nothing_stays_locked(world: World) -> Iterator[None]:
    yield
    with sqlite3.connect(world.home / "state" / "spend.sqlite", timeout=5) as ledger:
        ledger.execute("BEGIN EXCLUSIVE")
