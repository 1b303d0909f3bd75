"""Which stores are used: chosen here and nowhere else.

Layers, engine, estimate and commands know protocols only. A store on another host is
one more implementation, and a line in this file.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Pico
from claudebatch.core.drain import Drain
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.reports import CacheStats, CacheYield, SpendLine
from claudebatch.layers.budget.redis_budget import RedisBudget
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.budget.settings import BudgetSettings
from claudebatch.layers.budget.shared_budget import SharedBudget
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.rate_limit.local_pool import open_local_pool
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.store import LimiterStore, PoolStart
from claudebatch.layers.record.attempt_log import AttemptLog
from claudebatch.layers.record.journal_log import JournalLog
from claudebatch.layers.response_cache import disk_admin
from claudebatch.layers.response_cache.adopt import Worth
from claudebatch.layers.response_cache.disk_store import DATABASE, DiskCacheStore
from claudebatch.layers.response_cache.handed_over import (
    HANDED_OVER_BYTES,
    HANDED_OVER_S,
    HandedOver,
)
from claudebatch.layers.response_cache.redis_store import RedisCacheStore
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.settings import CacheSettings
from claudebatch.layers.response_cache.store import CacheStore, Claims
from claudebatch.storage.journal import Journal
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.known_spend import KnownSpend, known_spend
from claudebatch.storage.ledger.settle import settle_for_others
from claudebatch.storage.ledger.shared_caps import SharedCaps
from claudebatch.storage.ledger.spend_report import SpendReader
from claudebatch.storage.shared_server.redis_server import ScriptServer

# Larger than any disk: a look at a cache must not shrink it.
_NO_LIMIT = 2**40


def open_cache(
    settings: CacheSettings,
    folder: Path,
    *,
    notify: Callable[[Notice], None],
    notes: RequestNotes | None = None,
    since: float = 0.0,
    shared: ScriptServer | None = None,
) -> CacheStore | None:
    """The response cache of a run; None where it is switched off.

    *notify* may be called in another thread; *notes* are written beside the answers.
    Answers of before *since*, in Unix seconds, are not found. It stands at the *shared*
    server where the settings say so.
    """
    if not settings.enabled:
        return None
    # Answers are to be asked for anew: those of other hosts are no newer.
    sharing = "off" if shared is None or since else settings.shared
    if shared is not None and sharing == "answers":
        return RedisCacheStore(
            shared, size_limit=settings.size_bytes, ttl_s=settings.ttl_s, notify=notify
        )
    disk = DiskCacheStore(
        folder,
        size_limit=settings.size_bytes,
        ttl_s=settings.ttl_s,
        notify=notify,
        notes=notes,
        since=since,
    )
    if shared is None or sharing == "off":
        return disk
    most = min(settings.size_bytes, HANDED_OVER_BYTES)
    return HandedOver(
        disk, RedisCacheStore(shared, size_limit=most, ttl_s=HANDED_OVER_S, notify=notify)
    )


def claims_of(store: CacheStore | None) -> Claims | None:
    """Who of several hosts asks for an answer, where *store* knows of more than one."""
    return store if isinstance(store, RedisCacheStore | HandedOver) else None


def is_here(store: CacheStore | None) -> bool:
    """Whether *store* has its answers on this machine, and notes beside them."""
    return not isinstance(store, RedisCacheStore)


def open_throwaway_cache(
    settings: CacheSettings, folder: Path, *, notify: Callable[[Notice], None]
) -> CacheStore | None:
    """The cache of one rehearsal in *folder*, which goes when it is closed; None where
    caching is switched off.
    """
    store = open_cache(settings, folder, notify=notify)
    return None if store is None else _Throwaway(store, folder)


class _Throwaway:
    """A `CacheStore` whose folder is removed at the end."""

    def __init__(self, store: CacheStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self.get = store.get
        self.get_many = store.get_many
        self.put_many = store.put_many

    async def close(self) -> None:
        await self._store.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def existing_cache(folder: Path) -> CacheStore | None:
    """The response cache for look-ups only; None where there is none yet."""
    if not cache_database(folder).exists():
        return None
    return DiskCacheStore(folder, size_limit=_NO_LIMIT, ttl_s=None, notify=lambda _: None)


def cache_database(folder: Path) -> Path:
    """The file of the response cache that a look at the machine can check."""
    return folder / DATABASE


def cache_stats(
    settings: CacheSettings, folder: Path, *, ledger: SpendReader, worth: Worth, now: float
) -> CacheStats:
    """The entries of the response cache in figures, and what it saved; *worth* is the
    price of an answer, *now* in Unix seconds. Raises `StorageError`.
    """
    found = disk_admin.describe(
        folder, size_limit=settings.size_bytes, ttl_s=settings.ttl_s, worth=worth, now=now
    )
    # Money that is set aside stands in lines without a label.
    runs = [line for line in ledger.by("run") if line.label]
    return replace(
        found,
        use_by_model=tuple(_use(line) for line in ledger.by("model") if line.label),
        use_by_run=tuple(_use(line) for line in reversed(runs)),
    )


def _use(line: SpendLine) -> CacheYield:
    rows = line.answers + line.cached + line.shared
    return CacheYield(line.label, rows, line.cached, line.saved_cache)


def clear_cache(folder: Path) -> int:
    """Drop every entry of the response cache; returns how many there were. Raises
    `StorageError`.
    """
    return disk_admin.clear(folder)


@dataclass(frozen=True, slots=True)
class BudgetOpening:
    """The facts of one session that its budget begins with."""

    ledger: Path
    run_id: str
    spent: Pico
    """By earlier sessions of the run, at the worst case where it is unknown."""
    today: Callable[[], str]
    """The UTC day."""
    now: Callable[[], float]
    waits: Drain
    emit: Emit
    flush: Callable[[], Awaitable[None]]
    """Has the costs that are known written into the ledger."""
    tag: str | None = None
    """The run's."""
    shared: ScriptServer | None = None
    """Where caps stand that all hosts share; None: in the ledger."""


async def open_budget(settings: BudgetSettings, opening: BudgetOpening) -> BudgetStore:
    """The run's own cap in memory; where the run shares caps, those at the shared
    server, else in the ledger.
    """
    own = RunBudget(
        settings.cap,
        spent=opening.spent,
        overshoot=settings.overshoot,
        waits=opening.waits,
    )
    if not settings.shared:
        return own
    if opening.shared is not None:
        return RedisBudget(
            own,
            opening.shared,
            settings.shared,
            run=opening.run_id,
            tag=opening.tag,
            today=opening.today,
            waits=opening.waits,
            emit=opening.emit,
            known=lambda: known_of_all(opening.ledger, but=opening.run_id),
        )
    shared = SharedBudget(
        own,
        SharedCaps.open(opening.ledger, opening.run_id, settings.shared),
        today=opening.today,
        now=opening.now,
        waits=opening.waits,
        emit=opening.emit,
        flush=opening.flush,
        settle_dead=lambda runs: _settle_dead(opening.ledger, runs),
    )
    try:
        await shared.begin()
    except BaseException:
        # Else its thread and its connection would outlive the run.
        await shared.close(complete=True)
        raise
    return shared


def known_of_all(ledger: Path, *, but: str = "") -> list[KnownSpend]:
    """What the ledger knows of all runs, once those that died are settled; *but* is one
    that lives, here.
    """
    with closing(open_ledger(ledger)) as connection:
        dead = connection.execute("SELECT DISTINCT run FROM holds WHERE run <> ?", (but,))
        others = [other for (other,) in dead.fetchall()]
    _settle_dead(ledger, others)
    return known_spend(ledger)


def _settle_dead(ledger: Path, runs: list[str]) -> None:
    with closing(open_ledger(ledger)) as connection:
        for run in runs:
            settle_for_others(connection, run)


def open_pool(
    start: PoolStart, *, now: Callable[[], float], shared: ScriptServer | None = None
) -> LimiterStore[Any]:
    """The rate limits of the pool that begins as *start* says: all hosts' at the
    *shared* server, else those of this process.
    """
    # The same decisions, taken where all hosts see them.
    if shared is not None:
        return RedisPool(shared, start, now=now)
    return open_local_pool(start, now=now)


def open_attempt_log(
    journal: Journal, *, wall: Callable[[], datetime], price_version: str
) -> AttemptLog:
    """The log of the attempts of a run whose journal is *journal*."""
    return JournalLog(journal, wall=wall, price_version=price_version)
