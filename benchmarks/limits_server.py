"""The built-in simulator with limits, in a process of its own, with a stop-watch: when
requests came.

    python benchmarks/limits_server.py '{"rpm": 6000, "burst_seconds": 1}' [LATENCY]

Prints its URL and serves until its standard input ends; then prints what it saw as one
line of JSON: with the output that had been produced when the last request came, which
is what can be held against the time until then. Keys in `x-api-key` are as good as
those in `authorization`: some of the clients compared here send the former.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from claudebatch.models.catalog import Catalog
from claudebatch.simulator import SimulatedAllowance, Simulator, SimulatorSettings
from claudebatch.simulator.connection import Connection
from claudebatch.simulator.http import Request
from claudebatch.simulator.limits import SimulatedLimits

LATENCY = "lognormal:0.5,0.4"
_made: list[tuple[float, float, int]] = []
"""When each answer was begun, for how many seconds it was produced, and its tokens."""
_produce = SimulatedLimits.produce


def _note(limits: SimulatedLimits, tokens: int, seconds: float, now: float) -> None:
    _made.append((now, seconds, tokens))
    _produce(limits, tokens, seconds, now)


def produced_by(moment: float) -> float:
    """Tokens of output that had been produced then."""
    return sum(
        tokens * min(1.0, (moment - at) / seconds) for at, seconds, tokens in _made if at < moment
    )


class TimedSimulator(Simulator):
    """Keeps when Messages requests came."""

    came: list[float]

    async def _serve(self, request: Request, connection: Connection) -> None:
        headers = {
            "authorization": f"Bearer {request.headers.get('x-api-key', '')}",
            **request.headers,
        }
        if request.path == "/v1/messages":
            self.came.append(time.monotonic())
        await super()._serve(replace(request, headers=headers), connection)


async def serve(limits: Mapping[str, Any], latency: str = LATENCY) -> None:
    """Serve until standard input ends."""
    SimulatedLimits.produce = _note  # type: ignore[method-assign, assignment]
    server = TimedSimulator(
        SimulatorSettings(latency=latency, limits=SimulatedAllowance(**limits)),
        bill=lambda model, usage: 0,
        pool_of=Catalog.load().pool_of,
        now=time.monotonic,
        wall=lambda: datetime.now(UTC),
        rng=random.Random(1),
        known=lambda model: True,
    )
    server.came = []
    print(await server.start(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    seen = server.stats()
    await server.stop()
    came = sorted(server.came)
    took_s = came[-1] - came[0] if came else 0.0
    output = produced_by(came[-1]) if came else 0.0
    told = {**seen, "took_s": took_s, "produced": output, "first_at": min(came, default=0.0)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1]), *sys.argv[2:]))
