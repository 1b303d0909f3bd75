"""Room that is taken while there is some, for answers that come back when nothing else
can be written any more.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Usage
from claudebatch.storage.journal.records import (
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    HttpExchange,
)
from claudebatch.storage.journal.rescue_0_1_0 import by_name
from claudebatch.storage.journal.statements import write_outcomes
from claudebatch.storage.private_files import private_file

RESCUE = "rescue"
_ROOM_BYTES = 2 << 20
"""Answers of a few thousand characters each, for some hundred requests in flight."""
_PARTS: Mapping[str, Callable[..., Any]] = {
    "intent": AttemptIntent,
    "price": AttemptPrice,
    "usage": Usage,
    "http": HttpExchange,
}
"""The parts of an `AttemptRecord`, by name."""


class Rescue:
    """The room of one session; one thread at a time."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / RESCUE
        self._head = run_id.encode()
        self._kept = False
        self._descriptor: int | None = None
        with suppress(OSError):  # too full already for that much: the journal will say so
            self._descriptor = os.open(
                private_file(self._path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            )
            _take(self._descriptor)

    def save(self, outcomes: Sequence[AttemptRecord]) -> bool:
        """Write *outcomes* down; whether they are durable."""
        if self._descriptor is None:
            return False
        lines = [self._head, *map(_encoded, outcomes), b""]
        try:
            _write(self._descriptor, b"\n".join(lines))
            os.fsync(self._descriptor)
        except OSError:
            return False
        self._kept = True
        return True

    def close(self) -> None:
        """Give the room back, unless something is kept in it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if not self._kept:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def absorb(folder: Path, run_id: str, journal: sqlite3.Connection) -> int:
    """Write what was rescued for this run into its journal; returns how many answers
    that were.
    """
    path = folder / RESCUE
    try:
        data = path.read_bytes()
    except OSError:
        return 0
    outcomes = list(_outcomes(data, run_id.encode()))
    journal.execute("BEGIN IMMEDIATE")
    write_outcomes(journal, outcomes)
    journal.execute("COMMIT")
    path.unlink(missing_ok=True)  # done twice it would change nothing
    return len(outcomes)


def _outcomes(data: bytes, run_id: bytes) -> Iterator[AttemptRecord]:
    head, *lines = data.partition(b"\0")[0].split(b"\n")
    if head != run_id:
        return  # of a run that was started over since
    for line in lines[:-1]:
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # torn
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
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
    else:
        _write(descriptor, bytes(_ROOM_BYTES))


def _write(descriptor: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)
