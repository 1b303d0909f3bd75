"""The simulated API in a thread of its own, so that a run in this process can be its
client.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from claudebatch.core.domain import Pico, Usage
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook
from claudebatch.simulator import Simulator, SimulatorSettings

PATIENCE_S = 180.0
"""Nothing is waited for longer than this; nothing is expected to come near it."""


class Served:
    """A simulated API in a thread of its own, so that a run in this process can be its
    client.
    """

    def __init__(self, *, held_after: int | None = None, **settings: Any) -> None:
        """*held_after*: so many requests are answered, and the rest once `release` is
        called, so that a test need not guess how long something takes.
        """
        self._free = held_after
        # Mutable, changed by `pass_time` only.
        self._later_s = 0.0
        self._prices = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
        self.bodies: list[dict[str, Any]] = []
        self._ready: Future[str] = Future()
        self._settings = SimulatorSettings(**{"latency": "fixed:0.001", **settings})
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="simulator")
        self._thread.start()
        self.url = self._ready.result(PATIENCE_S)

    def ask(self, question: Callable[[Simulator], Any]) -> Any:
        """What *question* finds, asked in the simulator's own thread."""

        async def answer() -> Any:
            return question(self._simulator)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(PATIENCE_S)

    def stats(self) -> dict[str, Any]:
        """What it saw."""
        found: dict[str, Any] = self.ask(lambda simulator: simulator.stats())
        return found

    @property
    def requests(self) -> int:
        """How many requests it saw."""
        return int(self.stats()["requests"])

    def set_faults(self, faults: Mapping[str, float], script: tuple[str, ...] = ()) -> None:
        """From now on these go wrong."""
        self.ask(lambda simulator: simulator.set_faults(faults, script))

    def pass_time(self, seconds: float) -> None:
        """It is so much later over there, at once."""
        self._later_s += seconds

    def asked(self) -> Counter[str]:
        """How often each prompt text was asked."""
        return Counter(text_of(body) for body in self.bodies)

    def release(self) -> None:
        """Answer what is held, and hold nothing any more."""
        self.ask(lambda _: self._released.set())

    def close(self) -> None:
        """Stop, whatever is in flight; it may have been stopped."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped, self._released = asyncio.Event(), asyncio.Event()
        catalog = Catalog.load()
        held: dict[str, Any] = {} if self._free is None else {"sleep": self._hold}
        self._simulator = Simulator(
            self._settings,
            bill=self._bill,
            pool_of=catalog.pool_of,
            now=lambda: time.monotonic() + self._later_s,
            wall=lambda: datetime.now(UTC) + timedelta(seconds=self._later_s),
            rng=random.Random(self._settings.seed or 11),
            **held,
        )
        self._simulator.on_request = self.bodies.append
        try:
            self._ready.set_result(await self._simulator.start())
            await self._stopped.wait()
        finally:
            await self._simulator.stop()

    async def _hold(self, _: float) -> None:
        assert self._free is not None
        self._free -= 1
        if self._free < 0:
            await self._released.wait()

    def _bill(self, model: str, usage: Usage) -> Pico:
        return self._prices.cost(model, usage)


def text_of(body: Mapping[str, Any]) -> str:
    """The text of a request's last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)
