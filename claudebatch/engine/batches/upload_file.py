"""The body of a batch on disk, until it was sent: a hundred thousand requests take no
memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

from claudebatch.clients.batch_upload import HEAD, TAIL
from claudebatch.storage.private_files import private_file

NAME = "batch-upload.json"


class UploadFile:
    """Writes requests one behind the other; `close` makes a whole body of them."""

    def __init__(self, path: Path) -> None:
        """*path* is made anew, for its owner only."""
        # What a crash left there is of another batch, and may be of another mode.
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self.path = private_file(path)
        self._file: BinaryIO = path.open("r+b")
        self._file.write(HEAD)
        # Mutable: what the body holds so far.
        self.requests = 0
        self.size = len(HEAD) + len(TAIL)

    def add(self, requests: Iterable[bytes]) -> None:
        """Append encoded requests."""
        for request in requests:
            if self.requests:
                self._file.write(b",")
            self._file.write(request)
            self.size += len(request) + (self.requests > 0)
            self.requests += 1

    def finish(self) -> Path:
        """End the body; returns its place."""
        self._file.write(TAIL)
        self._file.flush()
        self._file.close()
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file; after an error it is removed."""
        self._file.close()
        # Prompts do not lie about on disk longer than they must.
        if kind is not None:
            remove(self.path)


def remove(path: Path) -> None:
    """Remove an upload that is not needed any more."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108  # as it is: a link is not followed
