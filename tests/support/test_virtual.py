"""The equipment itself: time that jumps must be time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.virtual import now, run_virtual, virtual


@virtual
async def test_an_hour_of_waiting_takes_no_real_time():
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert now() == pytest.approx(3600)
    assert time.monotonic() - began < 60


@virtual
async def test_timers_fire_in_order_and_at_their_time():
    fired: list[tuple[str, float]] = []

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, now()))

    await asyncio.gather(after(3, "c"), after(1, "a"), after(2, "b"), after(1, "a again"))
    assert [name for name, _ in fired] == ["a", "a again", "b", "c"]
    assert [at for _, at in fired] == pytest.approx([1, 1, 2, 3])


@virtual
async def test_a_thread_is_waited_for_when_no_timer_is_set():
    assert await asyncio.to_thread(lambda: 7) == 7
    assert now() == 0


def test_waiting_for_what_never_comes_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.support.virtual._PATIENCE_S", 0.01)

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing will ever wake one"):
        run_virtual(wait_for_ever())
