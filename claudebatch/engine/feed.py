"""The rows of one lane, a chunk at a time, read again from the input when their turn comes."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from claudebatch.domain import Call
from claudebatch.errors import BadRow, ClaudebatchError
from claudebatch.inputs import parse_line
from claudebatch.jsonl import read_at
from claudebatch.planning.workshop import Workshop
from claudebatch.stores.journal import RowRef

Pending: TypeAlias = Callable[[str, int, int], Awaitable[list[RowRef]]]
"""(lane, after, count) → the next *count* rows of *lane* after row number *after* that still need an answer."""


class Sources:
    """The input files, open for reading at any place."""

    def __init__(self, files: Sequence[Path], workshop: Workshop) -> None:
        self._names = [str(path) for path in files]
        self._descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in files]
        self._workshop = workshop

    def call(self, ref: RowRef) -> Call | None:
        """The call of one row; None when the line is no longer what was checked."""
        try:
            data = read_at(self._descriptors[ref.source], ref.offset, ref.length)
            prompt = parse_line(data, self._workshop.defaults, file=self._names[ref.source], line=ref.line)
        except (BadRow, ClaudebatchError, OSError):
            return None
        if prompt.digest != ref.digest:
            return None
        if prompt.id != ref.id:
            prompt = replace(prompt, id=ref.id)  # the ordinal among equals
        return self._workshop.builder.first(ref.row, prompt)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors:
            os.close(descriptor)


class Feed:
    """Hands one lane's calls to its workers, in input order."""

    def __init__(self, lane: str, pending: Pending, sources: Sources, *, chunk: int = 256) -> None:
        self._lane = lane
        self._pending = pending
        self._sources = sources
        self._chunk = chunk
        self._refilling = asyncio.Lock()
        # Mutable: rows at hand, the last one fetched, and rows whose line changed under us.
        self._rows: deque[RowRef] = deque()
        self._last = 0
        self._ended = False
        self.changed = 0

    async def take(self) -> Call | None:
        """The next call; None when the lane has no more."""
        while True:
            while not self._rows:
                if self._ended:
                    return None
                await self._refill()
            call = self._sources.call(self._rows.popleft())
            if call is not None:
                return call
            self.changed += 1

    async def _refill(self) -> None:
        async with self._refilling:
            if self._rows or self._ended:
                return
            rows = await self._pending(self._lane, self._last, self._chunk)
            self._ended = len(rows) < self._chunk
            self._rows.extend(rows)
            if rows:
                self._last = rows[-1].row
