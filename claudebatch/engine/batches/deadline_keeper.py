"""Keeps a deadline while batches are out: the moment at which late ones are given up,
and their end.

By the wall's clock: a machine that slept for hours wakes up to a deadline that did not
wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch
from claudebatch.core.clock_text import clock_text
from claudebatch.core.errors import AttemptError
from claudebatch.core.events import PlanMade
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.core.reports import DeadlinePlan
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batches import BatchRow
from claudebatch.storage.journal.planned_rows import send_all_now, waiting_parts

# A cancel that failed is tried again after so long.
_AGAIN_S = 10.0


class DeadlineKeeper:
    """Ask it `late` now and then, and let it `cancel` what is late."""

    def __init__(self, parts: BatchParts, plan: DeadlinePlan, *, deadline_ms: int) -> None:
        self._parts = parts
        self._plan = plan
        self._deadline_ms = deadline_ms
        self._by_ms = deadline_ms - round(plan.margin_s * 1000)
        # Mutable, changed by the methods below: when late batches are given up, as far
        # as is known (None: nothing waits); whether they are; by batch, when to cancel
        # it, or to try that again; and whether lateness was told.
        self.give_up_ms: int | None = None
        self.given_up = False
        self._cancel_due: dict[int, float] = {}
        self._told_late = False

    async def begin(self) -> None:
        """Say the plan."""
        self.give_up_ms, _ = await self._moment()
        self._parts.emit(PlanMade(self._plan, self._deadline_ms, self.give_up_ms))

    async def late(self, batches: Sequence[BatchRow]) -> bool:
        """Whether *batches* have to be given up. When that begins, rows that are in
        none go by the other road from then on.
        """
        now_ms = self._parts.wall_ms()
        self._tell_late(now_ms)
        if self.given_up or self.give_up_ms is None or now_ms < self.give_up_ms:
            return self.given_up
        # What has come back meanwhile leaves more time to the rest.
        self.give_up_ms, rows = await self._moment()
        if self.give_up_ms is None:
            return False
        if now_ms < self.give_up_ms:
            plan = PlanMade(self._plan, self._deadline_ms, self.give_up_ms, revised=True, rows=rows)
            self._parts.emit(plan)
            return False
        self.given_up = True
        await self._parts.journal.read(send_all_now)
        now = self._parts.now()
        # Those of now: later ones are of rules that keep their rows in batches.
        self._cancel_due = {row.batch: now for row in batches}
        self._tell_given_up(batches)
        return True

    def wait_s(self, batches: Sequence[BatchRow]) -> float | None:
        """Seconds until there is something to do; None: nothing is known of."""
        if self.given_up:
            # Batches end by themselves then; only a cancel that failed is to be done.
            due = [self._cancel_due[row.batch] for row in self._to_cancel(batches)]
            return max(0.0, min(due) - self._parts.now()) if due else None
        if self.give_up_ms is None:
            return None
        return max(0.0, (self.give_up_ms - self._parts.wall_ms()) / 1000)

    def due(self, batches: Sequence[BatchRow]) -> list[BatchRow]:
        """Those of *batches* that are to be canceled now."""
        now = self._parts.now()
        return [row for row in self._to_cancel(batches) if self._cancel_due[row.batch] <= now]

    async def cancel(self, client: BatchClient, row: BatchRow) -> Batch | None:
        """Have *row*, which is due, canceled; None: it could not be, and may have
        ended.
        """
        self._cancel_due[row.batch] = self._parts.now() + _AGAIN_S
        try:
            batch = await client.cancel(row.id or "")
        except AttemptError:
            # Usually because it has ended just now: the next question tells.
            return None
        del self._cancel_due[row.batch]
        return batch

    def _to_cancel(self, batches: Sequence[BatchRow]) -> list[BatchRow]:
        # Only what is proved ours: others may be anybody's.
        return [
            row
            for row in batches
            if row.proved and row.id is not None and row.batch in self._cancel_due
        ]

    async def _moment(self) -> tuple[int | None, int]:
        """The last moment to give up, and the rows that wait for batches."""
        # Asked of the journal each time: what batches bring back is told by no event
        # here.
        waiting = await self._parts.journal.read(waiting_parts)
        # Of rules that keep their rows in batches nothing is sent at once.
        parts = [(n, of) for n, of in waiting.items() if self._plan.parts[n].kind != "kept"]
        if not parts:
            return None, 0
        shares = {n: of.weight / (self._plan.parts[n].weight or 1.0) for n, of in parts}
        needed_s = self._plan.cancel_s + self._plan.busy_s(shares)
        return self._by_ms - round(needed_s * 1000), sum(of.rows for _, of in parts)

    def _tell_given_up(self, batches: Sequence[BatchRow]) -> None:
        ours = [row for row in batches if row.proved]
        others = [row for row in batches if not row.proved]
        # Where none is out, only rows change their road: that is no news.
        if ours:
            which = counted(len(ours), "batch", "batches")
            rows = counted(sum(row.requests for row in ours), "row")
            have = "has" if len(ours) == 1 else "have"
            self._parts.emit(
                Notice(
                    "N115",
                    f"{which} with {rows} {have} not ended in time for "
                    f"{clock_text(self._deadline_ms)}: canceled, and rows without an answer are "
                    f"sent at once",
                )
            )
        if others:
            rows = counted(sum(row.requests for row in others), "row")
            self._parts.emit(
                Notice(
                    "W115",
                    f"{rows} may be in a batch that is not known to be ours until it ends: it is "
                    f"not canceled, and they are not sent again before",
                )
            )

    def _tell_late(self, now_ms: int) -> None:
        if not self._told_late and now_ms >= self._deadline_ms:
            self._told_late = True
            self._parts.emit(
                Notice(
                    "W116",
                    f"the deadline, {clock_text(self._deadline_ms)}, has passed; the run goes on "
                    f"with what is left",
                )
            )
