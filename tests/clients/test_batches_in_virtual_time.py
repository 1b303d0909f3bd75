"""A day in the life of batches in a second of ours: the client's waits and the
simulated API's clock are the loop's own.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from claudebatch.clients import batch_upload
from claudebatch.clients.batch_client import ClaudeBatches
from claudebatch.simulator import SimulatedBatches, Simulator, SimulatorSettings
from tests.support import batch_bodies
from tests.support.patient_batches import PatientBatches
from tests.support.virtual import now, virtual

DAY_S = 86_400.0


def wall():
    return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=now())


@pytest.mark.parametrize(("hours", "outcome"), [(3, "succeeded"), (90, "expired")])
@pytest.mark.parametrize("faster", [1.0, 60.0])
@virtual
async def test_hours_of_polling_pass_at_once(hours, outcome, faster):
    simulator = Simulator(
        SimulatorSettings(batches=SimulatedBatches(latency=f"fixed:{hours * 3600}", time=faster)),
        bill=lambda model, usage: 1,
        now=now,
        wall=wall,
        rng=random.Random(1),
    )
    client = PatientBatches(
        ClaudeBatches(
            api_key="sk-ant-test",
            base_url=await simulator.start(),
            idle_timeout_s=90,
            now=now,
            wall=wall,
        )
    )
    message = {"role": "user", "content": "hi"}
    params = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [message]}
    requests = [
        batch_upload.encode_request(f"r-{n}", json.dumps(params).encode()) for n in range(200)
    ]
    batch = await client.create(batch_bodies.of_requests(requests))
    asked = 1
    while not (batch := await client.retrieve(batch.id)).ended:
        asked += 1
        await asyncio.sleep(60 / faster)
    took = (batch.ended_at - batch.created_at).total_seconds() * faster
    assert took == pytest.approx(min(hours * 3600, DAY_S), abs=1)
    assert asked == pytest.approx(took / 60, abs=5)
    assert (batch.expires_at - batch.created_at).total_seconds() * faster == DAY_S
    async with aclosing(client.results(batch.id)) as results:
        found = [one.kind async for one in results]
    assert len(found) == 200
    assert set(found) == {"succeeded", outcome}
    await client.close()
    await simulator.stop()
