"""Others: how much somebody else takes from a limit that we share, learned from what
headers correct.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import OTHERS_SILENCE_S
from claudebatch.layers.rate_limit.other_consumers import OtherConsumers
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket
from tests.scenarios.figures import longest_gap_s
from tests.scenarios.play import play
from tests.scenarios.scenario import cases

SCENARIO = Path(__file__).parents[2] / "scenarios" / "another_user.yaml"


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


def test_the_less_is_believed_the_longer_nothing_is_heard() -> None:
    others = watched(50.0, seconds=60)
    at = 59.9 + OTHERS_SILENCE_S
    others.silent(at)
    assert others.per_s == pytest.approx(50, rel=0.01)
    for moment in (at + OTHERS_SILENCE_S / 2, at + OTHERS_SILENCE_S):
        others.silent(moment)
    assert others.per_s == pytest.approx(25, rel=0.01), "however often that is asked"


@pytest.mark.parametrize(("draw", "stood_still_s"), [(3, 45.9), (8, 32.5), (22, 39.7)])
def test_a_burst_of_theirs_stops_the_pool_no_longer_than_it_can_be_believed(
    draw: int, stood_still_s: float
) -> None:
    case = next(case for case in cases(SCENARIO) if case.name == "another_user, ITPM, 5 s")
    assert longest_gap_s(play(case, draw)) < 15 < stood_still_s


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
