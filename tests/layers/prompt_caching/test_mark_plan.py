"""What is marked, and for how long."""

from __future__ import annotations

import random

import pytest

from claudebatch.layers.prompt_caching.chains import Link, SharedBeginning, chain_of
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing, ttl_s


def shared(
    rows: int, *, heaviest: int = 0, gap: float = 1.0, own: int = 0, digest: bytes = b"12345678"
) -> SharedBeginning:
    last = round(gap * (rows - 1))
    return SharedBeginning(Link(digest, 5_000, own), 0, rows, heaviest, 0, last)


@pytest.mark.parametrize(
    ("rows", "heaviest", "gap", "seconds"),
    [
        (1, 0, 1.0, 0),  # nobody reads it
        (2, 0, 1.0, 300),  # five minutes pay from the first read on
        (100, 99, 1.0, 300),  # one row goes on otherwise than the others
        (100, 100, 1.0, 0),  # all go on alike: the longer one is marked
        (100, 50, 239.0, 300),
        (100, 50, 241.0, 3600),  # they would often come too late
        (2, 0, 241.0, 0),  # an hour pays from the second read on
        (3, 0, 241.0, 3600),
        (100, 50, 2_879.0, 3600),
        (100, 50, 2_881.0, 0),
    ],
)
def test_a_mark_is_set_where_it_pays(rows, heaviest, gap, seconds):
    found = shared(rows, heaviest=heaviest, gap=gap)
    assert ttl_s(found, Spacing(row_s=1.0)) == seconds


def test_how_many_rows_share_it_is_known_up_to_255():
    plan, counts = MarkPlan(), [2, 3, 20, 255, 256, 10**6]
    digests = [b"%08d" % rows for rows in counts]
    every = zip(counts, digests, strict=True)
    plan.fill([shared(rows, digest=digest) for rows, digest in every], Spacing(row_s=0.0))
    assert list(map(plan.rows, digests)) == [2, 3, 20, 255, 255, 255]
    assert plan.rows(b"unheard!") == 0


def test_rows_that_follow_each_other_are_as_close_as_any_two():
    far = shared(3, gap=10_000)
    assert ttl_s(far, Spacing(row_s=1.0)) == 0
    assert ttl_s(far, Spacing(row_s=1.0, together=True)) == 300
    assert ttl_s(far, Spacing(row_s=250.0, together=True)) == 3600


def test_marks_of_the_rows_own_are_as_they_are():
    assert ttl_s(shared(1, own=3600), Spacing(row_s=1.0)) == 3600


def test_a_plan_finds_what_was_put_into_it_and_nothing_else():
    rng = random.Random(5)
    digests = [rng.randbytes(8) for _ in range(2_000)]
    kept, left = digests[:1_000], digests[1_000:]
    plan = MarkPlan()
    assert plan.ttl_s(kept[0]) == 0
    plan.fill(
        [
            *(shared(3, digest=one, gap=1 if n % 2 else 1_000) for n, one in enumerate(kept)),
            *(shared(1, digest=one) for one in left),
        ],
        Spacing(row_s=1.0),
    )
    assert len(plan) == 1_000
    assert [plan.ttl_s(one) for one in kept] == [3600, 300] * 500
    assert not any(map(plan.ttl_s, left))
    chain = chain_of(Link(one, 600) for one in (kept[0], left[0], kept[1]))
    assert [(one.link.digest, one.ttl_s) for one in plan.kept(chain)] == [
        (kept[0], 3600),
        (kept[1], 300),
    ]
    assert plan.path(chain) == kept[0] + kept[1]


def test_a_mark_of_its_own_that_one_row_has_groups_nothing():
    plan = MarkPlan()
    plan.fill([shared(1, own=300)], Spacing(row_s=1.0))
    assert len(plan) == 0
