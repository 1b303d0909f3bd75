"""Answers that were paid for and have no result: a crash came between an attempt's
commit and its result's.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Outcome, Succeeded
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.engine.row_feed import InputSources
from claudebatch.engine.unfit_answers import unfit_before
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.storage.journal import RowRef
from claudebatch.storage.journal.checksums import body_digest, damaged, is_sound
from claudebatch.storage.journal.queries import unshown_answers
from claudebatch.storage.journal.schema import AttemptState

_ROW = "SELECT row, source, line, offset, length, id, digest FROM rows WHERE row = ?"
_ATTEMPT = (
    "SELECT model, body, cost, cost_known AND state = ?, latency_ms, request_id, digest, batch"
    " FROM attempts WHERE attempt = ?"
)


def recovered(
    connection: sqlite3.Connection, sources: InputSources, *, schema_retries: int
) -> list[Outcome]:
    """The outcomes of answers that are in the journal without a result. One that does
    not fit its schema is none as long as *schema_retries* are left.
    """
    found = (
        _outcome(connection, sources, row, attempt, schema_retries)
        for row, attempt in unshown_answers(connection)
    )
    return [outcome for outcome in found if outcome is not None]


def _outcome(
    connection: sqlite3.Connection,
    sources: InputSources,
    row: int,
    attempt: int,
    schema_retries: int,
) -> Outcome | None:
    ref = RowRef(*connection.execute(_ROW, (row,)).fetchone())
    call = sources.call(ref, sources.line(ref))
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
        via = "batch" if batch else "live"
        reply = parse_message(bytes(body), request_id=request_id, via=via)
    except BadAnswer:
        return None
    unfit = unfit_before(connection, replace(call, model=model), but_last=True)
    reading = read_answer(call.prompt, reply)
    times = unfit.times if unfit else 0
    unfit_now = reading is not None and reading.fault and schema_of(call.prompt.params)
    if unfit_now and times < schema_retries:
        # It will be asked again, from this answer on.
        return None
    return Succeeded(
        call,
        replace(
            reply,
            cost=cost + (unfit.cost if unfit else 0),
            cost_known=bool(known) and (unfit is None or unfit.cost_known),
            attempts=1 + times,
            attempt_id=attempt,
            latency_ms=latency_ms,
            # A rerouted answer keeps its model; the reason for the reroute died with
            # the session.
            fallback_reason=None if model == call.model else "recovered",
        ),
    )
