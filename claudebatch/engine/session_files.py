"""The files that a session writes, opened and closed in an order that loses nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from claudebatch.core.errors import JournalFailed, OutputFailed
from claudebatch.core.os_faults import os_fault
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.session_output import Lines
from claudebatch.storage.journal import Journal
from claudebatch.storage.journal.rescue import Rescue
from claudebatch.storage.ledger import LedgerWriter


class SessionFiles:
    """Journal, results and ledger of a session, and room for answers that find no place
    in them.
    """

    def __init__(
        self,
        run: OpenRun,
        *,
        output: Lines,
        ledger: LedgerWriter,
        on_failure: Callable[[str], None],
    ) -> None:
        """*on_failure* is called in the journal's thread, with the reason."""
        self._output = output
        self._ledger = ledger
        self._rescue = Rescue(run.folder.path, run.run_id)
        self.journal = Journal(
            run.folder.journal,
            output=output,
            ledger=ledger,
            on_failure=on_failure,
            rescue=self._rescue.save,
        )

    async def close(self) -> None:
        """Write everything down. A failure is the journal's, as it would have been
        during the run.
        """
        await self.journal.close()
        # Before the others: the journal may have used it up to its last moment.
        self._rescue.close()
        self._close_output()
        self._close_ledger()

    def _close_output(self) -> None:
        try:
            self._output.close()
        except OSError as error:
            self.journal.fail(
                OutputFailed(
                    "E707",
                    f"the results cannot be written: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )

    def _close_ledger(self) -> None:
        try:
            self._ledger.close()
        except sqlite3.Error as error:
            self.journal.fail(
                JournalFailed(
                    "E708",
                    f"the spend ledger cannot be written: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )
