"""Files that only their owner can read, and never through somebody else's link."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

from claudebatch.errors import StorageError


def private_dir(path: Path) -> Path:
    """*path* as a folder, made if need be with its parents, each new one of mode 0700."""
    try:
        missing = takewhile(lambda folder: not folder.is_dir(), (path, *path.parents))
        for folder in reversed([*missing]):  # `parents=True` would leave the mode of parents to the umask
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot make this folder: {error.strerror}", fix="choose another place") from error
    return path


def private_file(path: Path) -> Path:
    """*path* as a file of mode 0600, made empty if it is not there. Refuses a symbolic link."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        reason = f"{path}: cannot open this file: {error.strerror}"
        raise StorageError(reason, fix="check its folder, its owner and the free space") from error
    return path


def sync_dir(path: Path) -> None:
    """Make a rename or a new file in *path* durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
