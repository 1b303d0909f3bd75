"""Results as no API promises them: lines twice, of nobody, of other batches, of types
that nobody knows; downloads that break off or end too early. Whatever comes, each row
has one result, what is booked is what was answered, and nothing stays held.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from claudebatch.clients.batch_records import Batch
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.core.errors import AttemptError
from tests.engine.batches.test_kept_deadlines import BATCH, HOUR, Case, live
from tests.support.scripted import make_reply
from tests.support.timed_batches import TimedBatches
from tests.support.virtual import run_virtual

AWAY = AttemptError("the connection broke", type="connection_error", retryable=True)
UNKNOWN = BatchResult(custom_id="", kind="unknown", type="novelty")


@dataclass
class HostileBatches(TimedBatches):
    """What became of each request is decided once; how it is told, at each download."""

    rng: random.Random = field(default_factory=random.Random)
    told: dict[str, BatchResult] = field(default_factory=dict)
    downloads: Counter[str] = field(default_factory=Counter)
    """Of each batch."""

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        made = await super().create(upload, betas=betas)
        for name in self.batches[-1].custom_ids:
            self.told[name] = replace(self._fate(), custom_id=name)
        return made

    def _fate(self) -> BatchResult:
        draw = self.rng.random()
        if draw < 0.7:
            message = make_reply().message
            return BatchResult(custom_id="", kind="succeeded", type="succeeded", message=message)
        if draw < 0.8:
            return UNKNOWN
        kind = self.rng.choice(["canceled", "expired"])
        return BatchResult(custom_id="", kind=kind, type=kind)

    @property
    def billed_rows(self) -> int:
        return sum(result.kind == "succeeded" for result in self.told.values())

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        own = self._named(batch_id).custom_ids
        lines = [self.told[name] for name in own]
        # Twice; of an earlier batch of ours; of others; of nobody.
        lines += [self.told[name] for name in own if self.rng.random() < 0.2]
        lines += [self.told[name] for name in self.told if self.rng.random() < 0.1]
        for name in ("", "row-1", "a" * 64, "no such nonce-" + "0" * 30):
            lines += [replace(self._fate(), custom_id=name)] * self.rng.randrange(3)
        self.rng.shuffle(lines)
        self.downloads[batch_id] += 1
        if self.downloads[batch_id] % 3:
            # Breaks off, or ends as if it were whole.
            lines = lines[: self.rng.randrange(len(lines))]
        for line in lines:
            yield line
        if self.downloads[batch_id] % 3 == 1:
            raise AWAY


@pytest.mark.parametrize("part", range(2))
def test_whatever_results_say_each_row_ends_once_and_is_booked_as_billed(
    tmp_path: Path, part: int
) -> None:
    for seed in range(part, 12, 2):
        account = HostileBatches((HOUR,), rng=random.Random(seed))
        path = tmp_path / str(seed)
        path.mkdir()
        lived = run_virtual(live(Case(90 * HOUR, 1.0, account, max_requests=10), path))
        assert lived.stop is None
        with closing(sqlite3.connect(path / "journal.sqlite")) as journal:
            ask = journal.execute
            rows = ask("SELECT count(*), count(DISTINCT row) FROM results").fetchone()
            (booked,) = ask("SELECT sum(cost) FROM attempts WHERE state = 1").fetchone()
            (held,) = ask("SELECT count(*) FROM attempts WHERE state IN (0, 6)").fetchone()
            again = ask(
                "SELECT count(*) FROM attempts a JOIN attempts b ON a.row = b.row"
                " WHERE a.attempt < b.attempt AND a.state IN (1, 3)"
            ).fetchone()
        assert (rows, held, again) == ((30, 30), 0, (0,)), seed
        assert booked == BATCH * account.billed_rows, seed
