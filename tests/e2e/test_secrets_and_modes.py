"""What is written is for the owner's eyes, and the key is for nobody's."""

from __future__ import annotations

import base64
import stat
from types import SimpleNamespace

import pytest

from tests.e2e.world import prompts
from tests.support import canary
from tests.support.canary import CANARY

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
ROWS = [
    *prompts(4),
    {"id": "bad", "prompt": "[[simulate: error 400]]"},
    {"id": "no", "prompt": "[[simulate: refusal]]"},
]


def leaks(world, *texts):
    """Where the key is found in what was written or said."""
    return canary.leaks(world.files(), *texts)


@pytest.mark.parametrize(
    ("script", "more"),
    [
        ((), ()),
        (("401",), ()),
        (("403",), ("--json",)),
        (("reset", "cut", "html", "empty", "529"), ("-v",)),
        (("529",) * 60, ("--max-outage", "0.05s")),
        ((), ("--budget", "0.00001")),
        ((), ("--dry-run",)),
    ],
    ids=lambda value: "-".join(value[:2]) or "plain",
)
def test_the_key_is_in_no_file_and_in_no_output(world, serve, script, more):
    world.configure("breaker: {minimum_calls: 3, wait_open_s: 0.05}\n")
    api = serve(script=script)
    world.point_at(api.url, key=CANARY)
    world.write("in.jsonl", ROWS)
    done = world.claudebatch(*RUN, *more)
    assert leaks(world, done.out, done.err) == []
    spend, stats = world.claudebatch("spend"), world.claudebatch("cache", "stats")
    assert leaks(world, spend.out, spend.err, stats.out, stats.err) == []


def test_the_key_is_in_no_crash_file_and_the_crash_has_no_prompt_either(world, api, monkeypatch):
    world.point_at(api.url, key=CANARY)
    world.write("in.jsonl", prompts(2, system="a secret of my own"))

    def broken(*_, **__):
        raise RuntimeError(f"{CANARY} a secret of my own")

    monkeypatch.setattr("claudebatch.clients.client.ClaudeClient.__call__", broken)
    done = world.claudebatch(*RUN)
    assert done.code == 70
    assert "error[E009]: internal error: RuntimeError" in done.err
    assert "Traceback" not in done.err
    assert "run the same command again" in done.err
    (crash,) = [path for path in world.files() if path.name.startswith("crash-")]
    assert str(crash) in done.err
    assert "RuntimeError" in crash.read_text()
    assert "secret of my own" not in crash.read_text() + done.err
    assert leaks(world, done.out, done.err) == []


def test_a_crash_that_is_among_its_own_causes_is_written_down_all_the_same(world, api, monkeypatch):
    world.write("in.jsonl", prompts(2))
    first, second = RuntimeError(), LookupError()
    first.__cause__, second.__context__ = second, first

    def broken(*_, **__):
        raise first

    monkeypatch.setattr("claudebatch.clients.client.ClaudeClient.__call__", broken)
    done = world.claudebatch(*RUN)
    assert (done.code, "error[E009]: internal error: RuntimeError" in done.err) == (70, True)
    (crash,) = [path for path in world.files() if path.name.startswith("crash-")]
    lines = crash.read_text().splitlines()
    assert (lines.count("RuntimeError"), lines.count("LookupError")) == (1, 1)


def test_the_search_for_the_key_would_find_it(world):
    world.path("leak.txt").write_text(f"oops {base64.b64encode(b'zz' + CANARY.encode()).decode()}")
    assert leaks(world) == [str(world.path("leak.txt"))]
    assert leaks(world, f"oops {CANARY}") == [str(world.path("leak.txt")), "text 0"]


def modes(world, before):
    return {
        str(path.relative_to(world.folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in world.files()
        if path not in before
    }


def wrong(found, world):
    return {
        name: oct(mode)
        for name, mode in found.items()
        if mode != (0o700 if (world.folder / name).is_dir() else 0o600)
    }


@pytest.mark.parametrize("more", [(), ("--simulate",), ("--ordered",)], ids=str)
def test_every_file_is_0600_and_every_folder_0700_whatever_the_umask(world, api, more):
    world.configure("simulate: {latency: 'fixed:0'}\n")
    big = {"id": "big", "prompt": "x" * 200_000}
    world.write("in.jsonl", [*ROWS, big])
    before = set(world.files())
    assert world.claudebatch(*RUN, *more, umask=0).code == 1
    world.path("out.jsonl").write_bytes(b"edited")
    world.claudebatch(*RUN, *more, umask=0)
    world.claudebatch(*RUN, *more, "--fresh", umask=0)
    world.claudebatch("run", "-", *more, stdin=b'"hi"\n', umask=0)
    found = modes(world, before)
    assert len(found) >= 10
    found.pop("work/out.jsonl.edited-1", None)
    assert wrong(found, world) == {}


def test_files_are_made_private_and_not_only_by_the_umask(world, api, monkeypatch):
    """Whoever uses the parts without our command line has a umask of their own."""
    monkeypatch.setattr("claudebatch.cli.process_guard.os", SimpleNamespace(umask=lambda _: 0))
    world.write("in.jsonl", [*ROWS, {"id": "big", "prompt": "x" * 200_000}])
    before = set(world.files())
    assert world.claudebatch(*RUN, umask=0).code == 1
    assert wrong(modes(world, before), world) == {}


def test_files_stay_private_while_the_run_goes_on(processes, serve):
    world = processes
    api = serve(latency="fixed:30")
    world.write("in.jsonl", ROWS)
    before = set(world.files())
    process = world.launch(*RUN, umask=0)
    world.until(lambda: api.requests == len(ROWS))
    found = modes(world, before)
    assert process.running
    assert any(name.endswith("-wal") for name in found), "SQLite's own files are looked at, too"
    assert wrong(found, world) == {}


def test_nothing_is_written_through_somebody_elses_link(world, api):
    target = world.folder / "precious"
    target.write_text("precious")
    world.write("in.jsonl", prompts(1))
    world.path("out.jsonl").symlink_to(target)
    done = world.claudebatch(*RUN, "--fresh")
    assert target.read_text() == "precious"
    assert "Traceback" not in done.err
