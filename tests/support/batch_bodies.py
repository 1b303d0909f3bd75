"""Bodies of batches, made of requests one by one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from claudebatch.clients.batch_upload import HEAD, TAIL, BatchUpload

_PIECE = 2**16


def body_length(requests: int, request_bytes: int) -> int:
    """The size of a body of so many *requests*, with *request_bytes* together."""
    return len(HEAD) + request_bytes + max(0, requests - 1) + len(TAIL)


def of_requests(
    requests: Iterable[bytes] | AsyncIterable[bytes], *, length: int | None = None
) -> BatchUpload:
    """A body of encoded *requests*, each taken when its turn comes; *length* is their
    `body_length`.
    """
    return BatchUpload(_joined(requests), length)


async def _joined(requests: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    piece, comma = bytearray(HEAD), b""
    async for request in _awaited(requests):
        piece += comma
        piece += request
        comma = b","
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece = bytearray()
    yield bytes(piece + TAIL)


async def _awaited(requests: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
