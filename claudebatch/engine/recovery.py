"""Answers that were paid for and have no result: a crash came between an attempt's
commit and its result's.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, replace

from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Outcome, Succeeded, Via
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.engine.earlier_answers import unfit_of, with_unfit
from claudebatch.engine.row_feed import InputSources
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.storage.journal import RowRef
from claudebatch.storage.journal.checksums import body_digest, damaged, is_sound
from claudebatch.storage.journal.open_answers import open_answers, open_attempts
from claudebatch.storage.journal.queries import unshown_answers
from claudebatch.storage.journal.schema import AttemptState

_ROW = "SELECT row, source, line, offset, length, id, digest FROM rows WHERE row = ?"
_ATTEMPT = (
    "SELECT model, body, cost, cost_known AND state = ?, latency_ms, request_id, digest, batch"
    " FROM attempts WHERE attempt = ?"
)


@dataclass(frozen=True, slots=True)
class GoesOn:
    """Which rows with an answer are asked on."""

    schema_retries: int
    """Of rows with a schema, after an answer that does not fit."""
    unwanted: Set[str] = frozenset()
    """Stop reasons of answers that another model is to better, where there is one."""


def recovered(
    connection: sqlite3.Connection, sources: InputSources, goes_on: GoesOn
) -> list[Outcome]:
    """The outcomes of answers that are in the journal without a result. One after which
    its row *goes_on* is none.
    """
    attempts: defaultdict[int, list[int]] = defaultdict(list)
    unshown = unshown_answers(connection)
    for row, attempt in open_attempts(connection) if unshown else ():
        attempts[row].append(attempt)
    found = (
        _outcome(connection, sources, row, [*attempts[row][:-1], attempt], goes_on)
        for row, attempt in unshown
    )
    return [outcome for outcome in found if outcome is not None]


def _outcome(
    connection: sqlite3.Connection,
    sources: InputSources,
    row: int,
    attempts: list[int],
    goes_on: GoesOn,
) -> Outcome | None:
    ref = RowRef(*connection.execute(_ROW, (row,)).fetchone())
    call, attempt = sources.call(ref, sources.line(ref)), attempts[-1]
    model, body, cost, known, latency_ms, request_id, digest, batch = connection.execute(
        _ATTEMPT, (AttemptState.ANSWERED, attempt)
    ).fetchone()
    # A damaged answer must not become a result: a repair may still find a sound copy of
    # it.
    if body_digest(body) != digest or not is_sound(connection, attempt):
        raise damaged(connection, f"the answer to row {row}")
    # The line has changed since: its new content is another row, and is asked by
    # itself.
    if call is None:
        return None
    try:
        via: Via = "batch" if batch else "live"
        reply = parse_message(bytes(body), request_id=request_id, via=via)
    except BadAnswer:
        return None
    unfit = unfit_of(call.prompt, open_answers(connection, attempts[:-1], model))
    reading = read_answer(call.prompt, reply)
    times = unfit.times if unfit else 0
    unfit_now = reading is not None and reading.fault and schema_of(call.prompt.params)
    if unfit_now and times < goes_on.schema_retries:
        # It will be asked again, from this answer on.
        return None
    if call.route.fallbacks and reply.stop_reason in goes_on.unwanted:
        # The next model of its chain is asked, or all have been: the layer knows.
        return None
    reply = replace(
        reply,
        cost=cost,
        cost_known=bool(known),
        attempt_id=attempt,
        latency_ms=latency_ms,
        # A rerouted answer keeps its model; the reason for the reroute died with the
        # session.
        fallback_reason=None if model == call.model else "recovered",
    )
    return Succeeded(call, with_unfit(reply, unfit))
