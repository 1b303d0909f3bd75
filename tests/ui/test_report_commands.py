"""`spend` and `cache` in a home of their own: reports on stdout, talk on stderr, and no
heavy import.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claudebatch.storage.ledger import LedgerWriter, RunEntry
from tests.support.asked import Asked
from tests.support.journals import intent, outcome
from tests.support.scripted import make_call, make_reply

_APP = """
import sys, typer
from claudebatch.cli import cache
from claudebatch.cli.spend import spend
from claudebatch.core.errors import ClaudebatchError
from claudebatch.ui.error_text import render_error
app = typer.Typer()
app.command()(spend)
app.add_typer(cache.app, name="cache")
try:
    app(standalone_mode=False)
except ClaudebatchError as error:
    print(*render_error(error), sep="\\n", file=sys.stderr)
    sys.exit(error.exit_code)
finally:
    heavy = sorted({"anthropic", "jinja2"} & set(sys.modules))
    print("heavy:", *heavy, file=sys.stderr)
"""


class Home:
    """A home folder, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal."""
        environment = {
            "HOME": str(self.folder),
            "CLAUDEBATCH_STATE_DIR": str(self.folder / "state"),
            "CLAUDEBATCH_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONPATH": ":".join(sys.path),
        }
        command = [sys.executable, "-c", _APP, *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_spend_reports_a_ledger_by_run_model_and_day(home: Home) -> None:
    sent_ms = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
    ledger = LedgerWriter.open(
        home.folder / "state" / "spend.sqlite",
        RunEntry("r1", "a.jsonl", "2026-11-20T00:00:00+00:00"),
    )
    ledger.apply([intent(1, sent_ms=sent_ms)], [])
    ledger.apply([], [outcome(1, cost=5_000_000_000, sent_ms=sent_ms)])
    ledger.close()

    by_run = home.run("spend", "--json")
    assert json.loads(by_run.stdout)["lines"][0]["spent_usd"] == "0.005"
    assert "claude-haiku-5-5" in home.run("spend", "--by", "model").stdout
    assert "2026-11-20" in home.run("spend", "--by", "day", "--since", "2026-11-20").stdout
    assert "2026-11-20" not in home.run("spend", "--by", "day", "--since", "2026-11-21").stdout
    assert by_run.stderr == "heavy:\n"


def test_spend_without_a_ledger_says_so_and_makes_no_file(home: Home) -> None:
    done = home.run("spend")
    assert (done.returncode, done.stdout) == (0, "Nothing was spent yet.\n")
    assert not (home.folder / "state").exists()


def test_cache_stats_and_path_need_no_cache(home: Home) -> None:
    stats = home.run("cache", "stats", "--json")
    found = json.loads(stats.stdout)
    assert (found["entries"], found["bytes_limit"], found["ttl_s"]) == (0, 2 * 2**30, 30 * 86400.0)
    assert stats.stderr == "heavy:\n"
    assert home.run("cache", "path").stdout == found["path"] + "\n"
    assert not (home.folder / "cache").exists()


def test_cache_stats_obeys_the_configuration(home: Home) -> None:
    (home.folder / "claudebatch.yaml").write_text("cache:\n  size: 10MB\n  ttl: 1h\n")
    assert home.run("cache", "stats").stdout.splitlines()[1:] == [
        "answers  0, kept for 1 h",
        "size     0 bytes of 10 MiB (0 %)",
    ]


def test_nobody_is_asked_where_nobody_is(home: Home) -> None:
    refused = home.run("cache", "clear")
    assert refused.returncode == 2
    assert "hint: add --yes" in refused.stderr
    assert refused.stdout == ""
    done = home.run("cache", "clear", "--yes")
    assert done.returncode == 0
    assert "0 cached answers deleted" in done.stderr


def test_the_commands_of_the_cache_work_together(home: Home) -> None:
    cache = Asked(home.folder / "cache" / "responses")
    asyncio.run(cache.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(3))))
    listed = home.run("cache", "ls", "--json")
    found = json.loads(listed.stdout)
    assert (found["matching"], listed.stderr) == (3, "heavy:\n")
    shown = json.loads(home.run("cache", "show", "row-1", "--json").stdout)
    assert [entry["id"] for entry in shown["entries"]] == ["row-1"]
    assert shown["entries"][0]["request"]["messages"][0]["content"] == "q1"
    checked = json.loads(home.run("cache", "verify", "--json").stdout)
    assert (checked["sound"], checked["entries"]) == (True, 3)
    refused = home.run("cache", "prune", "--model", "haiku")
    assert refused.returncode == 2 and "E809" in refused.stderr
    assert "claude-haiku-5-5        3" in refused.stderr, "it is told before it is asked"
    home.run("cache", "export", "-o", "out.jsonl")
    out = home.folder / "out.jsonl"
    assert out.read_text().count("\n") == 3 and out.stat().st_mode & 0o777 == 0o600
    pruned = home.run("cache", "prune", "--model", "haiku", "--yes", "--json")
    assert json.loads(pruned.stdout)["deleted"] == 3
    # Made at another version of the API than this program asks for.
    taken = json.loads(home.run("cache", "import", "out.jsonl", "--json").stdout)
    assert (taken["taken"], sum(taken["left_out"].values())) == (0, 3)
    cache.sql("INSERT INTO Cache(key, raw, mode, value) VALUES ('abc', 1, 1, x'00')")
    damaged = home.run("cache", "verify")
    assert "damaged: 1 (abc)" in damaged.stdout
    assert json.loads(home.run("cache", "verify", "--repair", "--json").stdout)["repaired"]
    assert json.loads(home.run("cache", "verify", "--json").stdout)["entries"] == 0
