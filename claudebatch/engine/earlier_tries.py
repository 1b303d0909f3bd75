"""What the attempts of earlier sessions say of the rows that are still to be done."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from claudebatch.core.tries import RowTries
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.storage.journal.failed_attempts import FailedAttempt, answered_at, failed_attempts


def read_tries(
    connection: sqlite3.Connection, *, pool_of: Callable[[str], str], policy: BreakerPolicy
) -> dict[int, RowTries]:
    """The rows of the journal that have failed, each with what counts of that."""
    failed = failed_attempts(connection)
    if not failed:
        return {}
    answered: dict[str, list[int]] = defaultdict(list)
    for model, at_ms in answered_at(connection):
        answered[pool_of(model)].append(at_ms)
    by_pool: dict[str, list[FailedAttempt]] = defaultdict(list)
    for attempt in failed:
        by_pool[pool_of(attempt.model)].append(attempt)
    # Models of one pool answer in order each, but not together.
    return earlier_tries(
        [(by_pool[pool], sorted(answered[pool])) for pool in by_pool], policy=policy
    )


def earlier_tries(
    pools: Iterable[tuple[Sequence[FailedAttempt], Sequence[int]]], *, policy: BreakerPolicy
) -> dict[int, RowTries]:
    """The rows that failed, from each pool's failures and the moments of its answers.

    The breaker's own rule, applied to what is written down: failures of many rows
    between two answers, of rows that had not failed before, are an outage and count for
    nobody. A row that failed before an answer to another row is bad.
    """
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    bad: dict[int, set[str]] = defaultdict(set)
    for failures, answers in pools:
        bad_here: set[int] = set()
        for gap, inside in _by_gap(failures, answers):
            until_ms = answers[gap] if gap < len(answers) else None
            if _is_outage(inside, bad_here, until_ms, policy):
                continue
            for row, model, _, ended in inside:
                # Given up before, and asked for anew: it has all of its attempts again.
                counts[row][model] = counts[row].get(model, 0) + (not ended)
                if gap < len(answers):
                    bad_here.add(row)
                    bad[row].add(model)
    return {row: RowTries(counts[row], bad[row]) for row in counts}


def _by_gap(
    failures: Iterable[FailedAttempt], answers: Sequence[int]
) -> list[tuple[int, list[FailedAttempt]]]:
    """*failures* by how many answers had come before."""
    gaps: dict[int, list[FailedAttempt]] = defaultdict(list)
    for failure in failures:
        gaps[bisect_left(answers, failure.at_ms)].append(failure)
    return sorted(gaps.items())


def _is_outage(
    failures: Sequence[FailedAttempt],
    bad: Collection[int],
    until_ms: int | None,
    policy: BreakerPolicy,
) -> bool:
    if until_ms is not None and until_ms - failures[0].at_ms < 1000 * policy.wait_open_s:
        # A breaker that opens holds the pool for longer: these were only the first to
        # come back.
        return False
    others = [failure.row for failure in failures if failure.row not in bad]
    known = {failure.row for failure in failures if failure.row in bad}
    enough = policy.outage_rows(len(known))
    return len(others) >= policy.minimum_calls and len(set(others)) >= enough
