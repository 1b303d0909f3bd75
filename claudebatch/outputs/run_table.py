"""The results file of a run in a form that is written whole, such as a table: made from
the journal at the end of every session, and known again by its digest.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from claudebatch.outputs.forms import OutputForm, form_of
from claudebatch.outputs.line_values import ResultLines
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.write import write_results
from claudebatch.storage.journal.newest_results import newest_lines, results_mark
from claudebatch.storage.journal.queries import result_lines
from claudebatch.storage.results_file import difference, set_aside, write_anew
from claudebatch.storage.run_folder import RunFolder

_NOTE = "table"
SCRATCH = ".scratch"
"""The end of the name of a file that is made beside a database and removed again."""


class Written(NamedTuple):
    """What became of a results file that was written whole."""

    results: int
    changed: bool
    """Whether the file is another one now."""
    set_aside: Path | None
    """New name of the file that was there, if it had been edited."""


class RunTable:
    """A run's results file, other than JSON lines.

    The journal notes the digests that the file may have: two while a new one takes the
    place of the old one. Any other file was edited, and is set aside, never lost.
    """

    def __init__(self, run: RunFolder, path: Path, form: OutputForm, layout: TableLayout) -> None:
        self._run = run
        self._path = path
        self._form = form
        self._layout = layout

    @classmethod
    def noted(cls, run: RunFolder, path: Path) -> RunTable | None:
        """The one that the last session of *run* wrote or was to write; None where its
        results are JSON lines.
        """
        note = run.meta(_NOTE)
        if not note:
            return None
        columns = note["columns"]
        layout = TableLayout(None if columns is None else tuple(columns), note["escape"])
        return cls(run, path, form_of(None, note["form"]), layout)

    def prepare(self) -> Path | None:
        """Note what the file is to be, before anything is sent, and bring an older one
        up to date; returns the new name of an edited one.
        """
        current = self._is_current()
        aside = self._put_edited_aside()
        self._note(self._digests(), self._mark() if current else None)
        _, results = results_mark(self._run.journal)
        if not current and (results or aside is not None or self._path.exists()):
            self._write()
        return aside

    def finish(self) -> Path | None:
        """Write the file, unless it is up to date; as `prepare`."""
        return None if self._is_current() else self.rebuild().set_aside

    def rebuild(self) -> Written:
        """Write the file, whatever it holds. Raises `StorageError`."""
        aside = self._put_edited_aside()
        results, changed = self._write()
        return Written(results, changed, aside)

    def difference(self) -> str | None:
        """What is wrong with the file; None: nothing, or the run's next session writes
        it anew.
        """
        if self._mark() != results_mark(self._run.journal):
            return None
        if not self._path.is_file():
            return "is not there"
        return None if self._is_ours() else "was changed after it was written"

    def forget(self) -> bool:
        """Have the results be JSON lines from now on; returns whether the file was as
        it was written, so that lines may take its place.
        """
        ours = self._path.is_file() and self._is_ours()
        self._run.note(**{_NOTE: None})
        return ours

    def _write(self) -> tuple[int, bool]:
        """(results in the file, whether it changed)."""
        journal, changed = self._run.journal, True
        mark = results_mark(journal)
        old = self._digests()
        new = ""

        def take_place(fresh: Path) -> bool:
            nonlocal changed, new
            new = _digest(fresh)
            changed = not self._path.is_file() or _digest(self._path) != new
            # Before the rename: a crash on either side of it finds a file of ours.
            self._note([*old, new], None)
            return changed

        scratch = self._path.with_name(self._path.name + SCRATCH)
        lines = table_lines(journal)
        write = partial(write_results, lines, self._form, self._layout, scratch=scratch)
        count = write_anew(self._path, write, before=take_place)
        self._note([new], mark, stale=False)
        return count, changed

    def _put_edited_aside(self) -> Path | None:
        if not self._path.is_file() or self._is_ours():
            return None
        return set_aside(self._path)

    def _is_ours(self) -> bool:
        """Whether the file is as a session of this run wrote it."""
        if self._run.meta(_NOTE):
            return _digest(self._path) in self._digests()
        # Lines of an earlier session, or of a rehearsal, which are replaced.
        if self._run.meta("stale") or not self._path.stat().st_size:
            return True
        ordered = bool(self._run.meta("ordered"))
        return difference(self._path, result_lines(self._run.journal, ordered=ordered)) is None

    def _is_current(self) -> bool:
        note: Mapping[str, Any] = self._run.meta(_NOTE) or {}
        if self._run.meta("stale") or any(note.get(k) != v for k, v in self._settings().items()):
            return False
        return (
            self._mark() == results_mark(self._run.journal)
            and self._path.is_file()
            and self._is_ours()
        )

    def _digests(self) -> list[str]:
        return list((self._run.meta(_NOTE) or {}).get("digests", ()))

    def _mark(self) -> list[int] | None:
        mark: list[int] | None = (self._run.meta(_NOTE) or {}).get("mark")
        return mark

    def _settings(self) -> dict[str, Any]:
        columns = self._layout.columns
        return {
            "form": self._form.name,
            "columns": None if columns is None else list(columns),
            "escape": self._layout.escape,
        }

    def _note(self, digests: list[str], mark: list[int] | None, **more: Any) -> None:
        note = {**self._settings(), "digests": digests, "mark": mark}
        self._run.note(**{_NOTE: note}, **more)


def table_lines(journal: sqlite3.Connection) -> ResultLines:
    """The newest result of each row, in the order of the input."""

    def lines(messages: bool) -> Iterator[bytes]:
        return newest_lines(journal, ordered=True, messages=messages)

    return lines


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
