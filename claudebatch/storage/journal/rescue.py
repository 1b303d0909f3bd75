"""Disk space that is taken early, for answers that come back when nothing else can be
written any more.

When the disk is full or the journal broken, requests in flight still bring answers that
are paid for. Those that never got into the journal are written here when the session
ends, over bytes that were set aside at its start, and go into the journal when the run
is opened again.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Usage
from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.records import (
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    HttpExchange,
)
from claudebatch.storage.journal.rescue_0_1_0 import by_name
from claudebatch.storage.journal.statements import write_outcomes
from claudebatch.storage.private_files import open_private, private_file

RESCUE = "rescue"
# Answers of a few thousand characters each, for some hundred requests in flight. Less
# would lose paid answers on a full disk; more is disk that every run lacks.
_ROOM_BYTES = 2 << 20
# The parts of an `AttemptRecord`, by name: JSON has no types of its own.
_PARTS: Mapping[str, Callable[..., Any]] = {
    "intent": AttemptIntent,
    "price": AttemptPrice,
    "usage": Usage,
    "http": HttpExchange,
}


class Rescue:
    """The disk space of one session; one thread at a time."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / RESCUE
        self._head = run_id.encode()
        self._saved = False
        self._descriptor: int | None = None
        # A disk that is too full for this already fails at the journal as well, and
        # that failure is the one to report.
        with suppress(OSError):
            self._descriptor = os.open(
                private_file(self._path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            )
            _take(self._descriptor)

    def save(self, outcomes: Sequence[AttemptRecord]) -> bool:
        """Write *outcomes* down; returns whether they are durable."""
        if self._descriptor is None:
            return False
        lines = [self._head, *map(_encoded, outcomes), b""]
        try:
            _write(self._descriptor, b"\n".join(lines))
            os.fsync(self._descriptor)
        except OSError:
            return False
        self._saved = True
        return True

    def close(self) -> None:
        """Remove the file, unless answers were saved in it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if not self._saved:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def absorb(folder: Path, run_id: str, journal: sqlite3.Connection) -> int:
    """Write the rescued answers of this run into its journal; returns their number."""
    path = folder / RESCUE
    data = _read(path)
    outcomes = list(_outcomes(data, run_id.encode()))
    journal.execute("BEGIN IMMEDIATE")
    write_outcomes(journal, outcomes)
    journal.execute("COMMIT")
    # After the commit. A crash before this line repeats the same updates, and changes
    # nothing.
    path.unlink(missing_ok=True)
    return len(outcomes)


def _read(path: Path) -> bytes:
    """What lies at *path*; nothing, where it is no file of ours: reading a pipe would
    never end, and a link leads anywhere.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise StorageError("E616", f"{path} is not a regular file", fix="remove it")
        with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _outcomes(data: bytes, run_id: bytes) -> Iterator[AttemptRecord]:
    # The file was filled with zeros when its space was taken: text ends at the first of
    # them.
    head, *lines = data.partition(b"\0")[0].split(b"\n")
    if head != run_id:
        # Of a run that was started over since: its numbers mean other attempts now.
        return
    for line in lines[:-1]:
        # A torn line is no answer; those around it still are.
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            yield _decoded(line)


def _encoded(outcome: AttemptRecord) -> bytes:
    body = None if outcome.body is None else base64.b64encode(outcome.body).decode()
    return json.dumps(asdict(outcome) | {"body": body}).encode()


def _decoded(line: bytes) -> AttemptRecord:
    members = json.loads(line)
    if isinstance(members, list):
        members = by_name(members)
    body = members.pop("body")
    parts = {name: make(**members.pop(name)) for name, make in _PARTS.items()}
    whole = None if body is None else base64.b64decode(body, validate=True)
    return AttemptRecord(**parts, **members, body=whole)


def _take(descriptor: int) -> None:
    # A file that is only extended has no blocks yet: writing into it would fail on a
    # full disk, which is the case that it is there for. macOS lacks the call, so zeros
    # are written.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
    else:
        _write(descriptor, bytes(_ROOM_BYTES))


def _write(descriptor: int, data: bytes) -> None:
    # One `pwrite` may write a part only, just on a disk that is full.
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)
