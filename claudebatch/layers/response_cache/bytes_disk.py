"""diskcache without pickle: text keys, bytes values, and nothing else on write or on
read.

diskcache pickles what it does not know and unpickles what it reads (CVE-2025-69872, no
fixed release). A user who can write to the cache's folder could so run code. Every
other mode is refused here, and so is every file path that leaves the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import diskcache

from claudebatch.storage.private_files import private_dir

# diskcache's modes for values in the database and in files of their own. All others
# mean text or pickles.
_RAW, _BINARY = 1, 2


class RefusedEntry(ValueError):
    """Something other than plain bytes under a text key."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Text keys, bytes values; nothing is ever pickled or unpickled."""

    # Mutable: the files that wait for the end of a transaction.
    _replaced: list[str] | None = None

    def put(self, key: object) -> tuple[str, bool]:
        """The database's form of *key*."""
        if type(key) is not str:
            raise RefusedEntry(f"key is {type(key).__name__}, not str")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key that *key* stands for in the database."""
        if not raw or type(key) is not str:
            raise RefusedEntry("a key that is not plain text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> Any:
        """Keep *value*, in the database or, when large, in a file."""
        if read or type(value) is not bytes:
            raise RefusedEntry(f"value is {type(value).__name__}, not bytes")
        return super().store(value, False, key=key)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        """The bytes of one entry; refuses every mode and file path that `store` does
        not make.
        """
        if read or mode not in (_RAW, _BINARY):
            raise RefusedEntry(f"an entry of mode {mode}")
        if mode == _RAW:
            if type(value) is not bytes:
                raise RefusedEntry("a value that is not bytes")
            return value
        if not _lies_within(filename or ""):
            raise RefusedEntry("an entry whose file lies elsewhere")
        # Not through a link: it could lead to any file that this user can read.
        descriptor = os.open(
            Path(self._directory, filename or ""), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def remove(self, file_path: str) -> None:
        """Remove one entry's file; leaves alone what `store` cannot have made."""
        if not _lies_within(file_path):
            return
        if self._replaced is not None:
            self._replaced.append(file_path)
        else:
            super().remove(file_path)

    @contextmanager
    def removes_at_the_end(self) -> Iterator[None]:
        """Put this around a transaction of several writes: the files of entries that
        they replace are removed once it is committed, and not where it fails.

        diskcache itself removes each at once: until the commit, other runs find the
        entry and no file.
        """
        replaced: list[str] = []
        self._replaced = replaced
        try:
            yield
        finally:
            self._replaced = None
        for file_path in replaced:
            self.remove(file_path)

    def _write(
        self, full_path: str, iterator: Iterable[bytes], mode: str, encoding: str | None = None
    ) -> int:
        # diskcache would make folder and file with the user's umask: answers are
        # private.
        private_dir(Path(full_path).parent)
        descriptor = os.open(
            full_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            return sum(file.write(chunk) for chunk in iterator)


def _lies_within(filename: str) -> bool:
    path = PurePosixPath(filename)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
