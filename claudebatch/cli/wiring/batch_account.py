"""The message batches of the account, for commands that look at them one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from claudebatch.cli.wiring.api_target import ApiTarget, account_batches
from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.batch_protocol import BatchClient, all_pages
from claudebatch.clients.batch_records import Batch
from claudebatch.config import environment
from claudebatch.config.credentials import require_credential
from claudebatch.config.load import load
from claudebatch.core.errors import ApiUnavailable, AttemptError, BatchNotFound, ClaudebatchError
from claudebatch.core.reports.batch_report import BatchLine

# Older ones have no results any more; an account may have thousands.
_MOST_LISTED = 1000
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


class BatchAccount:
    """Asks the API; every method opens its connections and closes them."""

    def __init__(
        self, idle_timeout_s: float, *, now: Callable[[], float], wall: Callable[[], datetime]
    ) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._now = now
        self._wall = wall

    @classmethod
    def open(cls, *, now: Callable[[], float], wall: Callable[[], datetime]) -> BatchAccount:
        """With the user's key and settings. Raises `ClaudebatchError`."""
        env = environment()
        if env.get("ANTHROPIC_BASE_URL"):
            check_base_url(env["ANTHROPIC_BASE_URL"])
        require_credential(env, home=Path.home())
        loaded = load(None, {}, env=env, folder=Path())
        return cls(loaded.settings.idle_timeout_s, now=now, wall=wall)

    async def listed(self, known: Sequence[BatchLine]) -> list[BatchLine]:
        """The newest batches of the account, and of those that are *known* all."""
        # What is perhaps made has no id that the API could tell of.
        ours = {line.id: line for line in known if line.id}
        found: list[BatchLine] = []
        async with self._client() as client:
            async for page in all_pages(client, limit=_MOST_LISTED):
                # Each once: what is left of ours at the end, no page has shown.
                found += [_with(ours.pop(batch.id, None), batch) for batch in page.batches]
                if len(found) >= _MOST_LISTED:
                    break
        # Those that the API does not list: too old, deleted, or of another key.
        found += ours.values()
        found += (line for line in known if not line.id)
        return sorted(found, key=lambda line: -(line.created_ms or 2**62))

    async def seen(self, wanted: Sequence[BatchLine]) -> list[BatchLine]:
        """*wanted* as they are now. Raises `ClaudebatchError`."""
        found = []
        async with self._client() as client:
            for line in wanted:
                if not line.id:
                    found.append(line)
                    continue
                try:
                    found.append(_with(line, await client.retrieve(line.id)))
                except BatchNotFound:
                    # What was collected may be deleted since: the ledger has it still.
                    if line.state is None:
                        raise
                    found.append(line)
        return found

    async def canceled(self, wanted: Sequence[BatchLine]) -> list[BatchLine]:
        """Have *wanted* canceled; those that have ended stay as they are."""
        found = []
        async with self._client() as client:
            for line in wanted:
                batch = await client.retrieve(line.id)
                # The API refuses to cancel what has ended.
                if not batch.ended:
                    batch = await client.cancel(line.id)
                found.append(_with(line, batch))
        return found

    async def delete(self, line: BatchLine) -> None:
        """Remove it for good. The caller knows that its results are on disk."""
        async with self._client() as client:
            await client.delete(line.id)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[BatchClient]:
        client = account_batches(
            ApiTarget(None, None), self._idle_timeout_s, now=self._now, wall=self._wall
        )
        try:
            yield client
        except BatchNotFound as error:
            # Before the general case: here another try in a minute may help.
            raise ClaudebatchError(
                "E774",
                f"the API does not know this batch: {error.message}",
                fix="see `claudebatch batches list --account`; of a batch that was just made, try "
                "again in a minute",
            ) from error
        except AttemptError as error:
            raise ApiUnavailable(
                "E775", f"the API did not answer as it should: {error.message}", fix="try again"
            ) from error
        finally:
            await client.close()


def _with(line: BatchLine | None, batch: Batch) -> BatchLine:
    """*line*, and what the API says of it."""
    # The ledger says whose it is and what became of it, the API all else.
    known = line or BatchLine(id=batch.id, requests=batch.counts.total)
    return replace(
        known,
        requests=batch.counts.total,
        status=batch.status,
        counts=tuple((name, getattr(batch.counts, name)) for name in _COUNTS),
        created_ms=_ms(batch.created_at),
        expires_ms=_ms(batch.expires_at),
        ended_ms=_ms(batch.ended_at),
    )


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
