"""A response cache whose prune, import or repair is killed before each durable step:

    python -m tests.drills.cache_kills [--every N]

A child process does the work on a copy of the cache and dies by SIGKILL before step 1,
2, 3, … until it comes to its end. After each death `verify` must find every answer
whole and nothing that belongs to none, but for files whose removal was to come, which
it removes; and the same work, done again, must end as if nothing had happened.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

from claudebatch.core.jsonl import InputLine
from claudebatch.layers.response_cache import exchange
from claudebatch.layers.response_cache import prune as pruning
from claudebatch.layers.response_cache.entries import EntryFilter, make_cache
from claudebatch.layers.response_cache.settings import CacheSettings
from claudebatch.layers.response_cache.verify import verify
from tests.drills.selfkill import die_at
from tests.support.asked import SCOPE, Asked, worth
from tests.support.caches import LARGE
from tests.support.scripted import make_call, make_reply

ENTRIES, GROUP = 14, 4
"""Every third in a file of its own; so many in one transaction."""
_LATER_S = 7200.0
"""Files are no orphans while they are young."""

Work = Callable[[Asked], None]


def prune_all(asked: Asked) -> None:
    """Delete every entry."""
    with asked.reader() as cache:
        pruning.prune(cache, EntryFilter(), now=time.time())


def importing(lines: list[bytes]) -> Work:
    """Taking *lines* over."""

    def take(asked: Asked) -> None:
        numbered = [InputLine(n, 0, len(data), data) for n, data in enumerate(lines, 1)]
        with asked.reader() as cache:
            exchange.imported(
                cache, numbered, CacheSettings(), scope=SCOPE, worth=worth, now=time.time()
            )

    return take


def repair(asked: Asked) -> None:
    """Remove what is damaged."""
    with asked.reader() as cache:
        verify(cache, repair=True, now=time.time() + _LATER_S)


def filled(path: Path) -> list[bytes]:
    """Make a cache with answers at *path*; returns them as lines."""

    async def fill() -> list[bytes]:
        asked = Asked(path)
        answers = [make_reply("z" * len(LARGE) if n % 3 == 0 else "yes") for n in range(ENTRIES)]
        await asked.ask(*((make_call(f"ask {n}"), reply) for n, reply in enumerate(answers)))
        with asked.reader() as cache:
            lines = list(exchange.exported(cache, EntryFilter(), now=time.time()))
        await asked.close()
        return lines

    return asyncio.run(fill())


def killed(place: Path, work: Work, step: int) -> bool:
    """Do *work* on the cache at *place* in a child that dies before *step*; returns
    whether it died.
    """
    child = os.fork()
    if not child:
        try:
            die_at(step, place)
            work(Asked(place))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it died of something else"
    return os.WIFSIGNALED(status)


def deaths(before: Path, work: Work, ends_with: set[int], *, every: int) -> Iterator[int]:
    """The entries that are left after each death, of *ends_with* at the end."""
    step = 1
    with tempfile.TemporaryDirectory() as folder:
        while True:
            place = Path(folder) / f"{step}"
            shutil.copytree(before, place)
            died = killed(place, work, step)
            yield whole(place)
            work(Asked(place))
            assert whole(place) in ends_with, f"done again after step {step}"
            shutil.rmtree(place)
            if not died:
                return
            step += every


def whole(place: Path) -> int:
    """How many answers lie in the cache at *place*, which must be whole."""
    with Asked(place).reader() as cache:
        for again in (False, True):
            found = verify(cache, repair=True, now=time.time() + _LATER_S)
            assert found.structure is None, found
            assert found.damaged_count == 0, found
            assert found.orphan_notes == 0, found
            # Those of one transaction, removed after it or named by none yet.
            assert found.orphan_files <= (0 if again else GROUP), found
        return found.entries


def drill(every: int) -> dict[str, int]:
    """The deaths of each kind of work."""
    counted = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(pruning, "_AT_ONCE", GROUP),
        patch.object(exchange, "_AT_ONCE", GROUP),
    ):
        full, empty, bad = (Path(folder) / name for name in ("full", "empty", "bad"))
        lines = filled(full)
        make_cache(empty, 2**30)
        shutil.copytree(full, bad)
        Asked(bad).sql("UPDATE Cache SET value = x'00' WHERE rowid % 2 AND filename IS NULL")
        for name, before, work, ends_with in (
            ("prune", full, prune_all, {0}),
            ("import", empty, importing(lines), {ENTRIES}),
        ):
            counted[name] = sum(1 for _ in deaths(before, work, ends_with, every=every)) - 1
        counted["repair"] = _repairs(bad, every)
    return counted


def _repairs(bad: Path, every: int) -> int:
    """A repair is done again by the look itself: no answer that is sound may go."""
    sound = ENTRIES - Asked(bad).sql("SELECT count(*) FROM Cache WHERE value = x'00'")[0][0]
    step = 1
    with tempfile.TemporaryDirectory() as folder:
        while True:
            place = Path(folder) / f"{step}"
            shutil.copytree(bad, place)
            died = killed(place, repair, step)
            repair(Asked(place))
            assert whole(place) == sound, f"after step {step}"
            if not died:
                return (step - 1) // every
            step += every


def main() -> None:
    """Kill, look, and print how often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each so many-th step")
    for name, times in drill(parser.parse_args().every).items():
        print(f"{name}: killed {times} times, and the cache was whole each time")


if __name__ == "__main__":
    main()
