"""The lock of a run's folder: the death of its holder frees it, even if files in the
folder were removed or replaced.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from claudebatch.storage.private_files import private_file

PATIENCE_S = 0.3
"""Seconds that a second run waits: the first one has signed the folder by then, or is
gone if it was about to end.
"""
_LOOK_EVERY_S = 0.05


class FolderLock:
    """A lock file in the folder, and the folder itself.

    A user who removes the lock file of a live run would let a second run in beside it.
    The folder is locked as well, where the file system can do that (NFS cannot): a lock
    is on the thing, not on its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = FileLock(private_file(folder / "lock"))
        # Mutable: the open folder, while it is held.
        self._descriptor: int | None = None

    def acquire(self, *, patience_s: float = PATIENCE_S) -> bool:
        """Take the lock; False if another process still has it after *patience_s*."""
        try:
            # The file first: it works on file systems that cannot lock folders.
            self._file.acquire(timeout=patience_s, poll_interval=_LOOK_EVERY_S)
        except Timeout:
            return False
        try:
            free = self._lock_folder()
        except BaseException:
            self.release()
            raise
        if not free:
            self.release()
        return free

    def _lock_folder(self) -> bool:
        self._descriptor = os.open(
            self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # NFS and others lock no folders; the lock file alone must do
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
        self._file.release()
