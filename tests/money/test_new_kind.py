"""A new kind of token that the API bills is one line of the program.

A copy of the package gets that line, in one file; then a whole run meets answers with
tokens of the new kind. Journal, checksums, ledger, cost and reports must all know it,
and the files of a run that began before must go on.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Usage
from claudebatch.models.prices import PriceBook

ROOT = Path(__file__).parents[2]
HAIKU = "claude-haiku-5-5"
COLUMN, NAME = "cache_write_1d_tokens", "ephemeral_1d_input_tokens"
PLACE = "    inference_geo: str | None = None\n"
"""The line of `Usage` that follows the kinds."""
LINE = f"""    {NAME}: int = billed(
        BilledKind(
            "{COLUMN}", "cache_write_1d", group="cache_creation", times_input=Decimal(3),
            heading="cache write 1d",
        )
    )
"""
TOKENS = 700
# A simulator of the API of tomorrow: every answer has written so many for a day.
RUN = f"""
import functools
from claudebatch.core.domain import Usage
from claudebatch.simulator import answers
answers.Usage = functools.partial(Usage, {NAME}={TOKENS})
from claudebatch.__main__ import main
main()
"""


class Machine:
    """A folder with prompts, and the two programs: that of today, that of tomorrow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copy = folder / "tomorrow"
        shutil.copytree(ROOT / "claudebatch", self.copy / "claudebatch")
        table = self.copy / "claudebatch" / "core" / "domain.py"
        text = table.read_text()
        assert text.count(PLACE) == 1
        table.write_text(text.replace(PLACE, LINE + PLACE))
        rows = [{"id": f"r{n}", "prompt": f"Say {n}.", "max_tokens": 50} for n in range(6)]
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
            "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
        }

    def today(self, *command: str) -> str:
        """What *command* prints today."""
        return self._run(["-m", "claudebatch"], ROOT, command)

    def tomorrow(self, *command: str, code: int = 0) -> str:
        """What *command* prints where the new kind is known."""
        return self._run(["-c", RUN], self.copy, command, code)

    def _run(self, program: list[str], home: Path, command: tuple[str, ...], code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *program, *command],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def query(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """What the database *name* says."""
        with closing(sqlite3.connect(self.folder / name, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()


JOURNAL = "out.jsonl.claudebatch/journal.sqlite"
LEDGER = "state/simulated/spend.sqlite"
ASK = ("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--yes", "--model", HAIKU)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_new_kind_of_token_is_one_line(machine: Machine):
    machine.today(*ASK, "-n", "2")
    ((before,),) = machine.query(LEDGER, "SELECT sum(spent) FROM spend")
    assert json.loads(machine.tomorrow("spend", "--simulate", "--json"))["total"][NAME] == 0
    machine.tomorrow(*ASK)

    # Journal: each of the four new answers has it, at its price, and in its checksum.
    found = machine.query(
        JOURNAL, f"SELECT {COLUMN}, input_tokens, output_tokens, cost, geo FROM attempts"
    )
    assert [tokens for tokens, *_ in found] == [0, 0, *[TOKENS] * 4]
    book = PriceBook.load(at=datetime.now(UTC))
    for tokens, fresh, out, cost, geo in found:
        # At three times the price of input it costs what three times as much input
        # does.
        usage = Usage(fresh + 3 * tokens, out, inference_geo=geo)
        assert cost == book.cost(HAIKU, usage)
    assert "are intact" in machine.tomorrow("runs", "check", "out.jsonl")

    # Ledger: its sums, its single attempts, its views.
    spent = sum(cost for *_, cost, _ in found)
    assert machine.query(LEDGER, f"SELECT sum({COLUMN}), sum(spent) FROM spend") == [
        (4 * TOKENS, spent)
    ]
    assert machine.query(LEDGER, f"SELECT sum({COLUMN}) FROM attempts") == [(4 * TOKENS,)]
    assert machine.query(LEDGER, f"SELECT sum({COLUMN}) FROM v_spend_by_run") == [(4 * TOKENS,)]
    assert before < spent

    # Reports.
    total = json.loads(machine.tomorrow("spend", "--simulate", "--json"))["total"]
    assert total[NAME] == 4 * TOKENS
    assert NAME in machine.tomorrow("spend", "--simulate", "--format", "csv").splitlines()[0]
    table = machine.tomorrow("spend", "--simulate").splitlines()
    assert "cache write 1d" in table[0] and "2,800" in table[1]
    prices = json.loads(machine.tomorrow("models", HAIKU, "--json"))["models"][0]["prices"]
    assert "cache_write_1d" in prices["standard"]


def test_a_changed_count_of_the_new_kind_is_found_and_comes_back_from_the_ledger(machine: Machine):
    machine.tomorrow(*ASK)
    machine.query(JOURNAL, f"UPDATE attempts SET {COLUMN} = 0 WHERE attempt = 2")
    machine.tomorrow("runs", "check", "out.jsonl", code=6)
    machine.tomorrow("runs", "check", "--repair", "out.jsonl")
    assert machine.query(JOURNAL, f"SELECT {COLUMN} FROM attempts WHERE attempt = 2") == [(TOKENS,)]


def test_a_program_that_does_not_know_the_kind_refuses_the_journal(machine: Machine):
    machine.tomorrow(*ASK)
    with pytest.raises(AssertionError, match="newer claudebatch"):
        machine.today(*ASK)
