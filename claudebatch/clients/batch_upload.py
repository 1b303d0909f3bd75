"""The body of a new batch as it goes over the wire: piece by piece from wherever it is,
so that a quarter of a gigabyte takes no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEAD: Final = b'{"requests":['
TAIL: Final = b"]}"
# A write for each small request would cost more CPU than the request.
_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class BatchUpload:
    """The body of one create; it can be sent once."""

    pieces: AsyncIterator[bytes]
    length: int | None = None
    """Its size in bytes, sent as `content-length`; None: the body is sent in chunks,
    which a gateway may refuse.
    """


class UploadMismatch(ValueError):
    """A body that is longer or shorter than was said: it was not sent to its end."""


class Sending:
    """An upload on its way, and how far it has come."""

    def __init__(self, upload: BatchUpload, progress: Callable[[], None]) -> None:
        """*progress* is called when the connection takes a piece, and at the end."""
        self._upload = upload
        self._progress = progress
        # Mutable, changed by `__aiter__` only.
        self.complete = False
        """The last piece has left: from now on a batch may have been made."""
        self.failure: Exception | None = None
        """Why the upload itself could not go on; the transport would hide it."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent, length = 0, self._upload.length
        try:
            async for piece in self._upload.pieces:
                self._progress()
                sent += len(piece)
                if length is not None and sent > length:
                    raise UploadMismatch(f"the body is longer than the {length} bytes announced")
                # Before it leaves: a server may answer the moment it has everything.
                self.complete = sent == length
                yield piece
            if length is not None and sent < length:
                raise UploadMismatch(f"the body ends after {sent} of {length} bytes")
        except Exception as error:
            self.failure = error
            raise
        self.complete = True
        self._progress()


def encode_request(custom_id: str, params: bytes) -> bytes:
    """One request of a batch; *params* is the body of a Messages request, such as
    `Call.body`.
    """
    return b'{"custom_id":"%s","params":%s}' % (custom_id.encode("ascii"), params)


def of_file(path: Path) -> BatchUpload:
    """A body that lies whole in the file *path*."""
    return BatchUpload(_of_file(path), path.stat().st_size)


async def _of_file(path: Path) -> AsyncIterator[bytes]:
    # In a thread, because a network disk may take seconds for a piece.
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, 16 * _PIECE):
            yield piece
    finally:
        file.close()
