"""Look-ups for callers without an event loop: the estimate and the repair of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from claudebatch.layers.response_cache.store import CacheStore

LookUp: TypeAlias = Callable[[Sequence[str]], Sequence[bytes | None]]
"""The values under some keys, one for each, at once."""


@contextmanager
def blocking_look_up(store: CacheStore | None) -> Iterator[LookUp]:
    """Look-ups in *store*, which is closed at the end; None: nothing is found."""
    if store is None:
        yield lambda keys: [None] * len(keys)
        return
    with asyncio.Runner() as runner:
        try:
            yield lambda keys: runner.run(store.get_many(keys))
        finally:
            runner.run(store.close())
