"""The money of one session: the run's own cap, and those that it shares with all other
runs of this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from claudebatch.core.domain import usd_text
from claudebatch.core.drain import Drain
from claudebatch.core.events import Emit, Notice
from claudebatch.core.shared_cap import SharedCap
from claudebatch.engine.dependencies import RunDependencies
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.budget.settings import BudgetSettings
from claudebatch.layers.budget.shared_budget import SharedBudget
from claudebatch.storage.journal import Journal, Totals
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.settle import settle_for_others
from claudebatch.storage.ledger.shared_caps import SharedCaps


class SessionBudget:
    """The budget that the layers draw from, opened and closed with the session."""

    def __init__(
        self,
        settings: BudgetSettings,
        run_id: str,
        before: Totals,
        dependencies: RunDependencies,
        drain: Drain,
    ) -> None:
        """*before*: what earlier sessions of the run have spent."""
        self._dependencies = dependencies
        self._drain = drain
        self._run_id = run_id
        self._overshoot = settings.overshoot
        self.own = RunBudget(
            settings.cap,
            spent=before.spent + before.unknown,
            overshoot=self._overshoot,
            waits=drain,
        )
        # Mutable: set by `open`.
        self._shared: SharedBudget | None = None

    async def open(
        self, caps: tuple[SharedCap, ...], journal: Journal, *, today: Callable[[], str], emit: Emit
    ) -> RunBudget | SharedBudget:
        """The budget under the run's own cap and *caps*."""
        if self._overshoot:
            emit(
                Notice(
                    f"budget.mode is expected: the cap may be passed by up to "
                    f"${usd_text(self._overshoot)}"
                )
            )
        if not caps:
            return self.own
        path = self._dependencies.paths.ledger
        self._shared = SharedBudget(
            self.own,
            SharedCaps.open(path, self._run_id, caps),
            today=today,
            now=self._dependencies.now,
            waits=self._drain,
            emit=emit,
            flush=journal.flush_ledger,
            settle_dead=lambda runs: _settle_dead(path, runs),
        )
        await self._shared.begin()
        return self._shared

    async def close(self, *, told: bool) -> None:
        """Give back what is left; *told*: the ledger has heard of all that was spent."""
        if self._shared is not None:
            await self._shared.close(complete=told)


def _settle_dead(ledger: Path, runs: list[str]) -> None:
    with closing(open_ledger(ledger)) as connection:
        for run in runs:
            settle_for_others(connection, run)
