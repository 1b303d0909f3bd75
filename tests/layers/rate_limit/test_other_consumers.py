"""Others: how much somebody else takes from a limit that we share, learned from what
headers correct.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.other_consumers import OtherConsumers
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket


def watched(theirs: float, *, seconds: int, rate: float = 100.0) -> OtherConsumers:
    """The picture sinks by what *theirs* a second is more than is known of them."""
    others = OtherConsumers(0.0)
    for tenth in range(1, seconds * 10):
        others.moved(-(theirs - others.per_s) / 10, tenth / 10, rate=rate)
    return others


@pytest.mark.parametrize("theirs", [0.0, 10.0, 50.0, 90.0])
def test_it_comes_to_rest_at_what_they_take(theirs: float) -> None:
    assert watched(theirs, seconds=60).per_s == pytest.approx(theirs, rel=0.01)


def test_a_little_is_always_tried() -> None:
    assert watched(500.0, seconds=60).per_s == pytest.approx(96)


def test_it_is_never_below_nothing() -> None:
    assert watched(-50.0, seconds=60).per_s == 0


def test_one_answer_is_no_reason() -> None:
    others = OtherConsumers(0.0)
    others.moved(-1000, 0.1, rate=100)
    assert others.per_s == 0


def test_the_picture_slows_down_with_them_and_comes_back_when_they_leave() -> None:
    bucket, api = BucketMirror(6000, now=0, step=1, level=1, spaced=True), ApiBucket(6000, 5.0, 0)
    left: list[float] = []
    at = refused = moved = 0.0
    while at < 180:
        at += max(bucket.wait_for(1, at), 1e-6)
        if len(left) % 2 and at < 90:
            api.take(1, at)  # somebody else takes half
        snapshot = bucket.take(1, at)
        refused += api.wait_for(1, at) > 0
        api.take(1, at)
        by = bucket.observe(snapshot, max(0, int(api.level(at))), at)
        moved += abs(by) if 60 < at < 90 else 0.0
        left.append(at)
    assert refused == 0
    assert moved < 300, (
        "once they are known the picture is right: a thousand of theirs need no correction"
    )
    assert sum(60 < moment < 90 for moment in left) == pytest.approx(2000, rel=0.05), (
        "two of ours for one of theirs"
    )
    assert sum(150 < moment < 180 for moment in left) == pytest.approx(3000, rel=0.05)
