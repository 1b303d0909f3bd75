"""The folder of one run, beside its results: journal, lock and, for piped input, the
spooled prompts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from claudebatch.core.errors import ClaudebatchError, LockedError, StorageError
from claudebatch.storage.folder_lock import FolderLock
from claudebatch.storage.journal import open_journal
from claudebatch.storage.journal.replacement import (
    JOURNAL,
    discard_replacement,
    open_replacement,
    replace_journal,
)
from claudebatch.storage.journal.rescue import RESCUE
from claudebatch.storage.private_files import private_dir, scratch_file
from claudebatch.storage.run_meta import read_note

SUFFIX = ".claudebatch"
_JUST_STARTED = "a process that has just started"


@dataclass(frozen=True, slots=True)
class FolderOwner:
    """The process that holds a run's lock."""

    pid: int
    host: str
    since: str


class RunFolder:
    """One run's folder, locked for this process while it is open."""

    def __init__(
        self, path: Path, lock: FolderLock, journal: sqlite3.Connection, *, replaces: bool = False
    ) -> None:
        self.path = path
        self._lock = lock
        # Mutable: the journal, and whether it must still replace an older one; changed
        # by `start_over` and `take_over`.
        self.journal = journal
        self._replaces = replaces

    @classmethod
    def open(cls, path: Path, *, started: datetime, fresh: bool) -> RunFolder:
        """Lock the folder at *path*, made if need be; *fresh* starts over, whatever it
        holds: see `take_over`.

        Raises `LockedError` naming the live run that holds it, `StorageError` when it
        cannot be used.
        """
        if path.is_symlink():
            raise StorageError(
                "E642",
                f"{path} is a link, and runs are not kept behind links",
                fix="remove it, or write to another place",
            )
        lock = FolderLock(private_dir(path))
        if not lock.acquire():
            raise _locked(path)
        try:
            # Under the lock: only its holder may say who holds it.
            _sign(path, started)
            if fresh:
                return cls(path, lock, open_replacement(path), replaces=True)
            return cls(path, lock, open_journal(path / JOURNAL))
        except BaseException:
            _unsign(path)
            lock.release()
            raise

    @classmethod
    def take(cls, path: Path) -> RunFolder | Literal["alive"] | None:
        """The folder at *path* of a run that has ended or died, locked; None where
        there is no run any more.
        """
        if path.is_symlink() or not (path / "journal.sqlite").is_file():
            return None
        lock = FolderLock(private_dir(path))
        if not lock.acquire(patience_s=0.0):
            return "alive"
        try:
            return cls(path, lock, open_journal(path / "journal.sqlite"))
        except BaseException:
            lock.release()
            raise

    @property
    def spool(self) -> Path:
        """The copy of piped input, so that the run can be resumed."""
        return self.path / "input.jsonl"

    def meta(self, key: str) -> Any:
        """The note under *key*; None without one. Raises `StorageError` for a damaged
        note.
        """
        return read_note(self.journal, self.path, key)

    def has_attempts(self) -> bool:
        """Whether anything was ever sent for this run, or answered for it out of the
        cache.
        """
        found = self.journal.execute(
            "SELECT EXISTS (SELECT 1 FROM attempts) OR EXISTS (SELECT 1 FROM results)"
        )
        return bool(found.fetchone()[0])

    def note(self, **values: Any) -> None:
        """Note *values*, durably and together; inside a transaction of the caller, as
        part of it.
        """
        own = not self.journal.in_transaction
        if own:
            self.journal.execute("BEGIN IMMEDIATE")
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self.journal.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        if own:
            self.journal.execute("COMMIT")

    def start_over(self) -> None:
        """Begin a new journal; the old one stays what it is until `take_over`."""
        self.journal.close()
        self.journal = open_replacement(self.path)
        self._replaces = True

    def predecessor(self) -> RunFolder | None:
        """The run that this one is about to replace, under this one's lock: only its
        journal is to be closed.
        """
        if not self._replaces or not (self.path / JOURNAL).is_file():
            return None
        return RunFolder(self.path, self._lock, open_journal(self.path / JOURNAL))

    def take_over(self) -> None:
        """Let a journal that was begun anew take the place of the old one, in one step
        that lasts.
        """
        if self._replaces:
            self.journal = replace_journal(self.path, self.journal)
            self._replaces = False

    def erase(self) -> None:
        """Close, and remove what runs put into their folder; a folder that holds
        nothing else is removed, too.
        """
        self.journal.close()
        for entry in self.path.iterdir():
            # Only files of known names: the user may have put others beside them.
            if entry.name in _MADE_HERE or entry.name.startswith("journal.sqlite"):
                entry.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self._lock.release()

    def close(self) -> None:
        """Close the journal and let go of the lock; a new journal that never took over
        is gone.
        """
        self.journal.close()
        if self._replaces:
            discard_replacement(self.path)
        _unsign(self.path)
        self._lock.release()


_MADE_HERE = ("lock", "owner.json", "owner.json.new", "input.jsonl", "input.jsonl.new", RESCUE)


def owner(path: Path) -> FolderOwner | None:
    """The process that signed the folder at *path*; None without one, or if it is dead.

    Good for messages only: the lock decides.
    """
    try:
        found = FolderOwner(**json.loads((path / "owner.json").read_text()))
        return found if found.host != socket.gethostname() or _lives(found.pid) else None
    except (OSError, ValueError, TypeError):
        return None


def beside(output: Path) -> Path:
    """The run folder of the results file *output*; raises `ClaudebatchError` for a name
    that cannot be a file's.
    """
    if not output.name:
        raise ClaudebatchError(
            "E643",
            f'"{output}" is not a results file',
            fix="name one, or see `claudebatch runs list`",
        )
    return output.with_name(output.name + SUFFIX)


def _sign(path: Path, started: datetime) -> None:
    """Say which process holds the folder."""
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": started.isoformat(timespec="seconds"),
    }
    # By a rename, so that a second run never reads half of it.
    fresh = scratch_file(path / "owner.json.new")
    fresh.write_text(json.dumps(owner))
    fresh.replace(path / "owner.json")


def _unsign(path: Path) -> None:
    with contextlib.suppress(OSError):
        (path / "owner.json").unlink()


def _locked(path: Path) -> LockedError:
    try:
        owner = FolderOwner(**json.loads((path / "owner.json").read_text()))
        who = f"process {owner.pid} on {owner.host}, started {owner.since}"
        if owner.host == socket.gethostname() and not _lives(owner.pid):
            # It has the lock, but the name is still that of a dead process before it.
            who = _JUST_STARTED
    except (OSError, ValueError, TypeError, RecursionError):
        who = _JUST_STARTED
    return LockedError(
        "E644",
        f"{path}: another run is using this output: {who}",
        fix="wait for it or stop it, or write to another place with -o",
    )


def _lives(pid: int) -> bool:
    try:
        # Signal 0 only asks whether the process exists.
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        # A damaged or planted number, larger than any process has.
        return False
    except PermissionError:
        # It exists, and belongs to another user.
        pass
    return True
