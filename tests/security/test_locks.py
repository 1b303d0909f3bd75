"""One run per output: whoever comes second is told who was first, and no lock is stolen
or left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
STARTS = int(os.environ.get("CLAUDEBATCH_TEST_STARTS", "24"))
"""A hundred take a minute of a small machine: CLAUDEBATCH_TEST_STARTS=100 does them
all.
"""
HANG = ("hang",) * 400


@pytest.fixture
def holder(processes, serve):
    """A world in which a run holds out.jsonl, with its requests in flight."""
    world = processes
    world.api = serve(script=HANG)
    world.write("in.jsonl", prompts(3))
    world.first = world.launch(*RUN)
    world.until(lambda: world.api.requests == 3)
    return world


def opened(pid):
    """The files that *pid* has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    return found


def refused(world, *command):
    """How the second run ended, and how long it took."""
    process = world.launch(*(command or RUN))
    begun = time.monotonic()
    done = process.wait()
    return done, time.monotonic() - begun


def test_the_second_run_ends_with_7_and_says_who_holds_the_output(holder):
    done, _ = refused(holder)
    assert done.code == 7
    assert f"process {holder.first.pid} on {socket.gethostname()}, started 20" in done.err
    assert "wait for it or stop it" in done.err
    assert holder.first.running
    assert holder.api.requests == 3


@pytest.mark.parametrize(
    "more", [("--fresh",), ("--retry-failed",), ("--simulate",), ("--ordered",), ("--no-cache",)]
)
def test_nothing_that_the_second_run_asks_for_opens_the_lock(holder, more):
    assert refused(holder, *RUN, *more)[0].code == 7
    assert holder.first.running


@pytest.mark.parametrize("what", ["removed", "replaced", "emptied folder"])
def test_a_lock_file_that_is_taken_away_from_under_a_live_run_lets_nobody_in(holder, what):
    folder = holder.path("out.jsonl.claudebatch")
    (folder / "lock").unlink()
    if what == "replaced":
        (folder / "lock").write_bytes(b"")
    if what == "emptied folder":
        for entry in folder.iterdir():
            entry.unlink()
    assert refused(holder)[0].code == 7
    assert refused(holder, *RUN, "--fresh")[0].code == 7
    assert holder.first.running


def test_a_folder_that_is_moved_away_from_a_live_run_lets_nobody_write_into_its_results(holder):
    folder = holder.path("out.jsonl.claudebatch")
    folder.rename(holder.path("moved"))
    done, _ = refused(holder)
    assert done.code == 7, done.err
    assert "out.jsonl" in done.err
    assert holder.first.running


def test_two_names_of_one_results_file_are_one_output(holder):
    holder.path("sub").mkdir()
    os.link(holder.path("out.jsonl"), holder.path("sub/other.jsonl"))
    assert refused(holder, "run", "in.jsonl", "-o", "sub/other.jsonl")[0].code == 7
    holder.path("link").symlink_to(holder.work)
    assert refused(holder, "run", "in.jsonl", "-o", "link/out.jsonl")[0].code == 7
    assert holder.first.running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_death_frees_the_lock_without_a_hand(holder, number):
    holder.first.send(number)
    if number == signal.SIGTERM:
        holder.first.send(number)
    holder.first.wait()
    holder.api.set_faults({})
    done, _ = refused(holder)
    assert done.code == 0, done.err
    assert len(holder.results()) == 3


def test_a_stopped_run_keeps_its_lock(holder):
    holder.first.send(signal.SIGSTOP)
    assert refused(holder)[0].code == 7
    holder.first.send(signal.SIGCONT)
    assert holder.first.running


def test_of_many_that_start_at_once_exactly_one_runs(processes, serve):
    world = processes
    api = serve(script=HANG)
    world.write("in.jsonl", prompts(2))
    running = [world.launch(*RUN, "-qq") for _ in range(STARTS)]
    world.until(lambda: sum(process.running for process in running) == 1, what="only one is left")
    ended = [process.wait() for process in running if not process.running]
    assert {done.code for done in ended} == {7}
    named = [process for process in running if process.running]
    world.until(lambda: api.requests == 2)
    assert len(named) == 1
    assert all("Traceback" not in done.err for done in ended)
    assert [done.err for done in ended if f"process {named[0].pid} on" not in done.err] == []


def test_runs_to_standard_output_have_a_lock_too(processes, serve):
    world = processes
    api = serve(script=HANG)
    world.write("in.jsonl", prompts(1))
    first = world.launch("run", "in.jsonl", "-o", "-")
    world.until(lambda: api.requests == 1)
    assert refused(world, "run", "in.jsonl", "-o", "-")[0].code == 7
    assert refused(world, "run", "in.jsonl", "-o", "-", "--fresh")[0].code == 7
    assert first.running
    first.send(signal.SIGKILL)
    first.wait()
    api.set_faults({})
    done, _ = refused(world, "run", "in.jsonl", "-o", "-")
    assert (done.code, len(done.lines)) == (0, 1)


def test_piped_input_of_many_processes_at_once_is_never_mixed(processes, api):
    world = processes
    running = []
    for number in range(6):
        world.write(
            f"in-{number}",
            [{"id": f"{number}-{row}", "prompt": f"{number} {row}"} for row in range(60)],
        )
        with world.path(f"in-{number}").open("rb") as stdin:
            running.append(world.launch("run", "-", "-o", f"out-{number}", stdin=stdin.fileno()))
    for number, process in enumerate(running):
        assert process.wait().code == 0
        assert set(world.results(f"out-{number}")) == {f"{number}-{row}" for row in range(60)}
    assert list((world.home / "state/runs").glob("stdin-*")) == []


def test_a_ledger_that_somebody_else_writes_is_waited_for_and_never_damaged(processes, api):
    world = processes
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    before = world.ledger()
    other = sqlite3.connect(world.home / "state/spend.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    process = world.launch("run", "in.jsonl", "-o", "second.jsonl", "--no-cache")
    world.until(
        lambda: any("spend.sqlite" in name for name in opened(process.pid)),
        what="the ledger is opened",
    )
    assert process.running
    assert api.requests == 3, "nothing is sent that cannot be booked"
    other.execute("ROLLBACK")
    other.close()
    assert process.wait().code == 0
    assert world.ledger() == (before[0] * 2, 0)


def test_the_lock_is_on_the_folder_and_not_inherited_by_children(holder):
    folder = os.open(holder.path("out.jsonl.claudebatch"), os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)
    shutil.rmtree(holder.path("out.jsonl.claudebatch"))
    assert holder.first.running
