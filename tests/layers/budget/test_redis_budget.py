"""Caps that all hosts share, in a real Redis: what the contract of all stores does not
ask of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from claudebatch.core.domain import Hold
from claudebatch.core.drain import Drain
from claudebatch.core.errors import BudgetExhausted, StorageError
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.redis_budget import RedisBudget
from claudebatch.layers.budget.redis_caps_look import Released, release
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.known_spend import KnownSpend, known_spend
from tests.support.budget_stores import DAY, NEXT, cap
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix
from tests.support.virtual import in_no_thread, now, virtual

pytestmark = needs_redis

CAP = 1000


class Hosts:
    """Budgets of several hosts under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.servers: list[VirtualServer] = []
        self.day = DAY

    def budget(
        self,
        run: str,
        *caps: SharedCap,
        tag: str | None = None,
        known: list[KnownSpend] | None = None,
    ) -> RedisBudget:
        client = f"{run}-{len(self.servers)}"
        drain = Drain()
        server = VirtualServer(self.prefix, client, now=now, sleep=drain.sleep)
        self.servers.append(server)
        return RedisBudget(
            RunBudget(None, spent=0, waits=drain),
            server,
            caps or [cap(CAP)],
            run=run,
            tag=tag,
            today=lambda: self.day,
            waits=drain,
            emit=lambda event: None,
            known=lambda: known or [],
        )

    def sum(self, what: str, window: str = DAY) -> int:
        found: Any = self.servers[0]._redis.hget(f"{self.prefix}:caps:{what}", window)
        return int(found or 0)

    def forget(self) -> None:
        """The server loses all that it knew of this test."""
        redis = self.servers[0]._redis
        redis.delete(*redis.scan_iter(match=f"{self.prefix}:*"))

    def restart(self) -> None:
        """The server is started again, with all that it knew."""
        self.servers[0]._redis.hset(f"{self.prefix}:caps:epoch", "server", "another")


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr(asyncio, "to_thread", in_no_thread)
    with own_prefix() as prefix:
        made = Hosts(prefix)
        yield made
        for server in made.servers:
            server.close()


async def dies(budget: RedisBudget) -> None:
    """Its process is gone, without a word."""
    if budget._heart is not None:
        budget._heart.cancel()
        await asyncio.wait([budget._heart])


async def refused(budget: RedisBudget, worst: int) -> int:
    with pytest.raises(BudgetExhausted) as error:
        await budget.hold(worst, worst)
    return error.value.left


async def blocked(budget: RedisBudget, worst: int) -> bool:
    waiting = asyncio.ensure_future(budget.hold(worst, worst))
    await asyncio.sleep(3)
    if waiting.done():
        await budget.release(waiting.result())
        return False
    waiting.cancel()
    await asyncio.wait([waiting])
    return True


@virtual
async def test_what_a_dead_host_held_may_be_billed_and_its_run_knows_better(hosts):
    dead, alive = hosts.budget("dead"), hosts.budget("alive")
    await dead.settle(await dead.hold(300, 300), 100)
    await dead.hold(400, 400)
    await dies(dead)
    assert await blocked(alive, 501)
    assert 2.5 < hosts.servers[1].waits.money_s <= 3
    await asyncio.sleep(61)
    assert await refused(alive, 501) == 500, "spent 100, and 400 that may be billed"
    # Its next session: the journal says that nothing of it was sent.
    again = hosts.budget("dead", known=[KnownSpend("dead", DAY, "", 100)])
    await again.release(await again.hold(1, 1))
    assert await refused(alive, 901) == 900
    for budget in (again, alive):
        await budget.close(complete=True)


@virtual
async def test_a_process_that_was_silent_for_too_long_and_lives_counts_once(hosts):
    silent, alive = hosts.budget("silent"), hosts.budget("alive")
    hold = await silent.hold(400, 400)
    hosts.servers[0].away = True
    await asyncio.sleep(100)
    assert await refused(alive, 601) == 600
    hosts.servers[0].away = False
    await silent.settle(hold, 50)
    assert await refused(alive, 951) == 950
    for budget in (silent, alive):
        await budget.close(complete=True)


@virtual
async def test_a_server_that_forgets_is_told_before_anything_is_granted(hosts):
    elsewhere = [KnownSpend("yesterdays", DAY, "", 200)]
    first, second = hosts.budget("first", known=elsewhere), hosts.budget("second")
    await first.settle(await first.hold(300, 300), 100)
    out = await second.hold(500, 500)
    hosts.forget()
    began = now()
    # 200 and 100 are spent, 500 are out: 200 are left, and nobody grants more.
    assert await blocked(first, 201)
    hold = await asyncio.wait_for(first.hold(200, 200), 30)
    assert now() - began >= 5, "others had time to tell"
    assert (hosts.sum("gone"), hosts.sum("held")) == (300, 700)
    await second.settle(out, 500)
    await first.settle(hold, 200)
    assert (hosts.sum("gone"), hosts.sum("held")) == (1000, 0)
    assert await refused(second, 1) == 0
    for budget in (first, second):
        await budget.close(complete=True)


@virtual
async def test_a_server_that_was_away_for_minutes_takes_nobody_for_dead(hosts):
    first, second = hosts.budget("first"), hosts.budget("second")
    out = await first.hold(600, 600)
    other = await second.hold(1, 1)
    for server in hosts.servers:
        server.away = True
    await asyncio.sleep(100)
    hosts.restart()
    hosts.servers[1].away = False
    # It is the first that is heard of again: the cap has no room, and is not used up.
    waiting = asyncio.ensure_future(second.hold(500, 500))
    await asyncio.sleep(3)
    assert (hosts.sum("gone"), hosts.sum("held"), waiting.done()) == (0, 601, False)
    hosts.servers[0].away = False
    await asyncio.sleep(5)
    assert (hosts.sum("gone"), hosts.sum("held"), waiting.done()) == (0, 601, False)
    await first.settle(out, 100)
    await second.settle(other, 1)
    await second.settle(await waiting, 500)
    assert (hosts.sum("gone"), hosts.sum("held")) == (601, 0)
    for budget in (first, second):
        await budget.close(complete=True)


@virtual
async def test_money_of_a_process_taken_for_dead_is_held_again_when_it_tells_a_new_server(hosts):
    silent, alive = hosts.budget("silent"), hosts.budget("alive")
    hold = await silent.hold(400, 400)
    hosts.servers[0].away = True
    await asyncio.sleep(100)
    await alive.release(await alive.hold(1, 1))
    assert (hosts.sum("gone"), hosts.sum("held")) == (400, 0), "it may be billed"
    hosts.restart()
    # Not refused for good: who is missed has five seconds to come back.
    waiting = asyncio.ensure_future(alive.hold(700, 700))
    await asyncio.sleep(2)
    hosts.servers[0].away = False
    await asyncio.sleep(10)
    assert (hosts.sum("gone"), hosts.sum("held")) == (0, 400), "it lives, and has it in flight"
    assert not waiting.done()
    await silent.settle(hold, 50)
    await alive.release(await waiting)
    assert await refused(alive, 951) == 950
    for budget in (silent, alive):
        await budget.close(complete=True)


@virtual
async def test_a_ledger_that_cannot_be_read_for_a_while_is_waited_for(hosts, monkeypatch):
    budget = hosts.budget("me", known=[KnownSpend("yesterdays", DAY, "", 200)])
    out, other = await budget.hold(300, 300), await budget.hold(100, 100)
    readable = budget._known

    def locked() -> list[KnownSpend]:
        raise StorageError("E999", "another program keeps it locked")

    monkeypatch.setattr(budget, "_known", locked)
    hosts.forget()
    # An answer that came is nobody's to lose, and the process goes on to say it lives.
    await budget.settle(out, 250)
    waiting = asyncio.ensure_future(budget.hold(400, 400))
    await asyncio.sleep(30)
    assert (hosts.sum("gone"), waiting.done()) == (0, False), "nothing is granted without it"
    monkeypatch.setattr(budget, "_known", readable)
    held = await waiting
    assert (hosts.sum("gone"), hosts.sum("held")) == (450, 500)
    for hold in (other, held):
        await budget.settle(hold, 50)
    await budget.close(complete=True)
    assert (hosts.sum("gone"), hosts.sum("held")) == (550, 0)


@virtual
async def test_what_a_journal_says_of_a_dead_session_is_the_last_word(hosts):
    dead, alive = hosts.budget("dead"), hosts.budget("alive")
    await dead.hold(400, 400)
    await dies(dead)
    await asyncio.sleep(61)
    await alive.release(await alive.hold(1, 1))
    assert hosts.sum("gone") == 400
    # Its journal: nothing was sent. There is no sum of that day to be told.
    again = hosts.budget("dead")
    await again.settle(await again.hold(300, 300), 300)
    assert hosts.sum("gone") == 300
    await again.close(complete=True)
    # What is told is known: there is nothing that could be given back.
    assert await release(hosts.servers[0], "dead", free=True) == Released(0, 0, 0)
    assert hosts.sum("gone") == 300
    await alive.close(complete=True)


@virtual
async def test_batches_that_are_taken_up_hold_their_money_once_in_however_many_pieces(hosts):
    before, alive = hosts.budget("run"), hosts.budget("alive")
    for worst in (100, 200, 300):
        await before.hold(worst, worst, lasts=True)
    await before.close(complete=True)
    again = hosts.budget("run")
    first = await again.adopt(150, DAY)
    assert hosts.sum("held") == 600, "the same money, and some that is not taken up yet"
    second = await again.adopt(400, DAY)
    assert hosts.sum("held") == 600
    # 50 of it are of no batch any more: they were collected.
    hold = await again.hold(450, 450)
    assert hosts.sum("held") == 1000
    assert await blocked(alive, 1)
    for each in (first, second, hold):
        await again.settle(each, 10)
    await again.close(complete=True)
    assert (hosts.sum("gone"), hosts.sum("held")) == (30, 0)
    await alive.close(complete=True)


@virtual
async def test_an_end_and_a_hold_whose_answers_were_lost_count_once(hosts):
    budget = hosts.budget("me")
    (server,) = hosts.servers
    hold = await budget.hold(600, 600)
    server.mute = True
    await budget.settle(hold, 250)
    asked = asyncio.ensure_future(budget.hold(500, 500))
    await asyncio.sleep(1)
    server.mute = False
    again = await asked
    assert (hosts.sum("gone"), hosts.sum("held")) == (250, 500)
    await budget.release(again)
    await budget.close(complete=True)
    assert (hosts.sum("gone"), hosts.sum("held")) == (250, 0)


@virtual
async def test_holds_and_ends_that_come_together_take_a_round_trip_each_for_all(hosts):
    budget = hosts.budget("me")
    (server,) = hosts.servers
    first = await budget.hold(100, 100)
    before = server.trips.count
    waiting = [asyncio.ensure_future(budget.hold(100, 100)) for _ in range(12)]
    await asyncio.sleep(0.1)
    held = [first, *(each.result() for each in waiting if each.done())]
    assert len(held) == 10, "in their order, as long as the cap has it"
    assert server.trips.count <= before + 3
    before = server.trips.count
    await asyncio.gather(*(budget.settle(hold, 10) for hold in held))
    await asyncio.sleep(0.1)
    assert all(each.done() for each in waiting), "what was not used is there for the next"
    assert server.trips.count <= before + 4
    await asyncio.gather(*(budget.release(each.result()) for each in waiting[9:]))
    assert (hosts.sum("gone"), hosts.sum("held")) == (100, 0)
    await budget.close(complete=True)


@virtual
async def test_a_hold_that_is_called_off_while_another_one_asks_for_it_is_given_back(hosts):
    budget = hosts.budget("me")
    await budget.release(await budget.hold(1, 1))
    waiting = [asyncio.ensure_future(budget.hold(100, 100)) for _ in range(3)]
    # The script has run for all three, and nobody has its answer yet.
    await asyncio.sleep(0.003)
    assert hosts.sum("held") == 300
    waiting[2].cancel()
    await asyncio.sleep(0.1)
    assert (hosts.sum("held"), waiting[2].cancelled()) == (200, True)
    for each in waiting[:2]:
        await budget.release(each.result())
    await budget.close(complete=True)
    assert hosts.sum("held") == 0


@virtual
async def test_money_beyond_what_a_float_can_tell_is_exact(hosts):
    limit = 9_000_000 * 10**12
    budget = hosts.budget("me", cap(limit))
    await budget.settle(await budget.hold(limit - 3, limit - 3), limit - 3)
    assert await refused(budget, 4) == 3
    await budget.settle(await budget.hold(3, 3), 3)
    assert await refused(budget, 1) == 0
    await budget.close(complete=True)


@virtual
async def test_each_cap_has_its_days_and_its_tag(hosts):
    caps = cap(100, "day"), cap(150, "month"), SharedCap("tag a", 120, "total", tag="a b")
    tagged, other = hosts.budget("x", *caps, tag="a b"), hosts.budget("y", *caps[:2])
    await tagged.settle(await tagged.hold(60, 60), 60)
    await other.settle(await other.hold(40, 40), 40)
    assert await refused(other, 1) == 0
    hosts.day = "2026-11-29"
    assert await refused(tagged, 51) == 50
    hosts.day = NEXT
    assert await refused(tagged, 61) == 60, "of its tag, for all time"
    await other.settle(await other.hold(100, 100), 100)
    for budget in (tagged, other):
        await budget.close(complete=True)


@pytest.mark.parametrize("seed", range(3))
@virtual
async def test_eight_hosts_half_of_them_killed_never_pass_the_cap(hosts, seed):
    rng = random.Random(seed)
    budgets = [hosts.budget(f"run-{number}") for number in range(8)]
    in_flight: dict[Hold, int] = {}
    bill = 0

    async def work(budget: RedisBudget) -> None:
        nonlocal bill
        for _ in range(12):
            worst = rng.randrange(1, 60)
            try:
                hold = await budget.hold(worst, worst)
            except BudgetExhausted:
                continue
            in_flight[hold] = worst
            assert bill + sum(in_flight.values()) <= CAP
            await asyncio.sleep(rng.random())
            cost = rng.randrange(worst + 1)
            bill += cost
            del in_flight[hold]
            await budget.settle(hold, cost)

    tasks = [asyncio.ensure_future(work(budget)) for budget in budgets]
    await asyncio.sleep(7)
    for budget, task in list(zip(budgets, tasks, strict=True))[:4]:
        task.cancel()
        await dies(budget)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 0 < bill + sum(in_flight.values()) <= CAP
    assert hosts.sum("gone") + hosts.sum("held") >= bill + sum(in_flight.values())
    for budget in budgets[4:]:
        await budget.close(complete=True)


def test_what_a_ledger_knows_is_told_by_run_and_day(tmp_path):
    path = tmp_path / "spend.sqlite"
    with closing(open_ledger(path)) as ledger:
        ledger.execute(
            "INSERT INTO runs (run, output, tag, started) VALUES ('r', 'o', 'a', '2026')"
        )
        for model, spent, unknown in (("m", 5, 1), ("n", 2**62, 0)):
            ledger.execute(
                "INSERT INTO spend (run, day, model, rule, spent, unknown)"
                " VALUES ('r', ?, ?, '', ?, ?)",
                (DAY, model, spent, unknown),
            )
        ledger.commit()
    assert known_spend(path) == [KnownSpend("r", DAY, "a", 2**62 + 6)]
