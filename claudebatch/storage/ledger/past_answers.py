"""Usage of past answers: an even sample of the newest runs, for estimates to learn
from.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Usage
from claudebatch.storage.columns import COUNTS, listed, names
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger.schema import glance_at_ledger, unreadable

# Older runs say less about the next one, and reading all of a large ledger would make
# an estimate slow.
_MOST_RUNS = 30
_MOST_ANSWERS = 12_000
# Attempts that are read of one run. From a longer run they are taken in blocks spread
# over all of it: its first rows may be the short ones.
_OF_A_RUN = 4_000
# Blocks, because attempts lie in the file by number: single ones all over a long run
# would each read a page.
_BLOCKS = 50
_COLUMNS = f"model, rule, input_estimate, geo, {listed(COUNTS)}"
# The most similar first: the same input, then the same tag, then the newest.
_RUNS = """
SELECT run, CASE WHEN input <> '' AND input = :input THEN 0
  WHEN tag <> '' AND tag = :tag THEN 1 ELSE 2 END AS far
FROM runs ORDER BY far, started DESC, run DESC LIMIT :most
"""
_SPAN = "SELECT coalesce(min(attempt), 0), coalesce(max(attempt), -1) FROM attempts WHERE run = ?"
_ANSWERS = (
    f"SELECT {_COLUMNS} FROM attempts WHERE run = ? AND attempt BETWEEN ? AND ?"
    f" AND state = {AttemptState.ANSWERED:d}"
    # The usage of an answer that the user has settled is not known.
    f" AND {' + '.join(names(COUNTS))} > 0"
)


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """One answer of an earlier run."""

    model: str
    rule: str
    input_estimate: int
    """The estimate of its input, before any correction by experience."""
    usage: Usage


def past_answers(
    path: Path, *, input_name: str = "", tag: str = ""
) -> Iterator[tuple[int, PastAnswer]]:
    """Answers that the ledger at *path* knows, each with how far its run is from this
    one: 0 the same input, 1 the same tag, 2 any other. The nearest come first, of those
    the newest. Raises `StorageError`.
    """
    connection = glance_at_ledger(path)
    if connection is None:
        return
    try:
        runs = connection.execute(
            _RUNS, {"input": input_name, "tag": tag, "most": _MOST_RUNS}
        ).fetchall()
        left = _MOST_ANSWERS
        for run, far in runs:
            for row in _sample(connection, run):
                yield far, _answer(*row)
                left -= 1
            if left <= 0:
                return
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    finally:
        connection.close()


def _answer(
    model: str, rule: str, input_estimate: int, geo: str | None, *counts: int
) -> PastAnswer:
    usage = replace(Usage.of(counts), inference_geo=geo)
    return PastAnswer(model, rule, input_estimate, usage)


def _sample(connection: sqlite3.Connection, run: str) -> Iterator[tuple[Any, ...]]:
    for first, last in _blocks(connection, run):
        yield from connection.execute(_ANSWERS, (run, first, last))


def _blocks(connection: sqlite3.Connection, run: str) -> list[tuple[int, int]]:
    """First and last numbers of the attempts to read."""
    first, last = connection.execute(_SPAN, (run,)).fetchone()
    if last - first < _OF_A_RUN:
        return [(first, last)]
    length = _OF_A_RUN // _BLOCKS
    step = (last - first + 1 - length) / (_BLOCKS - 1)
    starts = [first + round(number * step) for number in range(_BLOCKS)]
    return [(start, start + length - 1) for start in starts]
