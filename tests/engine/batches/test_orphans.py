"""Which of the account's batches may be one whose making was not answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from claudebatch.clients.batch_records import Batch, BatchCounts
from claudebatch.engine.batches.orphans import LAG_S, candidates, given_up, too_old
from claudebatch.storage.journal.batches import BatchRow, BatchState

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
INTENT = BatchRow(1, "0123456789abcdef", BatchState.READY, 100, 5000, round(NOW.timestamp() * 1000))


def listed(name: str, *, after_s: float = 1.0, requests: int = 100) -> Batch:
    return Batch(
        id=name,
        status="in_progress",
        counts=BatchCounts(processing=requests),
        created_at=NOW + timedelta(seconds=after_s),
        expires_at=None,
        ended_at=None,
        archived_at=None,
        server_time=None,
        retry_after=None,
        simulated=False,
    )


def names(*batches: Batch, taken: tuple[str, ...] = (), skew_s: float = 0.0) -> list[str]:
    return [batch.id for batch in candidates(INTENT, batches, taken=taken, skew_s=skew_s)]


def test_a_candidate_has_as_many_requests_and_was_made_after_the_intent():
    assert names(listed("a"), listed("b", requests=99), listed("c", after_s=-3600)) == ["a"]


def test_ended_batches_count_all_of_their_requests():
    ended = listed("a", requests=0)
    counts = BatchCounts(succeeded=90, errored=4, canceled=3, expired=3)
    object.__setattr__(ended, "counts", counts)
    assert names(ended) == ["a"]


def test_those_that_belong_to_others_are_none():
    assert names(listed("a"), listed("b"), taken=("a",)) == ["b"]


def test_the_oldest_comes_first_for_a_retried_create_may_have_made_two():
    assert names(listed("late", after_s=30), listed("early", after_s=2)) == ["early", "late"]


def test_the_servers_clock_may_be_hours_off():
    behind = listed("a", after_s=1.0 - 7200)
    assert names(behind) == []
    assert names(behind, skew_s=-7200) == ["a"]
    assert too_old(INTENT, behind, skew_s=0.0)
    assert not too_old(INTENT, behind, skew_s=-7200)


def test_it_was_never_made_once_lists_have_had_their_time():
    assert not given_up(0.0)
    assert not given_up(LAG_S - 0.001)
    assert given_up(LAG_S)
