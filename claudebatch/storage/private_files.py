"""Files that only their owner can read, and never through another user's link or in
another user's folder.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import tempfile
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.core.os_faults import OsFault, os_fault

# A group or a world that may write to a folder can swap the files in it.
_OTHERS_WRITE = 0o022
_LINK = OsFault("it is a link", "name the file itself, or remove the link")
STATE_DIR, CACHE_DIR = "CLAUDEBATCH_STATE_DIR", "CLAUDEBATCH_CACHE_DIR"
"""The variables of the environment that name the folders of all runs."""


def private_dir(path: Path, *, named_by: str | None = None) -> Path:
    """*path* as a folder of ours, made if need be with its parents, each new one of
    mode 0700.

    Refuses a folder that belongs to another user or that others may write to: they
    could swap the files in it. *named_by* is the variable that can name another one.
    """
    try:
        missing = [*takewhile(lambda folder: not folder.is_dir(), (path, *path.parents))]
        # One by one: `parents=True` would leave the mode of parents to the umask.
        for folder in reversed(missing):
            _make_folder(folder)
        # New ones as well: another user may have made one in between.
        for folder in missing or (path,):
            _check_folder(folder, named_by)
    except OSError as error:
        fault = os_fault(error)
        fix = f"{fault.fix}; {named_by} names another place" if named_by else fault.fix
        raise StorageError(
            "E628", f"{path}: cannot make this folder: {fault.reason}", fix=fix
        ) from error
    return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        # What is there is no folder.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from error


def private_file(path: Path) -> Path:
    """*path* as a file of mode 0600, made empty if it is not there; refuses what
    `open_private` refuses.
    """
    os.close(open_private(path, os.O_RDWR))
    return path


def scratch_file(path: Path) -> Path:
    """As `private_file`, for what is to be written anew: of a second name of some other
    file only the name goes, or we would write into that one.
    """
    with suppress(FileNotFoundError):
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
            path.unlink()
    return private_file(path)


def check_companions(database: Path) -> None:
    """Refuse what SQLite would open beside *database* and did not make itself: a pipe,
    which it would wait for without an end, or a second name of some other file, which
    it would write to.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        path = database.with_name(database.name + suffix)
        try:
            facts = path.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(facts.st_mode):
            raise _not_ours(path, "is not a regular file")
        if facts.st_uid != os.geteuid():
            raise _not_ours(path, "belongs to another user")
        if facts.st_nlink > 1:
            # Of a backup by links, say. It may hold what was committed last.
            old, own = shlex.quote(str(path)), shlex.quote(f"{path}.own")
            raise StorageError(
                "E647",
                f"{path} is a second name of some file",
                fix=f"while no run goes on: cp -p {old} {own} && mv {own} {old}",
            )


def open_private(path: Path, flags: int) -> int:
    """A descriptor of the file at *path*, made with mode 0600 if it is not there.

    Refuses a symbolic link, anything but a regular file, and a file of another user,
    who could read everything written to it.
    """
    try:
        file = os.open(
            path,
            # The mode is set when the file is made: a later chmod would leave a moment
            # in which others can open it. NONBLOCK, or a planted pipe would block the
            # open for ever; NOCTTY, or a terminal could become ours.
            flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
            0o600,
        )
    except OSError as error:
        # The system's word for a link that must not be followed.
        fault = _LINK if error.errno == errno.ELOOP else os_fault(error)
        reason = f"{path}: cannot open this file: {fault.reason}"
        raise StorageError("E629", reason, fix=fault.fix) from error
    # Of the open file, not of its name: the name may point elsewhere by now.
    facts = os.fstat(file)
    if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid():
        return file
    os.close(file)
    why = "belongs to another user" if stat.S_ISREG(facts.st_mode) else "is not a regular file"
    raise _not_ours(path, why)


def _not_ours(path: Path, why: str) -> StorageError:
    return StorageError("E630", f"{path} {why}", fix="remove it, or choose another place")


def new_file(folder: Path, prefix: str, suffix: str, text: str) -> Path:
    """A file in *folder* that was not there before, of mode 0600, with *text* in it;
    raises `OSError`.
    """
    # `mkstemp` never opens an existing file and sets the mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return Path(name)


def sync_dir(path: Path) -> None:
    """Make a rename or a new file in *path* durable."""
    # Without it a power cut may undo a rename whose file was already fsynced.
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_folder(path: Path, named_by: str | None) -> None:
    setting = f" in {named_by}" if named_by else ""
    elsewhere = f"name one{setting} that is not there yet: it is made, for you alone"
    own, facts, link = os.geteuid(), path.stat(), path.lstat()
    # A link is as good as its owner: another user could point it elsewhere later.
    if facts.st_uid != own or (stat.S_ISLNK(link.st_mode) and link.st_uid not in (own, 0)):
        raise StorageError(
            "E631", f"{path} belongs to another user, so nothing is kept there", fix=elsewhere
        )
    if facts.st_mode & _OTHERS_WRITE:
        raise StorageError(
            "E632",
            f"{path}: other users can write to this folder, so nothing is kept there",
            fix=f"chmod 700 {path}, or {elsewhere}",
        )
