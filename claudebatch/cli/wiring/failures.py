"""Failures of one of several runs: collected and reported, while the others go on."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from claudebatch.config import environment
from claudebatch.core.errors import ClaudebatchError, StorageError
from claudebatch.core.os_faults import os_fault, place_of
from claudebatch.ui.error_text import render_error
from claudebatch.ui.terminal import Terminal


class CollectedFailures:
    """Collects the failures of a command that works on several runs, one after the
    other.
    """

    def __init__(self) -> None:
        # Mutable: changed by `collect` only.
        self.met: list[ClaudebatchError] = []

    @contextmanager
    def collect(self, where: str) -> Iterator[None]:
        """Take in what fails within this block, which works on one run alone: that of
        the folder *where*.
        """
        try:
            yield
        except ClaudebatchError as failure:
            self.met.append(failure)
        except (OSError, sqlite3.Error, MemoryError) as failure:
            fault = os_fault(failure)
            reason = f"{where}: {place_of(failure)}{fault.reason}"
            self.met.append(StorageError("E030", reason, fix=fault.fix))

    def tell(self) -> None:
        """Tell all of them, and end the command with the gravest; nothing, where
        nothing failed.
        """
        if not self.met:
            return
        # The exit code is one number: the gravest wins, and is said last.
        *others, gravest = sorted(self.met, key=lambda failure: failure.exit_code)
        terminal = Terminal(sys.stderr, environment())
        for failure in others:
            terminal.tell(render_error(failure), style="error")
        raise gravest
