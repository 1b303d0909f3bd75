"""The pace of the batch endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from claudebatch.core.errors import RateLimited
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.engine.batches.paced_client import BatchPace, PacedBatches
from claudebatch.models.batch_limits import batch_tier

LIMITED = RateLimited("too many", type="rate_limit_error", status=429, retry_after=1.0)


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = BatchPace(600, share=1.0, now=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def seconds(self, requests: int, client: Any = None) -> float:
        began = self.now
        for _ in range(requests):
            await (client.retrieve("x") if client else self.pace.turn())
        return self.now - began


class Endpoints:
    """Answers with nothing, or refuses."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    async def retrieve(self, batch_id: str) -> Any:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

        class Told:
            limits = None

        return Told()


async def test_a_minute_has_as_many_requests_as_the_tier_allows():
    clock = Clock()
    await clock.seconds(100)
    assert await clock.seconds(600) == pytest.approx(60.0, rel=0.1)


async def test_what_an_answer_states_is_believed():
    clock = Clock()
    await clock.seconds(100)
    clock.pace.heard(Limits(requests=LimitReading(limit=60)))
    assert await clock.seconds(60) == pytest.approx(60.0, rel=0.1)
    clock.pace.heard(None)
    assert await clock.seconds(60) == pytest.approx(60.0, rel=0.1)


async def test_after_a_429_nothing_that_was_saved_up_is_spent():
    clock = Clock()
    clock.now += 100.0
    client = PacedBatches(Endpoints(LIMITED), clock.pace)  # type: ignore[arg-type]
    with pytest.raises(RateLimited):
        await client.retrieve("x")
    before = clock.now
    await client.retrieve("x")
    assert clock.now - before >= 0.1


@pytest.mark.parametrize(
    ("tier", "queued"),
    [("start", 200_000), ("build", 300_000), ("scale", 500_000), ("auto", 200_000)],
)
def test_the_tier_says_how_many_may_wait(tier, queued):
    assert batch_tier(tier).queued_requests == queued
