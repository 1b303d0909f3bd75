"""Attacks by combination: options that each work alone, deaths at system calls, inputs
that change.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.e2e.world import PATIENCE_S, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def money_agrees(world, api):
    billed, settled = api.stats()["billed_pico"], world.settled()
    (unknown,) = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state = 3")[0]
    assert settled <= billed <= settled + unknown
    spent, held = world.ledger()
    assert (spent, held) == (settled, unknown)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    "call", ["fdatasync", "pwrite64", "write", "fsync", "ftruncate", "unlink", "rename"]
)
def test_death_at_a_system_call(world, serve, call):
    api = serve(latency="uniform:0.01,0.03")
    world.write("in.jsonl", prompts(60, max_tokens=500))
    environment = {**world.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    options = ("--no-cache", "--ordered", "-j", "8")
    for number in (1, 9, 23):
        subprocess.run(
            [
                "strace",
                "-f",
                # Stop at the one call only: otherwise each takes ten times as long.
                "--seccomp-bpf",
                "-qq",
                "-o",
                os.devnull,
                f"--trace={call}",
                f"--inject={call}:signal=KILL:when={number}",
                sys.executable,
                "-m",
                "claudebatch",
                *RUN,
                *options,
            ],
            cwd=world.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    done = world.claudebatch(*RUN, *options)
    assert done.code == 0, done.err
    assert len(world.results()) == 60
    assert list(world.results()) == [f"row-{n}" for n in range(60)]
    unknown = world.query("SELECT count(*) FROM attempts WHERE state = 3")[0][0]
    assert api.requests <= 60 + unknown
    money_agrees(world, api)
    assert not list(world.work.glob("*.edited-*")), "our own line was taken for somebody's edit"


def test_two_signals_leave_every_attempt_at_its_worst_case(processes, serve):
    world = processes
    api = serve(held_after=0)
    world.write("in.jsonl", prompts(30))
    process = world.launch(*RUN, "-j", "8", "--no-cache")
    world.until(lambda: api.requests >= 8)
    process.send(signal.SIGINT)
    world.until(
        lambda: "stopping" in process.err or "SIGINT" in process.err or "interrupted" in process.err
    )
    process.send(signal.SIGINT)
    done = process.wait()
    api.release()
    assert done.code == 130, done.err
    assert world.query("SELECT DISTINCT state FROM attempts") == [(3,)]
    money_agrees(world, api)
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert len(world.results()) == 30
    money_agrees(world, api)


def test_kept_answers_come_under_a_cap_that_is_used_up(world, api):
    world.write("warm.jsonl", prompts(10))
    assert world.claudebatch("run", "warm.jsonl").code == 0
    rows = [{"id": f"new-{n}", "prompt": f"new {n}", "max_tokens": 100} for n in range(10)]
    world.write("in.jsonl", [row for pair in zip(rows, prompts(10), strict=True) for row in pair])
    seen = api.requests
    assert world.claudebatch(*RUN, "--budget", "0.000001").code == 3
    assert api.requests == seen
    assert sorted(world.results()) == sorted(f"row-{n}" for n in range(10))


@pytest.mark.parametrize("fault", ["cut", "529", "404", "html", "reset"])
def test_equal_rows_share_a_failure_and_the_cap_holds(world, serve, fault):
    world.configure(
        "fallbacks: {claude-sonnet-5-5: [claude-haiku-5-5]}\nbreaker: {minimum_calls: 5, "
        "wait_open_s: 0.1}\n"
    )
    api = serve(faults={fault: 0.5})
    rows = [{"id": f"r{n}", "prompt": f"p{n % 9}", "max_tokens": 200} for n in range(60)]
    world.write("in.jsonl", rows)
    for _ in range(4):
        done = world.claudebatch(*RUN, "--budget", "0.02", "--retry-failed", "--max-outage", "3s")
        assert done.code in (0, 1, 3, 5), done.err
        (total,) = world.query(
            "SELECT sum(cost) + sum(CASE WHEN state IN (0, 3) THEN worst ELSE 0 END) FROM attempts"
        )[0]
        assert (total or 0) <= 0.02 * 10**12
        assert api.stats()["billed_pico"] <= 0.02 * 10**12
        money_agrees(world, api)
        world.results()
    api.set_faults({})
    assert world.claudebatch(*RUN, "--budget", "5", "--retry-failed", "--ordered").code == 0
    assert list(world.results()) == [row["id"] for row in rows]


def test_first_a_few_then_all_then_edited(world, api):
    rows = prompts(20)
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN, "-n", "5", "--no-cache").code == 0
    assert world.claudebatch(*RUN, "--no-cache", "--ordered").code == 0
    assert api.requests == 20
    edited = [{"id": "new", "prompt": "new"}, *rows[3:]]
    edited[2] = {**edited[2], "prompt": "changed"}
    world.write("in.jsonl", edited)
    assert world.claudebatch(*RUN, "-n", "4", "--no-cache", "--yes").code == 0
    assert api.requests == 22
    assert world.claudebatch(*RUN, "--no-cache", "--yes").code == 0
    assert api.requests == 22
    assert sorted(world.results()) == sorted(row["id"] for row in edited)
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN, "--no-cache", "--ordered", "--yes").code == 0
    assert api.requests == 22, "the first content was answered before"
    assert list(world.results()) == [row["id"] for row in rows]
    assert not list(world.work.glob("*.edited-*"))


def test_an_index_that_was_not_agreed_to_does_not_make_our_file_an_edited_one(world, api):
    world.configure("confirm_above: 0.05\n")
    rows = prompts(3, max_tokens=10)
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN).code == 0
    world.write(
        "in.jsonl",
        [*rows[1:], *[{"id": f"x{n}", "prompt": f"x{n}", "max_tokens": 1000} for n in range(200)]],
    )
    assert world.claudebatch(*RUN).code == 2
    done = world.claudebatch(*RUN, "--yes")
    assert done.code == 0
    assert not list(world.work.glob("*.edited-*")), done.err


def test_piped_input_of_a_refused_run_is_not_left_behind(processes, serve):
    world = processes
    serve(held_after=0)
    world.write("in.jsonl", prompts(2))
    process = world.launch(*RUN)
    world.until(lambda: world.path("out.jsonl.claudebatch/owner.json").exists() and process.running)
    done = world.claudebatch("run", "-", "-o", "out.jsonl", stdin=b'{"prompt": "secret"}\n')
    assert done.code == 7, done.err
    assert not list((world.home / "state").rglob("stdin-*"))
    process.send(signal.SIGKILL)
    process.wait()


def test_the_same_rows_on_standard_output_after_a_dead_retry(world, serve):
    api = serve(script=("404",) * 3)
    world.write("in.jsonl", prompts(5))
    assert world.claudebatch("run", "in.jsonl", "-o", "-").code == 1
    done = world.claudebatch("run", "in.jsonl", "-o", "-", "--retry-failed")
    assert done.code == 0
    assert api.requests == 8
    done = world.claudebatch("run", "in.jsonl", "-o", "-")
    assert sorted(line["id"] for line in done.lines) == [f"row-{n}" for n in range(5)]
    assert json.dumps(done.lines).count("failed") == 0


def test_real_answers_survive_a_stray_simulator(world, serve):
    """A key's run is interrupted, goes on by mistake against a simulator, and then as
    it began.
    """
    api = serve(script=("ok",) * 10 + ("402",) * 40)
    world.write("in.jsonl", prompts(20))
    assert world.claudebatch(*RUN, "-j", "1", "--no-cache").code == 4
    real = world.environment["ANTHROPIC_BASE_URL"]
    paid = world.results()
    assert len(paid) == 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("claudebatch.simulator.http.MARK", b"x-claudebatch-simulated: 1\r\n")
        simulator = serve(marked=True)
        world.claudebatch(*RUN, "--no-cache")
        simulator.requests  # noqa: B018
    world.environment["ANTHROPIC_BASE_URL"] = real
    api.set_faults({})
    world.claudebatch(*RUN, "--no-cache")
    found = world.results()
    assert {id_: found[id_] for id_ in paid} == paid, (
        "paid answers were thrown away with the rehearsal"
    )
