"""A day of real life in virtual time: batches that take ten minutes to a day, outages
of the API, a laptop that sleeps for eight hours, sessions that end and are taken up.
The real sender, journal and engine, and the simulator's batch endpoints over sockets.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from claudebatch.clients.batch_client import ClaudeBatches
from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.simulator import SimulatedBatches, Simulator, SimulatorSettings
from tests.engine.batches.test_kept_deadlines import BATCH, HOUR, LIVE, MINUTE, Case, Lived, live
from tests.support.patient_batches import PatientBatches
from tests.support.timed_batches import EPOCH, TimedBatches
from tests.support.virtual import now, run_virtual

ROWS = 90


class SimulatedAccount:
    """The simulator's batches, by the clock of the world outside."""

    def __init__(self, seed: int) -> None:
        self.clock: Callable[[], float] = lambda: 0.0
        self.url = ""
        self.simulator = Simulator(
            SimulatorSettings(batches=SimulatedBatches(latency="uniform:600,86400")),
            bill=lambda model, usage: BATCH,
            now=lambda: self.clock(),
            wall=lambda: EPOCH + timedelta(seconds=self.clock()),
            rng=random.Random(seed),
        )

    def connect(self) -> BatchClient:
        """A client of it, as a run makes one."""
        client = ClaudeBatches(
            api_key="sk-ant-test",
            base_url=self.url,
            idle_timeout_s=90,
            now=now,
            wall=lambda: EPOCH + timedelta(seconds=self.clock()),
        )
        return PatientBatches(client)

    def breaks_down(self, at: float, seconds: float) -> None:
        """Answers nothing but errors from then on, for so long."""
        later = asyncio.get_running_loop().call_later
        later(at, self.simulator.set_faults, {"batch_500": 1.0})
        later(at + seconds, self.simulator.set_faults, {})

    @property
    def rows_answered(self) -> int:
        """Rows that were billed."""
        return int(self.simulator.stats()["billed_pico"]) // BATCH


async def a_day(seed: int, path: Path) -> tuple[list[Lived], SimulatedAccount]:
    """The sessions of a run that somebody takes up whenever it has ended."""
    account = SimulatedAccount(seed)
    account.url = await account.simulator.start()
    case = Case(
        20 * HOUR,
        60.0,
        cast(TimedBatches, account),
        rows=ROWS,
        max_requests=15,
        poll=5 * MINUTE,
        # Outside it is eleven hours later when the third one has passed here.
        asleep=(3 * HOUR, 8 * HOUR),
    )
    # A short one is waited out; a long one, after the night, ends the session.
    account.breaks_down(30 * MINUTE, 4 * MINUTE)
    account.breaks_down(3.5 * HOUR, 2 * HOUR)
    notes: dict[str, Any] = {}
    sessions = [await live(case, path, notes=notes)]
    while sum(lived.live for lived in sessions) + account.rows_answered < ROWS:
        assert len(sessions) < 20, "it never ends"
        await asyncio.sleep(30 * MINUTE)
        sessions.append(await live(case, path, notes=notes))
    await account.simulator.stop()
    return sessions, account


@pytest.mark.parametrize("seed", [1, 2])
def test_each_row_is_answered_once_paid_as_billed_and_in_time(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Answers that pass for real ones.
    monkeypatch.setattr("claudebatch.simulator.http.MARK", b"")
    sessions, account = run_virtual(a_day(seed, tmp_path))
    stats = account.simulator.stats()
    assert len(sessions) > 1, "the long outage has ended one"
    by_batch, at_once = account.rows_answered, sum(lived.live for lived in sessions)
    assert by_batch + at_once == ROWS
    assert by_batch, "some batches were in time"
    assert at_once, "some were given up"
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as journal:
        ask = journal.execute
        rows = ask("SELECT count(*), count(DISTINCT row) FROM results").fetchone()
        (booked,) = ask("SELECT sum(cost) FROM attempts").fetchone()
        (held,) = ask("SELECT count(*) FROM attempts WHERE state = 6").fetchone()
    assert rows == (ROWS, ROWS)
    assert booked == stats["billed_pico"]
    assert (held, stats["batches"]["billed_again"]) == (0, 0)
    # All at once would take an hour, and have been in time.
    assert sessions[-1].ended <= 20 * HOUR
    assert by_batch * BATCH + at_once * LIVE < ROWS * LIVE
