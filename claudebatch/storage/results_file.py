"""The results file: derived from the journal, mended from the journal, never a second
truth.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from claudebatch.core.control_chars import json_for_eyes
from claudebatch.core.errors import ClaudebatchError, LockedError, StorageError
from claudebatch.core.os_faults import os_fault
from claudebatch.storage.private_files import open_private, scratch_file, sync_dir

# The whole file is compared at each start: small reads would cost a system call for
# nearly every line.
_READ_BYTES = 1 << 20
_STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@dataclass(frozen=True, slots=True)
class OutputRepair:
    """The changes that made the file agree with the journal."""

    torn: bool = False
    """The last line was cut short."""
    added: int = 0
    """Lines of the journal that the file lacked."""
    set_aside: Path | None = None
    """New name of the file, if it had been edited."""


class FileOutput:
    """Appends whole lines to the results file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        try:
            # The run's folder is locked already. This lock is for a file with two
            # names, or one whose folder was moved: two runs would mix their lines.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise LockedError(
                "E636", f"{path}: another run writes these results", fix="wait for it or stop it"
            ) from error
        except OSError:
            pass  # this file system has no such locks

    def append(self, lines: list[bytes]) -> None:
        """Write *lines*, all of them or raise `OSError`."""
        # One write for a group of lines: a reader that follows the file sees whole
        # lines.
        _write_all(self._descriptor, b"".join(lines))

    def close(self) -> None:
        """Make the file durable and close it."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)


class StreamOutput:
    """Writes whole lines to standard output; to a terminal so that no answer can steer
    it.
    """

    def append(self, lines: list[bytes]) -> None:
        """Write *lines*; raises `OSError` when the reader has gone."""
        # Past `sys.stdout`, whose buffer could still hold a line when the journal
        # already counts it as written. A pipe gets the exact bytes, a terminal escaped
        # control characters: an answer may contain sequences that steer it.
        descriptor, data = sys.stdout.fileno(), b"".join(lines)
        _write_all(descriptor, json_for_eyes(data) if os.isatty(descriptor) else data)

    def close(self) -> None:
        """Nothing is buffered here."""


def check_place(path: Path) -> None:
    """Refuse results anywhere but in a file: `--fresh` would move a folder or a device
    out of the way.
    """
    if path.as_posix() in _STANDARD_OUTPUT:
        raise ClaudebatchError("E637", f"{path} is standard output", fix="write -o - for it")
    if path.is_dir():
        raise ClaudebatchError(
            "E638", f"{path} is a folder, results need a file", fix="name a file in it with -o"
        )
    if not path.parent.exists():
        raise ClaudebatchError(
            "E646",
            f"the folder of {path} does not exist",
            fix=f"check the path, or make it: {shlex.join(('mkdir', '-p', str(path.parent)))}",
        )
    if path.is_symlink():
        raise ClaudebatchError(
            "E639",
            f"{path} is a link, and results are not written through links",
            fix="name the file itself with -o",
        )
    if path.exists() and not path.is_file():
        raise ClaudebatchError(
            "E640",
            f"{path} is not a regular file",
            fix="use -o - to write results to standard output",
        )


def mend(path: Path, lines: Iterable[bytes], *, rewrite: bool) -> OutputRepair:
    """Make the file at *path* hold exactly *lines*.

    A file that is a true beginning of them is completed. One that differs was edited:
    it is set aside, not lost. With *rewrite* the old content is known to be out of date
    and simply replaced.
    """
    stream = iter(lines)
    if rewrite or not path.exists():
        return OutputRepair(added=_replace(path, stream))
    end, first = _agreement(path, stream)
    rest = path.stat().st_size - end
    if first is None and rest == 0:
        return OutputRepair()
    with path.open("rb") as file:
        file.seek(end)
        tail = file.read(len(first) if first else rest)
    # A torn line is a beginning of the line that belongs there. Anything else is the
    # user's own text, and must not be cut off.
    if rest > len(tail) or not (first or b"").startswith(tail):
        return OutputRepair(set_aside=set_aside(path))
    return OutputRepair(torn=bool(tail), added=_complete(path, end, chain([first or b""], stream)))


def difference(path: Path, lines: Iterable[bytes]) -> str | None:
    """The difference of the file at *path* from *lines*; None: it holds exactly them.
    Changes nothing.
    """
    if not path.is_file():
        return "is not there"
    end, first = _agreement(path, lines)
    rest = path.stat().st_size - end
    if first is None:
        return f"holds {rest:,} bytes more than its run has written" if rest else None
    return f"differs from byte {end:,} on" if rest else "ends too early"


def _agreement(path: Path, stream: Iterable[bytes]) -> tuple[int, bytes | None]:
    """(bytes that agree, first line of *stream* that the file does not hold whole)."""
    end = 0
    with path.open("rb", buffering=_READ_BYTES) as file:
        for line in stream:
            if file.read(len(line)) != line:
                return end, line
            end += len(line)
    return end, None


def _complete(path: Path, end: int, lines: Iterable[bytes]) -> int:
    added = 0
    with path.open("r+b", buffering=_READ_BYTES) as file:
        # The torn beginning goes: completed in place, a wrong byte in it would stay.
        file.truncate(end)
        file.seek(end)
        for line in lines:
            file.write(line)
            added += 1
        file.flush()
        os.fsync(file.fileno())
    return added


def write_anew(
    path: Path, write: Callable[[BinaryIO], int], *, before: Callable[[Path], bool] | None = None
) -> int:
    """Let *write* make a new file, which takes the place of the one at *path* in one
    step; returns its result. A crash at any moment leaves the old file or the new one.

    *before* gets the new file's name once it is whole and durable, and may say no: then
    the old one stays. Raises `StorageError`.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with scratch_file(fresh).open("wb", buffering=_READ_BYTES) as file:
            count = write(file)
            file.flush()
            os.fsync(file.fileno())
        if before is None or before(fresh):
            fresh.replace(path)
            sync_dir(path.parent)
    except (OSError, sqlite3.Error) as error:  # a database is a form of results, too
        raise StorageError(
            "E641",
            f"{path}: cannot write the results: {os_fault(error).reason}",
            fix=os_fault(error).fix,
        ) from error
    finally:
        # Half a file is of no use, and may be what filled the disk.
        with suppress(OSError):
            fresh.unlink()
    return count


def _replace(path: Path, lines: Iterable[bytes]) -> int:
    def write(file: BinaryIO) -> int:
        count = 0
        for line in lines:
            file.write(line)
            count += 1
        return count

    return write_anew(path, write)


def set_aside(path: Path) -> Path:
    """Rename the file at *path*, which was edited; returns its new name."""
    number = 1
    # An earlier edited file must not be overwritten either.
    while (aside := path.with_name(f"{path.name}.edited-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        # A pipe or a disk that is nearly full takes a part only; the rest would be lost
        # without a word.
        view = view[os.write(descriptor, view) :]
