"""`claudebatch spend`: one report in four formats, and nothing in any of them that a
program would run.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from claudebatch.cli.main import app
from claudebatch.storage.ledger import LedgerWriter, RunEntry
from tests.support.journals import intent, outcome

NASTY = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", "a|b", "\x1b[2J"]


@pytest.fixture
def spend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command in a home of its own."""
    monkeypatch.setenv("CLAUDEBATCH_STATE_DIR", str(tmp_path / "state"))

    def run(*arguments: str):
        return CliRunner().invoke(app, ["spend", *arguments])

    return run


def write(
    folder: Path,
    run: str,
    *,
    tag: str = "",
    days_ago: int = 0,
    cost: int = 10**10,
    state: str = "state",
) -> None:
    sent = datetime.now(UTC) - timedelta(days=days_ago)
    ms = int(sent.timestamp() * 1000)
    entry = RunEntry(run, f"{run}.jsonl", sent.isoformat(timespec="seconds"), tag=tag)
    writer = LedgerWriter.open(folder / state / "spend.sqlite", entry)
    writer.apply([intent(1, sent_ms=ms)], [outcome(1, cost=cost, sent_ms=ms)])
    writer.close()


def test_csv_is_exact_and_no_spreadsheet_calculates_it(spend, tmp_path: Path):
    for number, tag in enumerate(NASTY):
        write(tmp_path, f"r{number}", tag=tag, cost=number + 1)
    found = list(
        csv.DictReader(io.StringIO(spend("--by", "tag", "--format", "csv").stdout, newline=""))
    )
    labels = {row["spent_usd"]: row["label"] for row in found}
    assert [labels[f"0.{number + 1:012d}".rstrip("0")][:1] for number in range(6)] == ["'"] * 6
    assert labels["0.000000000007"] == "plain"
    raw = list(csv.DictReader(io.StringIO(spend("--by", "tag", "--raw-csv").stdout, newline="")))
    assert {row["label"] for row in raw} == set(NASTY)


def test_markdown_is_one_table_whatever_the_labels_hold(spend, tmp_path: Path):
    for number, tag in enumerate(NASTY):
        write(tmp_path, f"r{number}", tag=tag)
    lines = [
        line
        for line in spend("--by", "tag", "--format", "md").stdout.splitlines()
        if line.startswith("|")
    ]
    assert len(lines) == len(NASTY) + 3, "a header, its rule and a total"
    assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}
    assert "a\\|b" in "".join(lines) and "\x1b" not in "".join(lines)


def test_a_table_shows_control_characters_and_does_not_obey_them(spend, tmp_path: Path):
    write(tmp_path, "r", tag="\x1b[2J")
    assert "\\x1b[2J" in spend("--by", "tag").stdout


@pytest.mark.parametrize(
    ("since", "labels"), [("7d", {"now", "last"}), ("1d", {"now"}), ("2w", {"now", "last", "old"})]
)
def test_since_counts_days_back_from_today_and_takes_today_in(
    spend, tmp_path: Path, since: str, labels: set[str]
):
    for run, ago in (("now", 0), ("last", 6), ("old", 7)):
        write(tmp_path, run, days_ago=ago)
    found = json.loads(spend("--since", since, "--json").stdout)
    assert {line["label"] for line in found["lines"]} == labels
    assert found["total"]["spent_usd"] == str(len(labels) / 100)


@pytest.mark.parametrize("since", ["soon", "7", "-3d", "2026-13-01", "9999999d", ""])
def test_a_day_that_is_none_is_a_usage_error(spend, since: str):
    assert spend("--since", since).exit_code == 2


def test_two_formats_at_once_are_refused(spend):
    done = spend("--json", "--format", "csv")
    assert done.exit_code != 0 and done.stdout == ""


def test_where_only_rehearsals_were_made_the_report_says_where_they_are(spend, tmp_path: Path):
    for number in range(2):
        write(tmp_path, f"rehearsal-{number}", cost=10**12, state="state/simulated")
    hint = "Rehearsals are counted apart: claudebatch spend --simulate"
    assert spend().stdout.splitlines() == ["Nothing was spent yet.", hint]
    assert hint in spend("--since", "7d", "--format", "md").stdout
    told = spend("--simulate").stdout
    assert "$2.00" in told and told.splitlines()[-1] == "SIMULATED: nothing of this was paid."
    assert (
        spend("--simulate", "--format", "md").stdout.splitlines()[-1]
        == "SIMULATED: nothing of this was paid."
    )
    found = json.loads(spend("--simulate", "--json").stdout)
    assert (found["simulated"], found["total"]["spent_usd"]) == (True, "2")
    write(tmp_path, "real")
    real = spend().stdout
    assert "real" in real and "ehears" not in real and "SIMULATED" not in real
    assert json.loads(spend("--json").stdout)["simulated"] is False


def test_every_format_says_nothing_of_nothing(spend, tmp_path: Path):
    assert spend().stdout == "Nothing was spent yet.\n"
    assert json.loads(spend("--json").stdout)["lines"] == []
    assert len(spend("--format", "csv").stdout.splitlines()) == 1
    assert not (tmp_path / "state").exists()
