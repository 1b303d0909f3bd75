"""What message batches are made of; tests put their own in."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.core.domain import Call, Pico, Prompt, Reply
from claudebatch.core.drain import Drain
from claudebatch.core.errors import StopRun
from claudebatch.core.events import Emit
from claudebatch.core.send_via import BatchSettings
from claudebatch.engine.batches.answer_judge import AnswerJudge, RowSource
from claudebatch.engine.batches.outcomes import OutcomeReader
from claudebatch.engine.batches.request_kinds import Objection
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.prompt_caching.placed import Place
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.store import CacheStore
from claudebatch.storage.journal import Journal, RowFilter
from claudebatch.storage.journal.batches import BatchRow
from claudebatch.storage.journal.records import AttemptIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQueue:
    """Requests of batches that may wait at the API at once."""

    most: int
    """Of all batches of the account."""
    most_own: int
    """Of those of this run."""
    elsewhere: Callable[[], Mapping[str, int]]
    """Requests of batches of other runs that may be in the queue, by id; called in the
    journal's thread.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchParts:
    """Everything that sending by batch needs from outside."""

    settings: BatchSettings
    journal: Journal
    budget: BudgetStore
    cache: CacheStore | None
    """None: nothing is kept, and equal requests are all asked."""
    unkept: Callable[[Reply], str]
    """Why the response cache does not keep an answer; empty: it does."""
    notes: RequestNotes | None
    """Hears what was asked, for the commands that look into the response cache."""
    address: str
    """The base URL of the API that is asked; empty: its own."""
    connect: Callable[[], BatchClient]
    """Makes the client, inside the running loop."""
    objection: Objection | None
    """Shows one request of each kind to the API; None: nothing is shown."""
    queue: AccountQueue
    rows: RowSource
    wanted: RowFilter
    """The rows that are to be answered."""
    lanes: Sequence[str]
    place: Place
    """Sets the marks for the API's prompt cache."""
    worst: Callable[[Call], Pico]
    """The most that a call can cost in a batch."""
    expect: Callable[[AttemptIntent], Pico]
    """What its answer was expected to cost."""
    outcomes: OutcomeReader
    judge: AnswerJudge
    names: Sequence[str]
    """Of the input files."""
    known_elsewhere: Callable[[], set[str]]
    """Ids of batches that other runs have made."""
    claim: Callable[[str, int, Collection[str]], str]
    """Makes the batch of that id this run's, by that number and the nonces that its
    results bear; returns the run that it is of already, if there is one. Called in the
    journal's thread.
    """
    remember: Callable[[BatchRow, str], None]
    """Tells the other runs of a batch and its address; in the journal's thread."""
    folder: Path
    """For the upload, while it is on its way."""
    simulated: bool
    """A rehearsal: nothing is paid for."""
    note_simulator: Callable[[], None]
    """Called where the API turns out to be a simulator's; in the journal's thread."""
    halt: Callable[[StopRun], None]
    """Stops what is sent at once, too."""
    max_outage_s: float
    collect: bool
    """Make no batch; only collect those that are there."""
    retry_batches: bool
    """Give up batches that this key is not shown; their rows are sent again."""
    attach: str
    """The id of a batch that was made elsewhere and becomes one of this run; empty:
    none.
    """
    detach: bool
    """Leave when everything is sent; do not wait for answers."""
    drain: Drain
    now: Callable[[], float]
    wall: Callable[[], datetime]
    rng: random.Random
    emit: Emit
    key: Callable[[Prompt, bytes], str] | None = None
    """The key of a request as the response cache has it; None: the index has it for
    each row, as it was asked.
    """
    asked_elsewhere: Callable[[sqlite3.Connection], Mapping[str, int]] | None = None
    """How many of the rows ask for what is in a batch of another run, by that run; None
    where no answers are shared.
    """

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return int(self.wall().timestamp() * 1000)
