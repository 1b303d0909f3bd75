"""Files are made private at once, links are not followed, and other people's folders
are not used.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from claudebatch.core.errors import ClaudebatchError, LockedError, StorageError
from claudebatch.storage.private_files import (
    CACHE_DIR,
    new_file,
    open_private,
    private_dir,
    private_file,
)
from claudebatch.storage.results_file import FileOutput
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


@pytest.fixture
def anybody():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def stranger_owned(monkeypatch):
    """From now on everything that is there belongs to somebody else."""
    monkeypatch.setattr("claudebatch.storage.private_files.os.geteuid", lambda: os.getuid() + 1)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_private_with_their_parents(tmp_path, anybody):
    private_dir(tmp_path / "a/b/c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_files_are_made_private(tmp_path, anybody):
    os.close(open_private(tmp_path / "a", os.O_WRONLY))
    private_file(tmp_path / "b")
    new = new_file(tmp_path, "c", ".txt", "text \ud800")
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "b", new)] == [0o600] * 3


@pytest.mark.parametrize("what", ["link", "dangling link", "fifo", "folder"])
@pytest.mark.parametrize("use", [private_file, FileOutput], ids=lambda use: use.__name__)
def test_what_is_no_file_of_ours_is_not_written_to(tmp_path, what, use):
    place, target = tmp_path / "place", tmp_path / "target"
    if what == "link":
        target.write_text("precious")
    if "link" in what:
        place.symlink_to(target)
    elif what == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(StorageError):
        use(place)
    assert target.exists() == (what == "link")


def test_somebody_elses_file_and_folder_are_refused(tmp_path, stranger_owned):
    (tmp_path / "file").write_bytes(b"")
    for use, place in ((private_file, tmp_path / "file"), (private_dir, tmp_path)):
        with pytest.raises(StorageError, match="belongs to another user"):
            use(place)


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o777, 0o1777, 0o720])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, bits):
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(bits)
    with pytest.raises(StorageError, match="other users can write") as caught:
        private_dir(place)
    assert caught.value.id == "E632"
    assert f"chmod 700 {place}" in caught.value.fix
    private_dir(place / "own")
    place.chmod(0o755)
    private_dir(place)


def test_a_link_to_a_folder_counts_only_if_it_is_ours(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert private_dir(tmp_path / "link").is_dir()
    real = Path.lstat

    class Theirs:
        st_mode, st_uid = stat.S_IFLNK | 0o777, os.getuid() + 7

    monkeypatch.setattr(Path, "lstat", lambda path: Theirs if path.name == "link" else real(path))
    with pytest.raises(StorageError, match="belongs to another user"):
        private_dir(tmp_path / "link")


def test_two_writers_of_one_results_file_are_one_too_many(tmp_path):
    first = FileOutput(tmp_path / "out")
    os.link(tmp_path / "out", tmp_path / "other")
    for name in ("out", "other"):
        with pytest.raises(LockedError, match="another run writes these results") as caught:
            FileOutput(tmp_path / name)
        assert caught.value.id == "E636"
    first.close()
    FileOutput(tmp_path / "other").close()


PLANTED = ("out.jsonl", "out.jsonl.claudebatch", "out.jsonl.new")


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("more", [(), ("--fresh",), ("--ordered",), ("--simulate",)], ids=str)
def test_a_link_that_was_planted_beside_the_results_leads_nowhere(world, api, name, more):
    precious = world.folder / "precious"
    precious.mkdir()
    (precious / "kept").write_text("kept")
    world.write("in.jsonl", prompts(2))
    world.path(name).symlink_to(precious / "kept" if name != "out.jsonl.claudebatch" else precious)
    done = world.claudebatch(*RUN, *more)
    assert [path.name for path in precious.iterdir()] == ["kept"]
    assert (precious / "kept").read_text() == "kept"
    assert done.code in (0, 2, 6), done.err
    assert "internal error" not in done.err


@pytest.mark.parametrize("name", ["state/spend.sqlite", "cache/responses", "state/runs", "state"])
def test_a_link_that_was_planted_among_our_own_files_leads_nowhere(world, api, name):
    precious = world.folder / "precious"
    precious.mkdir(0o755)
    (precious / "kept").write_text("kept")
    place = world.home / name
    place.parent.mkdir(exist_ok=True, mode=0o700)
    place.symlink_to(precious / "kept" if name.endswith("sqlite") else precious)
    precious.chmod(0o777)  # somebody else's, or everybody's
    world.write("in.jsonl", prompts(2))
    done = (
        world.claudebatch("run", "-", "-o", "-", stdin=b'"hi"\n')
        if name == "state/runs"
        else world.claudebatch(*RUN)
    )
    assert [path.name for path in precious.iterdir()] == ["kept"]
    assert (precious / "kept").read_text() == "kept"
    assert done.code == (0 if "cache" in name else 6), done.err


def test_a_cache_of_somebody_else_is_not_asked_and_the_run_goes_on(world, api):
    place = world.home / "cache/responses"
    place.mkdir(parents=True)
    place.chmod(0o777)
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests, list(place.iterdir())) == (0, 2, [])
    assert "the response cache is off for this run" in done.err
    assert "other users can write" in done.err
    assert world.claudebatch("cache", "stats").code in (0, 6)


# What the kernel was asked for, by a process of its own: every file it made, every mode
# it changed, whom it called.
TRACED = "trace=open,openat,creat,mkdir,mkdirat,chmod,fchmod,fchmodat,connect,sendto"


@pytest.fixture
def traced(world, tmp_path):
    """Runs a command under strace; gives its system calls as lines."""

    def run(*arguments):
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-qq", "-s", "400", "-e", TRACED, "-o", str(trace)]
        environment = {**world.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [*command, sys.executable, "-m", "claudebatch", *arguments],
                cwd=world.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=120,
                check=False,
                umask=0,
            )
        except FileNotFoundError:
            pytest.skip("strace is not here")
        if "ptrace" in done.stderr.decode(errors="replace"):
            pytest.skip("strace may not look")
        assert done.returncode in (0, 1), done.stderr
        return trace.read_text(errors="replace").splitlines()

    return run


def test_the_kernel_saw_private_files_no_change_of_mode_and_no_stranger(world, api, traced):
    """No file is made with more than 0600 and then restricted, and nobody but the API
    is called.
    """
    world.write("in.jsonl", [*prompts(2), {"id": "big", "prompt": "x" * 60_000}])
    port = api.url.rsplit(":", 1)[1]
    calls = (
        traced(*RUN, "--log", "run.log")
        + traced("spend")
        + traced("run", "in.jsonl", "-o", "-", "--no-cache")
    )
    ours = [
        line
        for line in calls
        if str(world.folder) in line or '"out.jsonl' in line or '"run.log' in line
    ]
    made = [
        line for line in ours if ("O_CREAT" in line or "mkdir" in line) and " = -1 " not in line
    ]
    first = {
        world.work / line.split('"')[1]: line for line in reversed(made)
    }.values()  # later ones find it there
    assert len(first) > 10
    assert [line for line in first if not re.search(r" 0[67]00\b", line)] == []
    assert [line for line in ours if "chmod" in line and "ENOENT" not in line] == []
    called = [line for line in calls if "connect(" in line]
    assert called
    assert [
        line for line in called if f"htons({port})" not in line or '"127.0.0.1"' not in line
    ] == []


def test_reports_and_rehearsals_call_nobody_outside_this_machine(world, traced):
    world.configure("simulate: {latency: 'fixed:0'}\n")
    world.write("in.jsonl", prompts(2))
    commands = [
        (*RUN, "--simulate"),
        (*RUN, "--dry-run"),
        ("spend",),
        ("cache", "stats"),
        ("models",),
    ]
    called = [line for command in commands for line in traced(*command) if "connect(" in line]
    assert [line for line in called if "127.0.0.1" not in line] == []


def test_a_refusal_says_what_to_do(tmp_path, stranger_owned):
    with pytest.raises(ClaudebatchError) as caught:
        private_dir(tmp_path)
    assert "name one that is not there yet" in caught.value.fix


@pytest.mark.parametrize(
    "more", [(*RUN, "--no-cache"), ("run", "-", "--no-cache")], ids=["ledger", "piped input"]
)
def test_a_refusal_of_our_state_folder_names_the_variable_that_names_another(world, api, more):
    world.write("in.jsonl", prompts(1))
    state = world.home / "state"
    state.mkdir()
    state.chmod(0o777)
    if more != (*RUN, "--no-cache"):
        (state / "runs").mkdir()
        (state / "runs").chmod(0o777)
    done = world.claudebatch(*more, stdin=b'"hi"\n')
    assert done.code == 6
    assert "name one in CLAUDEBATCH_STATE_DIR that is not there yet" in done.err
    world.environment["CLAUDEBATCH_STATE_DIR"] = "/dev/null/here"
    done = world.claudebatch(*more, stdin=b'"hi"\n')
    assert done.code == 6
    assert "a part of the path is a file, not a folder" in done.err
    assert "CLAUDEBATCH_STATE_DIR names another place" in done.err


def test_a_refusal_of_the_cache_folder_names_the_variable_of_that_one(tmp_path, stranger_owned):
    with pytest.raises(StorageError) as caught:
        private_dir(tmp_path, named_by=CACHE_DIR)
    assert (
        caught.value.fix
        == "name one in CLAUDEBATCH_CACHE_DIR that is not there yet: it is made, for you alone"
    )
