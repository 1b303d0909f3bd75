"""The folder of one run, beside its results: journal, lock and, for piped input, the spooled prompts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from claudebatch.errors import LockedError, StorageError
from claudebatch.stores.files import private_dir, private_file
from claudebatch.stores.journal import open_journal

SUFFIX = ".claudebatch"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a run's lock."""

    pid: int
    host: str
    since: str


class RunDir:
    """One run's folder, locked for this process while it is open."""

    def __init__(self, path: Path, lock: FileLock, journal: sqlite3.Connection) -> None:
        self.path = path
        self.journal = journal
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, started: datetime, fresh: bool) -> RunDir:
        """Lock the folder at *path*, made if need be; *fresh* empties it first.

        Raises `LockedError` naming the live run that holds it, `StorageError` when it cannot be used.
        """
        private_dir(path)
        lock = FileLock(private_file(path / "lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise _locked(path) from error
        try:
            if fresh:
                _empty(path)
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": started.isoformat(timespec="seconds")}
            private_file(path / "owner.json").write_text(json.dumps(owner))
            return cls(path, lock, open_journal(path / "journal.sqlite"))
        except BaseException:
            lock.release()
            raise

    @property
    def spool(self) -> Path:
        """Where piped input is kept, so that the run can be resumed."""
        return self.path / "input.jsonl"

    def meta(self, key: str) -> Any:
        """What was noted under *key*; None if nothing was."""
        found = self.journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def has_attempts(self) -> bool:
        """Whether anything was ever sent for this run, or answered for it out of the cache."""
        found = self.journal.execute("SELECT EXISTS (SELECT 1 FROM attempts) OR EXISTS (SELECT 1 FROM results)")
        return bool(found.fetchone()[0])

    def note(self, **values: Any) -> None:
        """Note *values*, durably and together; inside a transaction of the caller, with all that it does."""
        own = not self.journal.in_transaction
        if own:
            self.journal.execute("BEGIN IMMEDIATE")
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self.journal.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        if own:
            self.journal.execute("COMMIT")

    def close(self) -> None:
        """Close the journal and let go of the lock."""
        self.journal.close()
        with contextlib.suppress(OSError):
            (self.path / "owner.json").unlink()
        self._lock.release()


def beside(output: Path) -> Path:
    """The run folder of the results file *output*."""
    return output.with_name(output.name + SUFFIX)


def _locked(path: Path) -> LockedError:
    try:
        owner = Owner(**json.loads((path / "owner.json").read_text()))
        who = f"process {owner.pid} on {owner.host}, started {owner.since}"
    except (OSError, ValueError, TypeError):
        who = "a process that has just started"
    return LockedError(
        f"{path}: another run holds this output: {who}", fix="wait for it or stop it, or write elsewhere with -o"
    )


def _empty(path: Path) -> None:
    try:
        for entry in path.iterdir():
            if entry.name in ("lock", "owner.json"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise StorageError(f"{path}: cannot start over: {error.strerror}", fix="remove the folder by hand") from error
