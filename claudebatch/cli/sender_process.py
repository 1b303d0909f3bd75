"""`claudebatch --sender`: a process that sends for the driver of a run, which started
it. Nobody calls it by hand.
"""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime

from claudebatch.cli.wiring.api_target import ApiTarget, client_of
from claudebatch.clients.protocol import Client
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.process_links import own_pipes
from claudebatch.clients.senders.sender_link import FrameLink
from claudebatch.clients.senders.sender_loop import SenderLoop
from claudebatch.config import adopt

_now = time.monotonic  # noqa: TID251  # a process is where time comes in
# As in the driver: a request leaves next to no cycles behind.
_GC_THRESHOLDS = (50_000, 20, 100)


def serve_pipes() -> int:
    """Serve the driver at the other end of this process's pipes until it is gone."""
    asyncio.run(_serve())
    return 0


async def _serve() -> None:
    await serve(await own_pipes())


async def serve(link: FrameLink) -> None:
    """Serve the driver at the other end of *link* until it is gone."""
    await SenderLoop(link, _connect).run()


def _connect(welcome: Welcome) -> Client:
    # What the driver's environment says of the API is not on every host.
    adopt(welcome.variables)
    client = client_of(
        ApiTarget(welcome.base_url, welcome.api_key),
        idle_timeout_s=welcome.idle_timeout_s,
        concurrency=welcome.concurrency,
        now=_now,
        wall=_wall,
    )
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    return client


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # a process is where time comes in
