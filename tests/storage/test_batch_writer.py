"""Groups: work for one thread goes over in order, and nothing is done after something
before it was lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from claudebatch.storage.batch_writer import BatchWriter

PATIENCE_S = 60


def groups(
    work: Callable[[list[Any]], list[Any] | None], *, linger_s: float = 0.0, enough: int = 100
) -> BatchWriter[Any]:
    return BatchWriter(work, name="test", linger_s=linger_s, enough=enough)


class Worker:
    """Notes its groups; while `open` is not set, its thread stands still."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.threads: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.fails_at: Any = None

    def __call__(self, items: list[Any]) -> list[Any]:
        self.entered.set()
        self.open.wait(PATIENCE_S)
        self.threads.add(threading.current_thread().name)
        if self.fails_at in items:
            raise OSError(f"cannot write {self.fails_at}")
        self.groups.append(items)
        return [item * 10 for item in items]

    async def busy(self) -> None:
        """Wait until its thread has taken a group."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.entered.is_set():
                await asyncio.sleep(0.001)

    @property
    def items(self) -> list[Any]:
        return [item for group in self.groups for item in group]


async def test_every_item_gets_its_own_answer_and_all_go_in_order():
    worker = Worker()
    handed = groups(worker)
    answers = await asyncio.gather(*(handed.ask(item) for item in range(500)))
    assert answers == [item * 10 for item in range(500)]
    assert worker.items == list(range(500))
    await handed.close()


async def test_many_that_are_put_at_once_go_over_at_once_and_in_their_place():
    worker = Worker()
    handed = groups(worker, linger_s=PATIENCE_S, enough=3)
    handed.put(1)
    handed.put_all([])
    handed.put_all([2, 3, 4])
    await handed.drained()
    assert worker.groups == [[1, 2, 3, 4]]
    handed.put_all([5, 6])
    answer = await handed.ask(7)
    assert (answer, worker.items) == (70, list(range(1, 8)))
    await handed.close()


async def test_many_that_are_enough_do_not_wait_for_more():
    handed = groups(Worker(), linger_s=3600, enough=3)
    handed.put_all([1, 2, 3])
    assert handed.backlog == 0
    await handed.close()


async def test_many_at_once_are_refused_after_a_failure_and_none_of_them_is_done():
    worker = Worker()
    worker.fails_at = 1
    handed = groups(worker)
    handed.put(1)
    await handed.drained()
    with pytest.raises(OSError, match="cannot write 1"):
        handed.put_all([2, 3])
    await handed.close()
    assert worker.items == []


async def test_what_is_put_goes_in_the_same_order_as_what_is_asked():
    worker = Worker()
    handed = groups(worker)
    for item in range(0, 100, 2):
        handed.put(item)
        await handed.ask(item + 1)
    assert worker.items == list(range(100))
    await handed.close()


async def test_while_the_thread_is_busy_the_rest_gathers_into_few_groups():
    worker = Worker()
    worker.open.clear()
    handed = groups(worker)
    handed.put(0)
    await worker.busy()
    for item in range(1, 1000):
        handed.put(item)
    assert handed.backlog == 999
    worker.open.set()
    await handed.drained()
    assert worker.items == list(range(1000))
    assert len(worker.groups) <= 3
    assert len(worker.threads) == 1
    await handed.close()


async def test_enough_items_do_not_linger():
    worker = Worker()
    handed = groups(worker, linger_s=3600, enough=5)
    asked = [asyncio.ensure_future(handed.ask(item)) for item in range(5)]
    assert await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S) == [0, 10, 20, 30, 40]
    await handed.close()


async def test_a_failure_stops_its_group_and_everything_after_it():
    worker = Worker()
    worker.open.clear()
    handed = groups(worker)
    first = asyncio.ensure_future(handed.ask(1))
    await worker.busy()
    worker.fails_at = 3
    asked = [asyncio.ensure_future(handed.ask(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    worker.open.set()
    results = await asyncio.gather(first, *asked, return_exceptions=True)
    assert results[0] == 10
    assert all(isinstance(result, OSError) for result in results[1:])
    assert worker.items == [1], "nothing of the failed group, nothing after it"
    with pytest.raises(OSError, match="cannot write 3"):
        handed.put(5)
    with pytest.raises(OSError, match="cannot write 3"):
        await handed.ask(6)
    await handed.close()
    assert worker.items == [1]


async def test_what_gathered_behind_a_failure_fails_with_it_and_is_not_done():
    worker = Worker()
    worker.fails_at = 1
    worker.open.clear()
    handed = groups(worker)
    first = asyncio.ensure_future(handed.ask(1))
    await worker.busy()
    behind = [asyncio.ensure_future(handed.ask(item)) for item in (2, 3)]
    handed.put(4)
    await asyncio.sleep(0)
    worker.open.set()
    results = await asyncio.gather(first, *behind, return_exceptions=True)
    assert all(isinstance(result, OSError) for result in results)
    await handed.drained()
    assert worker.items == []
    await handed.close()


async def test_one_that_stops_waiting_does_not_disturb_the_others():
    worker = Worker()
    worker.open.clear()
    handed = groups(worker)
    asked = [asyncio.ensure_future(handed.ask(item)) for item in range(3)]
    await worker.busy()
    asked[1].cancel()
    worker.open.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert (results[0], results[2]) == (0, 20)
    assert isinstance(results[1], asyncio.CancelledError)
    assert worker.items == [0, 1, 2], "it was handed over, so it is done"
    await handed.close()


async def test_closing_finishes_what_was_handed_over():
    worker = Worker()
    handed = groups(worker, linger_s=0.001)
    for item in range(50):
        handed.put(item)
    await asyncio.wait_for(handed.close(), PATIENCE_S)
    assert worker.items == list(range(50))
    assert not [thread for thread in threading.enumerate() if thread.name in worker.threads]


async def test_draining_twice_at_once_or_with_nothing_to_do_ends():
    worker = Worker()
    handed = groups(worker)
    await handed.drained()
    handed.put(1)
    await asyncio.wait_for(asyncio.gather(handed.drained(), handed.drained()), PATIENCE_S)
    await handed.close()


async def test_a_function_runs_between_two_groups_in_the_same_thread():
    worker = Worker()
    handed = groups(worker)
    await handed.ask(1)
    assert {await handed.call(lambda: threading.current_thread().name)} == worker.threads
    await handed.close()


async def test_what_comes_after_is_called_when_everything_before_it_was_worked_on():
    worker = Worker()
    handed = groups(worker, linger_s=0.001)
    called: list[list[Any]] = []
    handed.after(lambda: called.append([*worker.items]))
    assert called == [[]], "nothing was handed over: at once"
    worker.open.clear()
    handed.put(1)
    handed.after(lambda: called.append([*worker.items]))
    await worker.busy()
    handed.after(lambda: called.append([*worker.items]))
    handed.put(2)
    handed.after(lambda: called.append([*worker.items]))
    assert len(called) == 1
    worker.open.set()
    await handed.drained()
    assert called[1] == [1] and called[2] == called[3] == [1, 2]
    await handed.close()


async def test_what_comes_after_is_called_even_when_the_work_fails():
    worker = Worker()
    worker.fails_at = 1
    handed = groups(worker)
    called: list[int] = []
    handed.put(1)
    handed.after(lambda: called.append(1))
    await handed.drained()
    assert called == [1]
    await handed.close()
