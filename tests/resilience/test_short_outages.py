"""A short outage that meets rows with one attempt left is over when it is over, and no
row gets more requests than `max_attempts`.

Before, such rows waited until five minutes after the last answer. Seconds until the end
of the run, and in brackets the rows that failed for the outage, before and now, of
answers of 0.3 s and an outage of 500s:

| rows, attempts, at | 5 s | 20 s | 60 s | 300 s |
|---|---|---|---|---|
| 500, 2, end | 318 (0) 30 (0) | 318 (0) 48 (1) | 318 (0) 134 (2) | 318 (0) 319 (3) |
| 24, 2, start | 17 (0) 17 (0) | 312 (0) 55 (0) | 312 (0) 129 (1) | 312 (0) 315 (2) |
| 24, 2, middle | 314 (3) 29 (3) | 314 (3) 57 (4) | 314 (3) 141 (5) | 314 (3) 316 (6) |
| 7, 5, middle | 11 (0) 11 (0) | 313 (1) 25 (1) | 313 (1) 69 (2) | 313 (1) 208 (4) |

Three of 24 are lost before the breaker can open. Of 7 rows that all fail, with three
attempts, the run takes 19 s instead of 301.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call
from tests.resilience.driver import Happening, Ran, refused, reset, run, status_error
from tests.support.virtual import virtual

KINDS = {
    "500": lambda: status_error(500),
    "reset": reset,
    "529": lambda: status_error(529),
    "refused": refused,
}
OF_ROWS = ("500", "reset")


class Outage:
    """Requests that come within *lasts_s* of the first one of row *since* fail, and
    those of *bad* rows at any time.
    """

    def __init__(
        self, kind: str, lasts_s: float, *, since: int = 0, bad: Collection[int] = (), seed: int = 0
    ) -> None:
        self._kind, self._lasts_s, self._since, self._bad = kind, lasts_s, since, bad
        self._rng = random.Random(seed)
        # Mutable: when it began; how often each row failed as single rows do.
        self.began = math.inf
        self.own: Counter[int] = Counter()

    def __call__(self, call: Call, before: int, at: float) -> Happening:
        """What happens to a request; see `Fate`."""
        if call.row >= self._since:
            self.began = min(self.began, at)
        out = self.began <= at < self.began + self._lasts_s
        if not out and call.row not in self._bad:
            return 0.3 * self._rng.uniform(0.5, 1.5), None
        kind = self._kind if out else "500"
        self.own[call.row] += kind in OF_ROWS
        return 0.1 * self._rng.uniform(0.5, 1.5), KINDS[kind]()


async def cut_short(
    kind: str, lasts_s: float, *, rows: int, since: int = 0, attempts: int = 2, workers: int = 64
) -> tuple[Ran, float]:
    """A run that meets an outage, and how long it took from there."""
    outage = Outage(kind, lasts_s, since=since)
    ran = await run(rows, outage, workers=workers, retry={"max_attempts": attempts})
    assert ran.ended.stop is None and max(outage.own.values()) <= attempts
    return ran, ran.wall_s - outage.began


@pytest.mark.parametrize("kind", OF_ROWS)
@pytest.mark.parametrize(
    ("rows", "since", "workers"),
    [
        pytest.param(24, 0, 64, id="a short file"),
        # Some rows have failed since the last answer, the others before it: those gave
        # way to these, who waited for their last attempt.
        pytest.param(150, 112, 32, id="the end of a file"),
    ],
)
@virtual
async def test_five_seconds_with_two_attempts_lose_no_row_and_no_minutes(
    rows, since, workers, kind
):
    ran, took_s = await cut_short(kind, 5, rows=rows, since=since, workers=workers)
    assert ran.failed == [] and took_s <= 35


@pytest.mark.parametrize(
    ("lasts_s", "lost", "within_s"), [(20, 1, 70), (60, 2, 200), (290, 3, 330)]
)
@virtual
async def test_a_longer_one_takes_a_row_whenever_it_is_three_times_as_old(lasts_s, lost, within_s):
    ran, took_s = await cut_short("500", lasts_s, rows=24)
    assert len(ran.failed) <= lost and took_s <= within_s


@virtual
async def test_while_any_row_has_attempts_to_spare_those_find_out():
    ran, took_s = await cut_short("500", 60, rows=24, attempts=3)
    assert ran.failed == [] and took_s <= 90


@virtual
async def test_the_default_attempts_of_four_rows_outlast_five_minutes():
    ran, took_s = await cut_short("500", 300, rows=4, attempts=8)
    assert ran.failed == [] and took_s <= 330


@virtual
async def test_a_short_file_in_which_all_rows_fail_ends_soon():
    ran, took_s = await cut_short("500", math.inf, rows=7, attempts=3)
    assert len(ran.failed) == 7 and took_s <= 30


@virtual
async def test_rows_lost_to_an_outage_do_not_make_those_that_are_left_bad_ones():
    """Twelve were served: of twelve that are left, six would be believed to be bad."""
    ran, _ = await cut_short("500", 290, rows=24, since=12)
    # Some before the breaker opens, and three to find out.
    assert len(ran.failed) <= 8


@settings(max_examples=40)
@given(
    rows=st.integers(1, 24),
    share=st.sampled_from([0.0, 0.1, 0.4, 0.8, 1.0]),
    attempts=st.integers(1, 5),
    kind=st.sampled_from(list(KINDS)),
    lasts_s=st.sampled_from([0.0, 2.0, 20.0, 200.0, math.inf]),
    place=st.floats(0, 0.99),
    workers=st.sampled_from([1, 4, 64]),
    seed=st.integers(0, 999),
)
def test_a_row_gets_max_attempts_and_every_run_ends(
    rows, share, attempts, kind, lasts_s, place, workers, seed
):
    rng = random.Random(seed)
    bad = {row for row in range(rows) if rng.random() < share}
    outage = Outage(kind, lasts_s, since=int(place * rows), bad=bad, seed=seed)

    @virtual
    async def play() -> None:
        policy = {"max_attempts": attempts}
        ran = await run(rows, outage, workers=workers, retry=policy, max_outage="5m")
        stopped = ran.ended.stop
        assert stopped is None or stopped.exit_code == 5
        assert len(ran.outcomes) == rows or stopped is not None
        assert max(outage.own.values(), default=0) <= attempts
        # Each answer begins the longest outage anew.
        assert ran.wall_s <= 310 * (1 + len(ran.succeeded))

    play()
