"""The rows of one lane, a chunk at a time, read again from the input when their turn
comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import coroutine
from typing import TypeAlias

from claudebatch.core.body_room import BodyRoom
from claudebatch.core.domain import Call, Prompt
from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import read_at
from claudebatch.engine.open_inputs import OpenInputs
from claudebatch.inputs import format_of, parse_line, under
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal import RowRef

# Longer lines are read one by one when their turn comes: a chunk of them must not fill
# the memory.
_BLOCK_BYTES = 1 << 16
# A whole chunk out of the cache without a turn of the loop would starve the fetching of
# the next one; a turn for each row costs more than the row.
_ROWS_A_TURN = 32

LookAhead: TypeAlias = Callable[[Sequence[Call]], Awaitable[None]]
"""Takes calls that are about to be made."""
Pending: TypeAlias = Callable[[str, int, int], Awaitable[list[RowRef]]]
"""(lane, after, count) → the next *count* rows of *lane* after row number *after* that
still need an answer.
"""


class InputSources:
    """The input files, open for reading at any place."""

    def __init__(
        self,
        files: Sequence[Path],
        names: Sequence[str],
        run_setup: RunSetup,
        *,
        large_rows: bool = False,
    ) -> None:
        """*names* are what results and messages call the *files*. *large_rows*: a row
        is more than its line, so none is read ahead.
        """
        self._names = names
        self._open = OpenInputs(files)
        self.large_rows = large_rows
        self._run_setup = run_setup
        self._forms = [
            format_of(path, run_setup.defaults, name=name)
            for path, name in zip(files, names, strict=True)
        ]

    def lines(self, refs: Sequence[RowRef]) -> list[bytes | None]:
        """The lines of *refs*, in as few reads as they lie together; None for one
        better read when its turn comes.
        """
        if self.large_rows:
            return [None] * len(refs)
        found: list[bytes | None] = []
        for block in _blocks(refs):
            start = block[0].offset
            data = self._read(block[0].source, start, block[-1].offset + block[-1].length - start)
            for ref in block:
                begin = ref.offset - start
                found.append(data[begin : begin + ref.length] if data is not None else None)
        return found

    def line(self, ref: RowRef) -> bytes | None:
        """The line of *ref*, however long; None where the file has become shorter."""
        return self._read(ref.source, ref.offset, ref.length, large=True)

    def call(self, ref: RowRef, data: bytes | None) -> Call | None:
        """The call of one row; None when its line is no longer what was checked."""
        prompt = self._prompt(ref, data)
        return None if prompt is None else self._run_setup.builder.first(ref.row, prompt)

    def _prompt(self, ref: RowRef, data: bytes | None) -> Prompt | None:
        if data is None:
            return None
        try:
            prompt = parse_line(
                data,
                self._run_setup.defaults,
                file=self._names[ref.source],
                line=ref.line,
                form=self._forms[ref.source],
            )
        except BadRow:
            return None
        # The file was edited during the run: the checks, the estimate and the cap were
        # for another prompt.
        if prompt.digest != ref.digest:
            return None
        # Prompts without an id of their own are numbered among their equals, and all of
        # them among their answers: the line alone does not say which of them it is.
        return under(prompt, ref.id)

    def _read(self, source: int, offset: int, length: int, *, large: bool = False) -> bytes | None:
        # A row beyond `--limit` may be of a file that is not given this time.
        if source >= len(self._forms) or (length > _BLOCK_BYTES and not large):
            return None
        try:
            return read_at(self._open.descriptor(source), offset, length)
        except (ClaudebatchError, OSError):
            # The file has become shorter, or is gone.
            return None

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def _blocks(refs: Sequence[RowRef]) -> Iterator[list[RowRef]]:
    """Runs of rows that lie together in one file, of at most `_BLOCK_BYTES` unless a
    single row is longer.
    """
    block: list[RowRef] = []
    for ref in refs:
        if block and not _together(block[0], block[-1], ref):
            yield block
            block = []
        block.append(ref)
    if block:
        yield block


def _together(first: RowRef, last: RowRef, ref: RowRef) -> bool:
    return (
        ref.source == first.source
        and ref.offset >= last.offset
        and ref.offset + ref.length - first.offset <= _BLOCK_BYTES
    )


@coroutine
def _turn() -> Generator[None, None, None]:
    """Let the event loop run everything else that is ready once."""
    yield


class RowFeed:
    """Hands one lane's calls to its workers, in input order.

    *look_ahead* gets a chunk of calls before the first of them is handed out, so that
    their answers can be looked up in one call. A row too large to be read ahead is in
    *room* from when it is handed out until it is `over`; none is read once the run has
    *stopped*.
    """

    def __init__(
        self,
        lane: str,
        pending: Pending,
        sources: InputSources,
        *,
        look_ahead: LookAhead,
        room: BodyRoom | None = None,
        stopped: Callable[[], bool] = lambda: False,
        chunk: int = 256,
    ) -> None:
        self.lane = lane
        self._room = room or BodyRoom()
        self._stopped = stopped
        self._pending = pending
        self._sources = sources
        self._look_ahead = look_ahead
        self._chunk = chunk
        # Eight workers that find nothing ready must not fetch eight chunks.
        self._refilling = asyncio.Lock()
        # Mutable: calls at hand (or rows too long to be read ahead), the last row
        # fetched, and how many rows were no longer what was checked.
        self._ready: deque[Call | RowRef] = deque()
        self._coming: asyncio.Future[tuple[list[Call | RowRef], bool]] | None = None
        self._last = 0
        self._ended = False
        self.changed = 0

    async def take(self) -> Call | None:
        """The next call; None when the lane has no more, or the run was stopped."""
        while True:
            while not self._ready:
                if self._ended:
                    return None
                await self._refill()
            call = self._ready.popleft()
            if len(self._ready) % _ROWS_A_TURN == 0:
                # Rows out of the cache never wait for anything: let the fetching of the
                # next chunk go on, too.
                await _turn()
            if isinstance(call, Call):
                return call
            async with self._room.one_at_a_time():
                if self._stopped():
                    return None
                read = await self._read_large(call)
            if read is not None:
                return read
            self.changed += 1

    def over(self, call: Call) -> None:
        """Nothing more happens to a call that was taken."""
        self._room.leave(call.row)

    async def _read_large(self, row: RowRef) -> Call | None:
        line = self._sources.line(row)
        if self._sources.large_rows:
            # Megabytes of files: the answers that come in must not wait for them.
            call = await asyncio.to_thread(self._sources.call, row, line)
        else:
            call = self._sources.call(row, line)
        if call is not None:
            await self._room.enter(row.row, len(call.body))
        return call

    async def close(self) -> None:
        """Fetch no more; call it when no worker takes any more."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait((coming,))

    async def _refill(self) -> None:
        async with self._refilling:
            if self._ready or self._ended:
                return
            self._coming = self._coming or asyncio.ensure_future(self._fetch())
            # Shielded: a worker that is called off must not lose the rows of the
            # others.
            chunk, self._ended = await asyncio.shield(self._coming)
            # The next chunk is fetched while this one is worked on.
            self._coming = None if self._ended else asyncio.ensure_future(self._fetch())
            self._ready.extend(chunk)

    async def _fetch(self) -> tuple[list[Call | RowRef], bool]:
        """The next chunk, and whether it is the last one."""
        rows = await self._pending(self.lane, self._last, self._chunk)
        if rows:
            self._last = rows[-1].row
        read = (
            self._read(row, data) for row, data in zip(rows, self._sources.lines(rows), strict=True)
        )
        chunk = [call for call in read if call is not None]
        # Before the rows are handed out: a look-up for each row costs a hop to the
        # cache's thread.
        await self._look_ahead([call for call in chunk if isinstance(call, Call)])
        return chunk, len(rows) < self._chunk

    def _read(self, row: RowRef, data: bytes | None) -> Call | RowRef | None:
        if data is None:
            return row
        call = self._sources.call(row, data)
        self.changed += call is None
        return call
