"""What the cap costs and what it leaves: caps from half a request to a thousand, 64 in
flight; and shared caps on disk.

    python -m benchmarks.budget              # both
    python -m benchmarks.budget race 200     # eight processes on one cap, 200 times,
                                             # with kill -9 of half of them

The first part runs in virtual time against an API at which every answer costs the most
that it can.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from claudebatch.core.domain import PICO_PER_USD, Call
from claudebatch.core.drain import Drain
from claudebatch.core.errors import BudgetExhausted
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.budget.shared_budget import SharedBudget
from claudebatch.storage.ledger import LedgerWriter, RunEntry
from claudebatch.storage.ledger.shared_caps import SharedCaps
from tests.support.parts import Bench, make_bench
from tests.support.spender import Dearest, spend
from tests.support.virtual import run_virtual

TIMES = (0.5, 1, 1.5, 2, 5, 10, 50, 64, 100, 500, 1000)
DAY = "2026-11-22"


async def one_cap(times: float, *, mixed: bool) -> str:
    """A line of the table."""
    rng = random.Random(7)
    probe = make_bench()

    def rows(bench: Bench) -> list[Call]:
        sizes = [rng.randrange(50, 2000) if mixed else 1000 for _ in range(1300)]
        return [
            bench.call(f"row {1000 + n}", row=n, max_tokens=most) for n, most in enumerate(sizes)
        ]

    one = probe.worst(probe.call("row 1000", max_tokens=1000))
    cap = int(one * times)
    bench = make_bench(cap=cap, cached=False)
    calls = rows(bench)
    found = await spend(bench, Dearest(bench), calls)
    largest = max(bench.worst(call) for call in calls)
    ideal = -(-found.answered // 64)
    over = max(0, found.highest - cap)
    name = "mixed" if mixed else "equal"
    return (
        f"{times:>6g}x {name}  {found.answered:>5} answered  overshoot ${over / PICO_PER_USD:.6f}"
        f"  used {found.billed / cap:7.2%} (at least {max(0.0, 1 - largest / cap):7.2%})"
        f"  extra time {found.seconds - ideal:g} s"
    )


async def shared_holds(count: int = 5000) -> str:
    """How long a hold takes under caps on disk, 64 at a time."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "spend.sqlite"
        LedgerWriter.open(ledger, RunEntry("me", "out", "now"), shared_budget=True).close()
        caps = [SharedCap("day", 10**15, "day"), SharedCap("month", 10**16, "month")]
        drain = Drain()

        async def flush() -> None:
            return None

        budget_store = SharedBudget(
            RunBudget(None, spent=0, waits=drain),
            SharedCaps.open(ledger, "me", caps),
            today=lambda: DAY,
            now=time.monotonic,
            waits=drain,
            emit=lambda event: None,
            flush=flush,
            settle_dead=lambda runs: None,
        )
        waits: list[float] = []
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                began = time.perf_counter()
                hold = await budget_store.hold(10**9, 10**9)
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.001)
                await budget_store.settle(hold, 10**8)

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(64)))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        await budget_store.close(complete=True)
        waits.sort()
        chosen = (sum(waits) / count, waits[count // 2], waits[-count // 20], waits[-1])
        mean, middle, late, most = (1000 * seconds for seconds in chosen)
        return (
            f"shared caps: {count} holds, {mean:.3f} ms a hold on average, p50 {middle:.3f} ms, "
            f"p95 {late:.2f} ms,"
            f" most {most:.1f} ms; {wall:.1f} s in all, {1e6 * cpu / count:.0f} µs of CPU a hold"
        )


def holder(ledger: Path, name: str, seed: int, bill: str) -> None:
    """A process that spends what it can of the cap, and writes each cost down where the
    judge sees it.
    """
    asyncio.run(_hold(ledger, name, seed, bill))


async def _hold(ledger: Path, name: str, seed: int, bill: str) -> None:
    rng, drain = random.Random(seed), Drain()
    log = os.open(bill, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def flush() -> None:
        return None

    budget_store = SharedBudget(
        RunBudget(None, spent=0, waits=drain),
        SharedCaps.open(ledger, name, [SharedCap("day", 100_000, "day")]),
        today=lambda: DAY,
        now=time.monotonic,
        waits=drain,
        emit=lambda event: None,
        flush=flush,
        settle_dead=lambda runs: None,
    )

    async def work() -> None:
        while True:
            worst = rng.randrange(1, 2000)
            try:
                async with asyncio.timeout(1):
                    hold = await budget_store.hold(worst, worst)
            except (BudgetExhausted, TimeoutError):
                return
            os.write(log, b"%d\n" % worst)  # billed from here on, whatever becomes of us
            await asyncio.sleep(rng.random() * 0.005)
            await budget_store.forfeit(hold)

    await asyncio.gather(*(work() for _ in range(8)))
    await budget_store.close(complete=False)
    os.close(log)


def race(repeats: int) -> None:
    """Eight processes on one cap, again and again; half of them are killed on the
    way.
    """
    over = 0
    used: list[float] = []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            ledger, bill = Path(folder) / "spend.sqlite", str(Path(folder) / "bill")
            LedgerWriter.open(ledger, RunEntry("first", "out", "now"), shared_budget=True).close()
            context = multiprocessing.get_context("fork")
            running = [
                context.Process(target=holder, args=(ledger, f"run {n}", repeat * 8 + n, bill))
                for n in range(8)
            ]
            for process in running:
                process.start()
            time.sleep(0.05 + random.Random(repeat).random() * 0.2)
            for process in running[:4]:
                os.kill(process.pid or 0, signal.SIGKILL)
            for process in running:
                process.join(60)
            billed = sum(map(int, Path(bill).read_text().split())) if Path(bill).exists() else 0
            over, used = over + max(0, billed - 100_000), [*used, billed / 100_000]
    print(
        f"race: {repeats} times 8 processes, 4 of them killed: joint overshoot {over},"
        f" used {min(used):.1%} to {max(used):.1%}"
    )


def main() -> None:
    """Print what was asked for."""
    if sys.argv[1:2] == ["race"]:
        race(int(sys.argv[2]) if len(sys.argv) > 2 else 20)
        return
    for mixed in (False, True):
        for times in TIMES:
            print(run_virtual(one_cap(times, mixed=mixed)))
    print(asyncio.run(shared_holds()))


if __name__ == "__main__":
    main()
