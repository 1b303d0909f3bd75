"""Caps that runs share: by day, month and tag, whatever runs at once and whoever
dies.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from decimal import Decimal

import pytest

from claudebatch.core.domain import from_usd
from tests.e2e.world import PATIENCE_S, prompts, query

HAIKU = "claude-haiku-5-5"
ROWS = prompts(40, max_tokens=1000)


def billed(api) -> int:
    return int(api.stats()["billed_pico"])


def holds(world):
    return query(
        world.home / "state" / "spend.sqlite", "SELECT coalesce(sum(amount), 0) FROM holds"
    )[0][0]


@pytest.mark.parametrize(
    ("setting", "name"),
    [("day: 0.10", "the day"), ("month: 0.10", "the month"), ("tags: {client: 0.10}", "tag client"),
     ("tags: {client: {day: 0.10}}", "tag client per day"), ("tags: {client: {month: "
                                                             "0.10}}", "tag client per month")],
)  # fmt: skip
def test_runs_one_after_the_other_stay_under_one_cap(world, serve, setting, name):
    api = serve(use_all_max_tokens=True)
    world.configure(f"budget: {{{setting}}}\ntag: client\n")
    world.write("in.jsonl", ROWS)
    world.write("other.jsonl", prompts(40, max_tokens=900))
    first = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-n", "5")
    assert first.code == 0, first.err
    second = world.claudebatch("run", "other.jsonl", "-o", "other-out.jsonl")
    assert second.code == 3, second.err
    assert f"of the cap of {name} is left (raise budget." in second.err
    assert billed(api) <= from_usd(Decimal("0.10"))
    assert world.ledger() == (billed(api), 0), "nothing is held any more"
    before = api.requests
    again = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl")
    assert again.code == 3 or api.requests > before
    assert billed(api) <= from_usd(Decimal("0.10"))
    # The command that goes on is the same one: the cap is not the run's to raise.
    assert "next      claudebatch run other.jsonl -o other-out.jsonl\n" in second.err


def test_another_tag_has_its_own_money(world, serve):
    api = serve(use_all_max_tokens=True)
    world.configure("budget: {tags: {a: 0.05, b: 0.05}}\n")
    world.write("in.jsonl", ROWS)
    for tag in ("a", "b"):
        assert (
            world.claudebatch(
                "run", "in.jsonl", "-o", f"{tag}.jsonl", "--tag", tag, "--no-cache"
            ).code
            == 3
        )
    assert from_usd(Decimal("0.08")) < billed(api) <= from_usd(Decimal("0.10"))
    assert world.claudebatch("run", "in.jsonl", "-o", "untagged.jsonl", "--no-cache").code == 0


def test_a_run_keeps_the_tag_that_it_began_with(world, api):
    world.write("in.jsonl", prompts(3))
    run = ("run", "in.jsonl", "-o", "out.jsonl")
    assert world.claudebatch(*run, "--tag", "a", "-n", "1").code == 0
    for other, began in ((["--tag", "b"], '"a"'), ([], '"a"')):
        done = world.claudebatch(*run, *other)
        assert (
            done.code,
            f"this run began with the tag {began}" in done.err,
            "add --tag a" in done.err,
        ) == (
            2,
            True,
            True,
        )
    assert world.claudebatch(*run, "--tag", "a").code == 0


def test_a_rehearsal_takes_nothing_of_a_shared_cap(world, api):
    world.configure("budget: {day: 0.0000001}\nsimulate: {latency: 'fixed:0'}\n")
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch("run", "in.jsonl", "-o", "rehearsal.jsonl", "--simulate").code == 0
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl").code == 3


def launch(world, cap, numbers):
    if numbers.start == 0:
        world.configure(f"budget: {{day: {cap}}}\n")
        world.write("in.jsonl", ROWS)
    return [
        world.launch("run", "in.jsonl", "-o", f"{number}.jsonl", "--no-cache", "--no-progress")
        for number in numbers
    ]


def holders(world):
    path = world.home / "state" / "spend.sqlite"
    try:
        # Not read only: a process that was killed may have left half a commit, which
        # only a writer undoes.
        with closing(sqlite3.connect(path)) as ledger:
            return ledger.execute("SELECT count(*) FROM holds WHERE amount > 0").fetchone()[0]
    except sqlite3.OperationalError:  # it is being made
        return 0


def test_eight_processes_never_pass_one_cap_together(processes, serve):
    world, cap = processes, from_usd(Decimal("0.10"))
    api = serve(use_all_max_tokens=True, latency="uniform:0.001,0.01")
    done = [process.wait() for process in launch(world, "0.10", range(8))]
    assert [one.code for one in done] == [3] * 8, [one.err for one in done]
    largest = max(
        worst
        for number in range(8)
        for (worst,) in world.query(
            "SELECT coalesce(max(worst), 0) FROM attempts", output=f"{number}.jsonl"
        )
    )
    assert cap - largest < billed(api) <= cap, "no more, and not much less"
    assert world.ledger() == (billed(api), 0)


def test_what_dead_processes_held_is_settled_by_those_that_need_it(processes, serve):
    world, cap = processes, from_usd(Decimal("1.00"))
    api = serve(use_all_max_tokens=True, latency="fixed:0.5")
    doomed = launch(world, "1.00", range(2))  # the cap has room for both: neither settles the other
    end = time.monotonic() + PATIENCE_S
    while holders(world) < 2 and time.monotonic() < end:
        time.sleep(0.002)
    for process in doomed:
        process.send(signal.SIGKILL)
    assert [process.wait().code for process in doomed] == [-9] * 2
    assert holders(world) >= 2, "they died with money in their hands"
    done = [process.wait() for process in launch(world, "1.00", range(4, 8))]
    codes = {one.code for one in done}
    assert 3 in codes and codes <= {0, 3}, [one.err for one in done]
    spent, unknown = world.ledger()
    assert billed(api) <= spent + unknown <= cap
    # What was in flight when they died counts at its worst case; all the rest was there
    # for the others.
    assert cap - (spent + unknown) < from_usd(Decimal("0.0121"))
    assert holds(world) == 0
