"""The simulated API without its mark: answers that a run takes for real ones, so that
examples can show real runs.

Prints its address and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook
from claudebatch.simulator import Simulator, SimulatorSettings, http


def wall() -> datetime:
    return datetime.now(UTC)


async def main() -> None:
    http.MARK = b""
    simulator = Simulator(
        SimulatorSettings(latency="fixed:0.01"),
        bill=PriceBook.load(at=wall()).cost,
        pool_of=Catalog.load().pool_of,
        now=time.monotonic,
        wall=wall,
        rng=random.Random(0),
    )
    print(await simulator.start(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
