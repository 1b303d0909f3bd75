"""`spend` and `cache` in a home of their own: reports on stdout, talk on stderr, and no
heavy import.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from claudebatch.storage.ledger import LedgerWriter, RunEntry
from tests.e2e.processes import Done, Zygote
from tests.support.asked import Asked
from tests.support.journals import intent, outcome
from tests.support.scripted import make_call, make_reply

_APP = """
import sys
from claudebatch.__main__ import main
try:
    main()
finally:
    heavy = sorted({"anthropic", "jinja2"} & set(sys.modules))
    print("heavy:", *heavy, file=sys.stderr)
"""


class Home:
    """A home folder, and the commands run in it, without a terminal."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder = folder
        self._zygote = zygote

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "CLAUDEBATCH_STATE_DIR": str(self.folder / "state"),
            "CLAUDEBATCH_CACHE_DIR": str(self.folder / "cache"),
        }

    def run(self, *arguments: str) -> Done:
        """Run a command."""
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err, open(os.devnull) as nothing:
            streams = [stream.fileno() for stream in (nothing, out, err)]
            pid = self._zygote.start(arguments, self._environment, self.folder, streams, 0o022)
            code = self._zygote.status(pid, wait_s=60)
            assert code is not None
            out.seek(0)
            err.seek(0)
            return Done(code, out.read(), err.read())

    def run_afresh(self, *arguments: str) -> Done:
        """Run a command in an interpreter of its own, which says at the end what heavy
        libraries were loaded.
        """
        done = subprocess.run(
            [sys.executable, "-c", _APP, *arguments],
            cwd=self.folder,
            env=self._environment | {"PYTHONPATH": ":".join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path, zygote: Zygote) -> Home:
    return Home(tmp_path, zygote)


def test_spend_reports_a_ledger_by_run_model_and_day(home: Home) -> None:
    sent_ms = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
    ledger = LedgerWriter.open(
        home.folder / "state" / "spend.sqlite",
        RunEntry("r1", "a.jsonl", "2026-11-20T00:00:00+00:00"),
    )
    ledger.apply([intent(1, sent_ms=sent_ms)], [])
    ledger.apply([], [outcome(1, cost=5_000_000_000, sent_ms=sent_ms)])
    ledger.close()

    by_run = home.run_afresh("spend", "--json")
    assert json.loads(by_run.out)["lines"][0]["spent_usd"] == "0.005"
    assert "claude-haiku-5-5" in home.run("spend", "--by", "model").out
    assert "2026-11-20" in home.run("spend", "--by", "day", "--since", "2026-11-20").out
    assert "2026-11-20" not in home.run("spend", "--by", "day", "--since", "2026-11-21").out
    assert by_run.err == "heavy:\n"


def test_spend_without_a_ledger_says_so_and_makes_no_file(home: Home) -> None:
    done = home.run("spend")
    assert (done.code, done.out) == (0, "Nothing was spent yet.\n")
    assert not (home.folder / "state").exists()


def test_cache_stats_and_path_need_no_cache(home: Home) -> None:
    stats = home.run_afresh("cache", "stats", "--json")
    found = json.loads(stats.out)
    assert (found["entries"], found["bytes_limit"], found["ttl_s"]) == (0, 2 * 2**30, 30 * 86400.0)
    assert stats.err == "heavy:\n"
    assert home.run("cache", "path").out == found["path"] + "\n"
    assert not (home.folder / "cache").exists()


def test_cache_stats_obeys_the_configuration(home: Home) -> None:
    (home.folder / "claudebatch.yaml").write_text("cache:\n  size: 10MB\n  ttl: 1h\n")
    assert home.run("cache", "stats").out.splitlines()[1:] == [
        "answers  0, kept for 1 h",
        "size     0 bytes of 10 MiB (0 %)",
    ]


def test_nobody_is_asked_where_nobody_is(home: Home) -> None:
    refused = home.run("cache", "clear")
    assert refused.code == 2
    assert "hint: add --yes" in refused.err
    assert refused.out == ""
    done = home.run("cache", "clear", "--yes")
    assert done.code == 0
    assert "0 cached answers deleted" in done.err


def test_the_commands_of_the_cache_work_together(home: Home) -> None:
    cache = Asked(home.folder / "cache" / "responses")
    asyncio.run(cache.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(3))))
    listed = home.run_afresh("cache", "ls", "--json")
    found = json.loads(listed.out)
    assert (found["matching"], listed.err) == (3, "heavy:\n")
    shown = json.loads(home.run("cache", "show", "row-1", "--json").out)
    assert [entry["id"] for entry in shown["entries"]] == ["row-1"]
    assert shown["entries"][0]["request"]["messages"][0]["content"] == "q1"
    checked = json.loads(home.run("cache", "verify", "--json").out)
    assert (checked["sound"], checked["entries"]) == (True, 3)
    refused = home.run("cache", "prune", "--model", "haiku")
    assert refused.code == 2 and "E809" in refused.err
    assert "claude-haiku-5-5        3" in refused.err, "it is told before it is asked"
    home.run("cache", "export", "-o", "out.jsonl")
    out = home.folder / "out.jsonl"
    assert out.read_text().count("\n") == 3 and out.stat().st_mode & 0o777 == 0o600
    pruned = home.run("cache", "prune", "--model", "haiku", "--yes", "--json")
    assert json.loads(pruned.out)["deleted"] == 3
    # Made at another version of the API than this program asks for.
    taken = json.loads(home.run("cache", "import", "out.jsonl", "--json").out)
    assert (taken["taken"], sum(taken["left_out"].values())) == (0, 3)
    cache.sql("INSERT INTO Cache(key, raw, mode, value) VALUES ('abc', 1, 1, x'00')")
    damaged = home.run("cache", "verify")
    assert "damaged: 1 (abc)" in damaged.out
    assert json.loads(home.run("cache", "verify", "--repair", "--json").out)["repaired"]
    assert json.loads(home.run("cache", "verify", "--json").out)["entries"] == 0
