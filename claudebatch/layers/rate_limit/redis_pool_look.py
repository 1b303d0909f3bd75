"""The pools at the shared server, looked at from outside, and what a process that died
has left in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from claudebatch.core.reports.shared_state import SharedPool
from claudebatch.layers.rate_limit.redis_pool import NUMBERS, keys_of, names_key
from claudebatch.layers.rate_limit.redis_pool import cancelled as cancel_of
from claudebatch.storage.shared_server.client_names import process_of
from claudebatch.storage.shared_server.redis_server import ScriptServer
from claudebatch.storage.shared_server.script import Script

_FOLDER = Path(__file__).with_name("lua")
_LOOK = Script.read(_FOLDER, "pool.lua", "pool_look.lua", numbers=NUMBERS)
_FINISH = Script.read(_FOLDER, "pool.lua", "finish.lua", numbers=NUMBERS)
_NAMES = Script.read(_FOLDER, "pool_names.lua")
_KINDS = ("requests", "input tokens", "output tokens")


async def shared_pools(server: ScriptServer) -> list[SharedPool]:
    """Every pool that was used within a day, by name. Raises as the server does."""
    found = [await _seen(server, name) for name in await _names(server)]
    return [pool for pool, _ in found if pool is not None]


async def free_bookings(server: ScriptServer, clients: Collection[str]) -> int:
    """End all requests in flight of the processes *clients*, which are dead; returns
    how many there were. Their tokens count as used.
    """
    freed = 0
    for name in await _names(server):
        _, bookings = await _seen(server, name)
        for booking in bookings:
            if process_of(booking) in clients:
                await server.run(_FINISH, keys_of(server.prefix, name), *cancel_of(booking))
                freed += 1
    return freed


async def _names(server: ScriptServer) -> list[str]:
    found = await server.run(_NAMES, [names_key(server.prefix)])
    return sorted(name.decode() for name in found)


async def _seen(server: ScriptServer, name: str) -> tuple[SharedPool | None, list[str]]:
    """The pool called *name*, and its bookings; None: it is forgotten."""
    answer: list[Any] = await server.run(_LOOK, keys_of(server.prefix, name))
    if not answer:
        return None, []
    *levels, paused, most, bookings, users, turns = answer
    limits = {
        kind: (float(left), float(rate))
        for kind, left, rate in zip(_KINDS, levels[::2], levels[1::2], strict=True)
        if rate
    }
    names = _texts(bookings)
    pool = SharedPool(
        name,
        limits,
        paused_s=float(paused),
        most_in_flight=int(float(most)),
        in_flight=Counter(map(process_of, names)),
        waiting=dict(zip(_texts(users), map(float, turns), strict=True)),
    )
    return pool, names


def _texts(raw: Iterable[bytes]) -> list[str]:
    return [text.decode() for text in raw]
