"""Opening the file of `--log`: private from its first byte, and never a file that is
something else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError, StorageError

# NOFOLLOW and NONBLOCK: a planted link would take the log elsewhere, a planted pipe
# would block the run for ever.
_FLAGS = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | os.O_NOFOLLOW
    | os.O_NONBLOCK
    | os.O_NOCTTY
    | os.O_CLOEXEC
)
# Errors of names that can never be a log: the command is wrong, exit 2. With any other
# error the disk is at fault, exit 6.
_OTHER_KINDS = {
    errno.EISDIR: "is a folder",
    errno.ELOOP: "is a link",
    errno.ENXIO: "is not a regular file",
}


def open_log(path: Path, *, head: bytes, taken: Iterable[Path]) -> int:
    """A descriptor that appends to *path*, made with mode 0600 if it is not there.

    Refuses the files and folders in *taken* and what lies in them, symbolic links,
    other people's files, and any file that has content which does not begin with
    *head*: whatever it is, it is no log.
    """
    if str(path) == "-":
        raise ClaudebatchError(
            "E625",
            "--log needs a file, not -",
            fix="--log FILE, or --json for events on stdout",
        )
    place = _resolved(path)
    for other in taken:
        # Appended events would destroy the run's own files.
        if place.is_relative_to(_resolved(other)):
            raise _refused(path, f"belongs to the run ({other})")
    try:
        file = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        if error.errno in _OTHER_KINDS:
            raise _refused(path, _OTHER_KINDS[error.errno]) from error
        raise StorageError(
            "E626", f"{path}: cannot open this log: {error.strerror}", fix="name another file"
        ) from error
    try:
        _check(file, path, head)
    except BaseException:
        os.close(file)
        raise
    return file


def _check(file: int, path: Path, head: bytes) -> None:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise _refused(path, "is not a regular file")
    if facts.st_uid != os.geteuid():
        raise _refused(path, "belongs to another user")
    if facts.st_size and os.pread(file, len(head), 0) != head:
        raise _refused(path, "exists and is not a log")
    if facts.st_size and os.pread(file, 1, facts.st_size - 1) != b"\n":
        # A line that a crash or a full disk has torn stays alone: joined to the next
        # event it would make both unreadable.
        os.write(file, b"\n")


def _resolved(path: Path) -> Path:
    # Only the folder: a link in the last place is refused when it is opened.
    return path.parent.resolve() / path.name


def _refused(path: Path, why: str) -> ClaudebatchError:
    return ClaudebatchError(
        "E627", f"{path} {why}; it cannot be the log", fix="name another file with --log"
    )
