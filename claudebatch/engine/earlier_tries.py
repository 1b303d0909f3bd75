"""What the attempts of earlier sessions say of the rows that are still to be done."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from claudebatch.core.tries import RowLimited, RowTries
from claudebatch.layers.circuit_breaker.settings import SERVED_PER_ROW_LEFT, BreakerPolicy
from claudebatch.storage.journal.failed_attempts import (
    FailedAttempt,
    LimitedAttempt,
    answered_at,
    failed_attempts,
    let_in_at,
    limited_attempts,
    rows_to_do,
)


def read_tries(
    connection: sqlite3.Connection,
    *,
    pool_of: Callable[[str], str],
    policy: BreakerPolicy,
) -> dict[int, RowTries]:
    """The rows of the journal that have failed, each with what counts of that."""
    failed, limited = failed_attempts(connection), _limited(connection, pool_of)
    if not failed:
        return {row: RowTries(limited=models) for row, models in limited.items()}
    answered: dict[str, list[int]] = defaultdict(list)
    for model, at_ms in answered_at(connection):
        answered[pool_of(model)].append(at_ms)
    by_pool: dict[str, list[FailedAttempt]] = defaultdict(list)
    for attempt in failed:
        by_pool[pool_of(attempt.model)].append(attempt)
    # Models of one pool answer in order each, but not together.
    tries = earlier_tries(
        [(by_pool[pool], sorted(answered[pool])) for pool in by_pool],
        policy=policy,
        left=rows_to_do(connection),
    )
    for row, models in limited.items():
        tries.setdefault(row, RowTries()).limited.update(models)
    return tries


def _limited(
    connection: sqlite3.Connection, pool_of: Callable[[str], str]
) -> dict[int, dict[str, RowLimited]]:
    attempts = limited_attempts(connection)
    let_in: dict[str, list[int]] = defaultdict(list)
    for model, at_ms in let_in_at(connection) if attempts else ():
        let_in[pool_of(model)].append(at_ms)
    return earlier_429s(
        attempts, {model: sorted(let_in[pool_of(model)]) for _, model, _ in attempts}
    )


def earlier_429s(
    attempts: Iterable[LimitedAttempt], let_in: Mapping[str, Sequence[int]]
) -> dict[int, dict[str, RowLimited]]:
    """What the 429s of each row and model count for; *let_in*: when the requests left
    that were answered, by model, those of its pool.

    The rule of the limiter's `PassedOver`: a request of another row was let in that
    left after the row's 429 before.
    """
    found: dict[int, dict[str, RowLimited]] = defaultdict(dict)
    for row, model, sent_ms in attempts:
        before = found[row].get(model)
        times, served = (before.times, before.others_served) if before else (0, False)
        if before is not None:
            after = bisect_right(let_in[model], before.number)
            times += after < bisect_left(let_in[model], sent_ms)
        served = served or bisect_right(let_in[model], sent_ms) < len(let_in[model])
        found[row][model] = RowLimited(sent_ms, times, others_served=served)
    # Requests are numbered anew in each session.
    return {
        row: {model: replace(limited, number=0) for model, limited in models.items()}
        for row, models in found.items()
    }


def earlier_tries(
    pools: Iterable[tuple[Sequence[FailedAttempt], Sequence[int]]],
    *,
    policy: BreakerPolicy,
    left: int,
) -> dict[int, RowTries]:
    """The rows that failed, from each pool's failures and the moments of its answers;
    *left*: how many rows have no result.

    The breaker's own rules, applied to what is written down: failures of many rows
    between two answers, of rows that had not failed before, are an outage and count for
    nobody but bad rows. A row that failed before an
    answer to another row is bad; so is each row that is left, where all have failed
    since the last of many answers.
    """
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    held: dict[tuple[int, str], int] = defaultdict(int)
    own: dict[int, Counter[str]] = defaultdict(Counter)
    bad: dict[int, set[str]] = defaultdict(set)
    for failures, answers in pools:
        bad_here: set[int] = set()
        for gap, inside in _by_gap(failures, answers):
            last = gap == len(answers)
            until_ms = None if last else answers[gap]
            only_bad_left = last and _only_bad_rows_left(inside, len(answers), left)
            outage = not only_bad_left and _is_outage(inside, bad_here, until_ms, policy)
            for row, model, _, ended, may_be_rows in inside:
                # Given up before, and asked for anew: it has all of its attempts again.
                counts[row][model] = counts[row].get(model, 0) + (not ended and not outage)
                held[row, model] += not ended and outage
                own[row][model] += not ended and may_be_rows
                if not outage and (not last or only_bad_left):
                    bad_here.add(row)
                    bad[row].add(model)
    for row, models in bad.items():
        for model in models:
            counts[row][model] += held[row, model]
    return {row: RowTries(counts[row], bad[row], own=own[row]) for row in counts}


def _by_gap(
    failures: Iterable[FailedAttempt], answers: Sequence[int]
) -> list[tuple[int, list[FailedAttempt]]]:
    """*failures* by how many answers had come before."""
    gaps: dict[int, list[FailedAttempt]] = defaultdict(list)
    for failure in failures:
        gaps[bisect_left(answers, failure.at_ms)].append(failure)
    return sorted(gaps.items())


def _only_bad_rows_left(failures: Sequence[FailedAttempt], answers: int, left: int) -> bool:
    failing = {failure.row for failure in failures if not failure.ended}
    return (
        0 < left <= len(failing)
        and answers >= SERVED_PER_ROW_LEFT * left
        and all(failure.may_be_rows for failure in failures)
    )


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
