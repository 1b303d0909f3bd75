"""Rows that were answered, or are in a batch, with other settings than those of this
session: a model, a system prompt, `max_tokens`, rules. They keep their answers, and
never without a word.
"""

from __future__ import annotations

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.setup.request_settings import differences, keys_made_by, request_settings
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal import IndexReport
from claudebatch.storage.journal.queries import finished_rows
from claudebatch.storage.run_folder import RunFolder

IN_BATCHES = "in_batches_otherwise"
"""The note of a run with rows in batches that were asked with other settings."""


class OtherSettings:
    """What the run's folder knows of them, and what is said about it."""

    def __init__(self, options: RunOptions, run_setup: RunSetup, folder: RunFolder) -> None:
        self._options = options
        self._folder = folder
        self._settings = request_settings(options, run_setup)

    @property
    def to_be_redone(self) -> bool:
        """Whether there are such rows, and they are to be asked again."""
        return self._options.redo == "changed" and self._rows + self.in_batches > 0

    @property
    def in_batches(self) -> int:
        """How many were in batches when the input was looked at last."""
        return int(self._folder.meta(IN_BATCHES) or 0)

    def same_keys(self, key_scope: str) -> bool:
        """Whether the index has the keys that equal requests have now."""
        return bool(self._folder.meta("keys_made_by") == keys_made_by(key_scope))

    def note(self, report: IndexReport, key_scope: str, limit: int | None) -> None:
        """Keep what a new look at the input has found; raises like `require_news`."""
        self._folder.note(
            asked_otherwise=report.asked_otherwise,
            keys_made_by=keys_made_by(key_scope),
            **{IN_BATCHES: report.in_batches_otherwise},
        )
        if not (report.changed or report.removed):
            self.require_news(limit)
        kept = report.asked_otherwise or report.in_batches_otherwise
        if not kept or self._folder.meta("request") is None:
            self._folder.note(request=self._settings)

    def require_news(self, limit: int | None) -> None:
        """Refuse a command that would do nothing, though it says something new: all of
        the first *limit* rows have answers, with other settings.
        """
        if not self._rows:
            return  # the count of finished rows looks at every row
        finished = finished_rows(
            self._folder.journal,
            limit=limit,
            retry_failed=self._options.retry_failed,
            retry_cut=self._options.retry_cut,
        )
        if self._rows == finished:
            rows = "the only row was" if finished == 1 else f"all {finished:,} rows were"
            raise ClaudebatchError(
                "E603",
                f"{rows} answered with a different {self._difference}; nothing was sent",
                fix="-o FILE asks again into another file; --redo changed asks again here",
            )

    def report(self, emit: Emit) -> None:
        """Say so, in every session."""
        if asked := self._rows + self.in_batches:
            rows = counted(asked, "row was", "rows were")
            # Of a batch the answers may be there by now, or not.
            done = "asked" if self.in_batches else "answered"
            emit(
                Notice(
                    "W038",
                    f"{rows} {done} with a different {self._difference} and kept: -o FILE asks "
                    f"all into another file, --redo changed asks these again",
                )
            )

    @property
    def _rows(self) -> int:
        return int(self._folder.meta("asked_otherwise") or 0)

    @property
    def _difference(self) -> str:
        return differences(self._folder.meta("request") or {}, self._settings)
