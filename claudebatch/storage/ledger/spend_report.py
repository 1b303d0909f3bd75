"""The ledger, read only: spend by run, model, day, tag or rule."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from claudebatch.core.domain import BILLED_KINDS, PREWARM, Pico, PromptSavings, Usage
from claudebatch.core.endings import ANSWER_ENDINGS
from claudebatch.core.reports import SpendLine, spend_sum
from claudebatch.storage.columns import COUNTS, listed
from claudebatch.storage.ledger.schema import Waits, not_reported, read_ledger, unreadable
from claudebatch.storage.ledger.tables import RATES

By: TypeAlias = Literal["run", "model", "day", "tag", "rule", "route"]
# "route" is the older word for "rule".
_RULE = ("rule", "route")

# Sums are made in Python, in whole numbers of any size: SQLite's would fail above nine
# million dollars. One line for each run, day, model and rule is little to read.
_SPEND = f"""
SELECT s.*, coalesce(r.tag, '') AS tag, coalesce(r.output, '') AS output,
  coalesce(r.started, s.day) AS started, r.dearest, {listed(RATES, "r.")}
FROM spend s LEFT JOIN runs r ON r.run = s.run
WHERE s.day >= :first AND (:run IS NULL OR s.run = :run)
ORDER BY 1, 2, 3, 4
"""
_HOLDS = """
SELECT h.run, h.day, h.amount, '' AS model, '' AS rule, coalesce(r.tag, '') AS tag,
  EXISTS (SELECT 1 FROM batches b WHERE b.run = h.run AND b.collected = 0) AS in_batches,
  coalesce(r.output, '') AS output, coalesce(r.started, h.day) AS started
FROM holds h LEFT JOIN runs r ON r.run = h.run
WHERE h.day >= :first AND h.amount <> 0 AND (:run IS NULL OR h.run = :run)
ORDER BY 1, 2
"""
# A model that the line or the command names was no choice of a rule: it saved nothing.
_NOT_ROUTED = ("line", "--model")


PromptSaver: TypeAlias = Callable[[str, Usage, Pico], PromptSavings]
"""What the prompt cache saved in answers of a model with this usage and cost."""


def nothing_saved(model: str, usage: Usage, cost: Pico) -> PromptSavings:
    """Where nobody asks."""
    return PromptSavings()


class _Group(NamedTuple):
    """Some of the ledger's lines under one label."""

    label: str
    first: str
    """Its beginning, for the order."""
    line: SpendLine


class SpendReader:
    """The ledger, read only."""

    def __init__(
        self, path: Path, *, waits: Waits = not_reported, saves: PromptSaver = nothing_saved
    ) -> None:
        """*waits* is called when another program keeps the file locked; *saves* says
        what the prompt cache saved.
        """
        self._path = path
        self._waits = waits
        self._saves = saves

    def by(self, what: By, *, since: date | None = None, run: str | None = None) -> list[SpendLine]:
        """Spend of all runs or of one *run*, by *what*, oldest first; days are UTC.
        Nothing where there is no ledger.

        Holds have no model and no rule: there they are a line without a label.
        """
        asked = {"first": since.isoformat() if since else "", "run": run}
        spent, held = self._rows(asked)
        groups = [_Group(_label(row, what), row["started"], self._line(row, what)) for row in spent]
        groups += [_Group(_label(row, what), row["started"], _held(row, what)) for row in held]
        return _summed(groups, by_day=what == "day")

    def _line(self, row: dict[str, Any], what: By) -> SpendLine:
        usage = Usage.of(row[column.name] for column in COUNTS)
        prompt = self._saves(row["model"], usage, row["spent"])
        if row["rule"] == PREWARM and not usage.output_tokens:
            # Without the cache they would not have been sent.
            prompt = PromptSavings(-row["spent"], prompt.writes)
        return SpendLine(
            label="",
            attempts=row["attempts"],
            answers=row["answers"],
            usage=usage,
            spent=row["spent"],
            unknown=row["unknown"],
            note=_note(row, what),
            unknown_attempts=row["unknown_attempts"],
            unpriced=row["unpriced"],
            cached=row["cached"],
            shared=row["shared"],
            saved_cache=row["saved_cache"],
            saved_routing=_saved_routing(row),
            saved_prompt=prompt.saved,
            prompt_writes=prompt.writes,
            **{end.label: row[end.label] for end in ANSWER_ENDINGS},
            **_of_run(row, what),
        )

    def _rows(
        self, asked: dict[str, str | None]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Lines of spend and of holds, as of one moment."""
        try:
            connection = read_ledger(self._path, waits=self._waits)
            if connection is None:
                return [], []
            try:
                # One transaction for both: money that is settled in between would be in
                # neither.
                connection.execute("BEGIN")
                return _dicts(connection, _SPEND, asked), _dicts(connection, _HOLDS, asked)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from error


def _dicts(
    connection: sqlite3.Connection, query: str, asked: dict[str, str | None]
) -> list[dict[str, Any]]:
    cursor = connection.execute(query, asked)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _summed(groups: list[_Group], *, by_day: bool) -> list[SpendLine]:
    by_label: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        by_label[group.label].append(group)
    order = sorted(
        by_label,
        key=lambda label: (label if by_day else min(g.first for g in by_label[label]), label),
    )
    lines = []
    for label in order:
        notes = dict.fromkeys(group.line.note for group in by_label[label] if group.line.note)
        costly_first = sorted(
            (group.line for group in by_label[label]), key=lambda line: -line.spent
        )
        lines.append(spend_sum(costly_first, label, ", ".join(notes)))
    return lines


def _label(row: dict[str, Any], what: By) -> str:
    return str(row["rule" if what in _RULE else what])


def _note(row: dict[str, Any], what: By) -> str:
    if what == "run":
        return f"{row['started']} {row['output']}"
    return row["model"] if what in _RULE else ""


def _held(row: dict[str, Any], what: By) -> SpendLine:
    held = row["amount"]
    in_batches = held if row["in_batches"] else 0
    return SpendLine(
        "", held=held, in_batches=in_batches, note=_note(row, what), **_of_run(row, what)
    )


def _of_run(row: dict[str, Any], what: By) -> dict[str, Any]:
    if what != "run":
        return {}
    return {"models": (row["model"],) if row["model"] else (), "output": row["output"]}


def _saved_routing(row: dict[str, Any]) -> Pico:
    """The additional cost of the same tokens at the run's most expensive model."""
    if (
        not row["dearest"]
        or row["model"] == row["dearest"]
        or row["rule"] in _NOT_ROUTED
        # Their spend lacks answers: the difference would be too large.
        or row["unpriced"]
    ):
        return 0
    there = sum(row[kind.column] * row[kind.rate_column] for kind in BILLED_KINDS)
    return int(max(0, there - row["spent"]))
