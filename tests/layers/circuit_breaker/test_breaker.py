"""Breaker: the state machine of one pool, without clock or network."""

from __future__ import annotations

import itertools

import pytest

from claudebatch.layers.circuit_breaker.breaker import Breaker, Permit
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy

POLICY = BreakerPolicy(minimum_calls=4, failure_rate=0.5, window_s=30, wait_open_s=10, probes=3)


ROWS = itertools.count(1000)


def closed(policy: BreakerPolicy = POLICY) -> Breaker:
    return Breaker(policy, now=0)


def called(breaker: Breaker, *verdicts: str, at: float = 0, row: int | None = None) -> None:
    """One call after the other, each of a row of its own unless they are all of
    *row*.
    """
    for verdict in verdicts:
        permit = breaker.admits(at)
        assert permit is not None
        breaker.record(permit, verdict, at, row=next(ROWS) if row is None else row)


def opened(at: float = 0) -> Breaker:
    breaker = Breaker(POLICY, now=at)
    called(breaker, *["failed"] * 4, at=at)
    assert breaker.state == "open"
    return breaker


def test_it_stays_closed_below_the_minimum_of_calls():
    breaker = closed()
    called(breaker, "failed", "failed", "failed")
    assert breaker.state == "closed"


def test_it_opens_at_the_failure_rate_and_not_below():
    breaker = closed()
    called(breaker, "served", "served", "served", "failed", "failed")
    assert breaker.state == "closed"
    called(breaker, "failed")
    assert breaker.state == "open"


def test_a_success_never_opens_it():
    breaker = closed()
    called(breaker, "failed", "failed", "failed", "served")
    assert breaker.state == "closed"


@pytest.mark.parametrize("good", [0, 3, 1000])
@pytest.mark.parametrize(("minimum", "rate"), [(4, 0.5), (20, 0.5), (20, 0.9), (7, 1.0)])
def test_the_minimum_of_failures_in_a_row_opens_it_however_good_the_time_before_was(
    good, minimum, rate
):
    breaker = closed(BreakerPolicy(minimum_calls=minimum, failure_rate=rate))
    called(breaker, *["served"] * good)
    for row in range(minimum):
        if breaker.state == "closed":
            called(breaker, "failed", row=row)
    assert breaker.state == "open"


def test_old_failures_are_forgotten_once_there_are_enough_newer_calls():
    breaker = closed()
    called(breaker, "failed", "failed", "failed")
    called(breaker, "served", "served", "served", at=31)
    called(breaker, "failed", at=31)
    assert breaker.state == "closed", "one in four: the first three are too old"


def test_a_pool_that_is_asked_once_a_minute_opens_as_well():
    breaker = closed()
    for minute in range(4):
        called(breaker, "failed", at=60 * minute, row=minute)
    assert breaker.state == "open"


def test_time_outs_that_come_in_last_do_not_open_it_when_what_was_sent_after_them_was_served():
    breaker = closed()
    hanging = [breaker.admits(0) for _ in range(4)]
    called(breaker, *["served"] * 8, at=50)
    for row, permit in enumerate(hanging):
        breaker.record(permit, "failed", 60, row=row)
    assert breaker.state == "closed", "all that was sent after them was served"
    hanging = [breaker.admits(61) for _ in range(4)]
    for row, permit in enumerate(hanging):
        breaker.record(permit, "failed", 121, row=10 + row)
    assert breaker.state == "open", "nothing was sent after these"


def test_early_failures_do_not_open_the_breaker_when_calls_sent_with_them_were_served():
    breaker = closed()
    out: list[Permit] = []
    for number in range(100):
        at = 3.0 * number
        permit = breaker.admits(at)
        if number > 40 and number % 4 == 0:
            breaker.record(permit, "failed", at + 0.1, row=number)
        else:
            out.append(permit)
        while out and out[0].sent_at <= at - 60:
            breaker.record(out.pop(0), "served", at + 0.2, row=-number)
        assert breaker.state == "closed", "a quarter fails, at once; the others take a minute"


def test_quick_failures_at_the_beginning_do_not_open_it_while_most_calls_may_still_be_served():
    breaker = closed()
    out = [breaker.admits(0) for _ in range(20)]
    for permit in out:
        breaker.leaves(permit, 0)
    for row, permit in enumerate(out[:9]):
        breaker.record(permit, "failed", 0.1, row=row)
    assert breaker.state == "closed", "failures are the first to come back, and 11 may be served"
    breaker.record(out[9], "failed", 5.0, row=9)
    assert breaker.state == "open", "they are no longer young"


def test_failures_that_come_back_before_answers_do_not_open_it():
    breaker = closed()
    # A third of the rows fail, and three times as fast as others are served.
    called(breaker, "failed", "failed", at=0)
    called(breaker, "served", at=0.5)
    out = [breaker.admits(1, next(ROWS)) for _ in range(3)]
    for permit in out:
        assert permit is not None
        assert breaker.leaves(permit, 1)
    called(breaker, "failed", "failed", at=1)
    assert breaker.state == "closed", "three may still be served"
    called(breaker, "failed", at=1.1)
    assert breaker.state == "open", "since the last answer as many failed as are out"


def test_calls_in_flight_from_before_an_outage_neither_prove_nor_hide_anything():
    breaker = closed(BreakerPolicy(minimum_calls=20, failure_rate=0.5))
    served = [breaker.admits(0.01 * n) for n in range(60)]
    for permit in served:
        breaker.leaves(permit, permit.sent_at)
    failing = [breaker.admits(1) for _ in range(20)]
    for row, permit in enumerate(failing, 1):
        breaker.leaves(permit, 1)
        breaker.record(permit, "failed", 1.1, row=row)
        if row % 2:
            breaker.record(served.pop(0), "served", 1.1, row=100 + row)
    assert breaker.state == "open", "50 that are still out were sent before it all"


def test_calls_that_wait_in_the_layers_below_are_not_out():
    breaker = closed()
    waiting = [breaker.admits(0) for _ in range(50)]
    for row, permit in enumerate(waiting[:4]):
        breaker.leaves(permit, 1)
        breaker.record(permit, "failed", 1.1, row=row)
    assert breaker.state == "open"
    assert not breaker.leaves(waiting[4], 1.2), "it was admitted before, and is called back"


def test_one_bad_row_never_opens_it():
    breaker = closed()
    called(breaker, *["failed"] * 50, row=1)
    called(breaker, *["failed"] * 3, row=2)
    assert breaker.state == "closed", "nobody knows whether it is the rows or the pool"
    called(breaker, "failed", row=3)
    assert breaker.state == "open"


def test_rows_that_fail_again_while_others_are_served_say_nothing_of_the_pool():
    breaker = closed()
    for second in range(3):
        for row in range(3):
            called(breaker, "failed", at=second, row=row)
        called(breaker, *["served"] * 7, at=second + 0.5, row=9)
    for second in range(3, 23):
        for row in range(3):
            called(breaker, "failed", at=second, row=row)
    assert breaker.state == "closed", "at the end of a run they may be all that is left"
    called(breaker, *["failed"] * 4, at=23)
    assert breaker.state == "open", "rows that had not failed before are believed"


def test_what_is_served_out_while_an_outage_begins_does_not_hide_it():
    breaker = closed()
    early = [breaker.admits(0) for _ in range(3)]
    called(breaker, "failed", at=1, row=1)
    called(breaker, "failed", at=1, row=2)
    for row, permit in enumerate(early):
        breaker.record(permit, "served", 2, row=10 + row)
    called(breaker, "failed", at=3, row=1)
    assert breaker.state == "closed", "row 1 may be bad"
    called(breaker, "failed", at=3)
    assert breaker.state == "open" and breaker.out_since == 0
    assert not breaker._bad_rows.is_bad(1), "it failed in the outage, which began at second 0"


def test_a_bad_row_as_a_probe_neither_closes_nor_opens_it():
    breaker = closed()
    called(breaker, "failed", row=9)
    called(breaker, "served", at=1, row=8)
    called(breaker, "failed", at=2, row=9)
    called(breaker, "failed", "failed", at=2)
    assert breaker.state == "open"
    breaker.record(breaker.admits(12), "failed", 13, row=9)
    assert breaker.state == "half-open" and breaker.opens_in(13) == 9
    breaker.record(breaker.admits(22), "failed", 23, row=7)
    assert breaker.state == "open"


def test_a_bad_row_that_has_left_the_window_is_no_second_witness():
    breaker = closed()
    called(breaker, "failed", row=2)
    called(breaker, *["served"] * 8, row=3)
    called(breaker, *["failed"] * 8, row=1)
    assert breaker.state == "closed"


def test_calls_that_are_all_slow_or_failed_open_it():
    breaker = closed()
    called(breaker, "slow", "slow", "failed")
    assert breaker.state == "closed" and breaker.served_at == 0
    called(breaker, "slow", at=7)
    assert breaker.state == "open"
    assert breaker.served_at == 7, "a slow answer is an answer"


def test_one_quick_answer_is_enough_to_forgive_slow_ones():
    breaker = closed()
    called(breaker, "served", *["slow"] * 6)
    assert breaker.state == "closed"
    strict = closed(BreakerPolicy(minimum_calls=4, slow_call_rate=0.5))
    called(strict, "served", "served", "slow", "slow", "slow")
    assert strict.state == "open"


def test_open_it_admits_nobody_until_the_wait_is_over():
    breaker = opened(at=5)
    assert breaker.admits(5) is None and breaker.admits(14.9) is None
    assert breaker.opens_in(5) == 10 and breaker.opens_in(14) == 1 and breaker.opens_in(20) == 0
    assert breaker.state == "open"
    assert breaker.admits(15) is not None
    assert breaker.state == "half-open"


def test_half_open_one_probe_goes_per_wait_and_three_in_all():
    breaker = opened()
    admitted = [at for at in range(100) if breaker.admits(at) is not None]
    assert admitted == [10, 20, 30]
    assert breaker.opens_in(50) == 1


def test_once_a_probe_was_served_the_others_may_go_at_once():
    breaker = opened()
    first = breaker.admits(10)
    breaker.record(first, "served", 11, row=1)
    assert breaker.opens_in(11) == 0
    others = [breaker.admits(11), breaker.admits(11)]
    assert None not in others and breaker.admits(11) is None
    for permit, verdict in zip(others, ("slow", "served"), strict=True):
        assert breaker.state == "half-open"
        breaker.record(permit, verdict, 12, row=1)
    assert breaker.state == "closed" and breaker.served_at == 12, (
        "a slow probe is one that was served"
    )


def test_one_failed_probe_opens_it_again_for_the_whole_wait():
    breaker = opened()
    breaker.record(breaker.admits(10), "served", 11, row=1)
    permits = [breaker.admits(11), breaker.admits(11)]
    breaker.record(permits[0], "failed", 12, row=1)
    assert breaker.state == "open" and breaker.opens_in(12) == 10
    assert breaker.admits(21.9) is None and breaker.admits(22) is not None


def test_a_probe_that_was_never_sent_makes_room_for_another_at_once():
    breaker = opened()
    breaker.forget(breaker.admits(10), sent=False)
    assert breaker.admits(10.5) is not None
    assert breaker.admits(10.5) is None


def test_a_probe_that_says_nothing_makes_room_for_another_after_the_wait():
    breaker = opened()
    breaker.forget(breaker.admits(10), sent=True)
    assert breaker.admits(19.9) is None
    assert breaker.admits(20) is not None


def test_a_late_answer_of_the_time_before_it_opened_decides_nothing():
    breaker = closed()
    early = [breaker.admits(0) for _ in range(6)]
    for row, permit in enumerate(early[:4]):
        breaker.record(permit, "failed", 0, row=row)
    breaker.record(early[4], "served", 5, row=4)
    assert breaker.state == "open", "a late success does not close it"
    assert not breaker._out, "they are waited for no more"
    assert breaker.served_at == 5, "but it was served"
    breaker.admits(10)
    breaker.record(early[5], "failed", 11, row=5)
    assert breaker.state == "half-open", "a late failure does not open it again"


def test_a_late_probe_of_an_earlier_half_open_time_takes_no_place_in_the_next():
    breaker = opened()
    permits = [breaker.admits(at) for at in (10, 20, 30)]
    breaker.record(permits[0], "failed", 31, row=1)
    again = breaker.admits(41)
    breaker.forget(permits[1], sent=False)
    breaker.record(permits[2], "served", 41, row=1)
    assert again is not None and breaker.admits(41) is None
    assert breaker.state == "half-open"


def test_closed_again_it_begins_with_a_clean_window():
    breaker = opened()
    for permit in (breaker.admits(10), breaker.admits(20), breaker.admits(30)):
        breaker.record(permit, "served", 30, row=1)
    assert breaker.state == "closed"
    called(breaker, "failed", "failed", "failed", at=31)
    assert breaker.state == "closed"


def test_an_endless_row_of_bad_rows_takes_no_memory():
    breaker = closed(BreakerPolicy(minimum_calls=20_000))
    called(breaker, *["failed"] * 10_500)
    assert len(breaker._bad_rows._failed) == 10_000


def test_beside_many_bad_rows_an_outage_needs_more_of_others():
    wanted = {0: 3, 8: 3, 12: 4, 40: 11, 400: 20}
    assert {bad: BreakerPolicy().outage_rows(bad) for bad in wanted} == wanted


def open_beside_a_bad_row() -> Breaker:
    """Row 9 was bad before anything was sent; four others open the breaker."""
    breaker = closed()
    breaker.was_bad(9, 0)
    called(breaker, "failed", at=0, row=9)
    called(breaker, *["failed"] * 4)
    assert breaker.state == "open"
    return breaker


def test_a_bad_row_is_held_while_others_ask():
    breaker = open_beside_a_bad_row()
    assert breaker.admits(10, 9) is None and breaker.asks_again_in(10, 9) == 10
    assert breaker.admits(10, 1) is not None, "the probe is left for a row that tells something"
    assert breaker.admits(35, 9) is None, "the probe is out"
    assert breaker.state == "half-open"


def test_where_only_bad_rows_ask_it_closes():
    breaker = open_beside_a_bad_row()
    assert breaker.admits(20, 9) is None, "others may still ask"
    assert breaker.admits(20.5, 9) is not None and breaker.state == "closed"


def at_the_end(left: int | None, *, served: int = 8, rows: bool = True) -> Breaker:
    """A pool that has *served* so many rows and then failed four, of *left*; *rows*: as
    single rows fail.
    """
    breaker = Breaker(POLICY, now=0, rows_left=lambda: left)
    for row in range(served):
        breaker.record(breaker.admits(0) or Permit(0, 0), "served", 0, 100 + row)
    for row in range(4):
        breaker.record(breaker.admits(1) or Permit(0, 1), "failed", 1, row, may_be_rows=rows)
    return breaker


def test_where_every_row_that_is_left_has_failed_after_many_were_served_they_are_bad():
    breaker = at_the_end(4)
    assert (breaker.state, breaker.blameless) == ("closed", True)
    for _ in range(30):
        breaker.record(breaker.admits(2) or Permit(0, 2), "failed", 2, 1, may_be_rows=True)
    assert breaker.state == "closed", "they come to their end"


@pytest.mark.parametrize(
    "breaker",
    [
        pytest.param(lambda: at_the_end(None), id="more rows are to come"),
        pytest.param(lambda: at_the_end(5, served=10), id="one of them has not been asked"),
        pytest.param(lambda: at_the_end(4, served=7), id="few were served before"),
        pytest.param(lambda: at_the_end(4, rows=False), id="they fail as no row does"),
    ],
)
def test_otherwise_it_is_an_outage(breaker):
    assert breaker().state == "open"


def test_rows_that_may_all_be_bad_are_asked_once_each_and_soon():
    breaker = at_the_end(6, served=12)
    assert breaker.state == "open" and not breaker.gives_way(2, 4, failed=False)
    assert breaker.gives_way(2, 0, failed=True), "others have not been asked"
    for row, at in ((4, 12.0), (5, 15.0)):
        assert not breaker.gives_way(at, row, failed=False)
        breaker.record(
            breaker.admits(at, row) or Permit(0, at), "failed", at, row, may_be_rows=True
        )
        assert breaker.opens_in(at) <= 2.5
    assert breaker.blameless


def test_a_row_that_never_asks_does_not_keep_the_others_from_their_end():
    breaker = at_the_end(5, served=10)
    assert breaker.state == "open"
    assert breaker.gives_way(20, 0, failed=True)
    assert not breaker.gives_way(22, 0, failed=True)
    assert breaker.admits(22, row=0) is not None and breaker.blameless


def test_an_answer_shows_that_the_rows_were_not_to_blame():
    breaker = at_the_end(4)
    breaker.record(breaker.admits(2, row=1) or Permit(0, 2), "served", 2, 1)
    assert not breaker.blameless


def probed(breaker: Breaker, verdict: str, at: float, *, may_be_rows: bool = True) -> None:
    permit = breaker.admits(at, row := next(ROWS))
    assert permit is not None
    breaker.record(permit, verdict, at, row, may_be_rows=may_be_rows)


def test_a_bad_row_among_probes_that_are_served_does_not_open_it_again():
    breaker = opened()
    for verdict in ("served", "failed", "served", "failed"):
        probed(breaker, verdict, 10)
        assert breaker.state == "half-open", "as many were served as failed"
    probed(breaker, "served", 10)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("verdicts", "may_be_rows"),
    [(["failed"], True), (["served", "failed", "failed"], True), (["served", "failed"], False)],
    ids=["the first", "more than were served", "as no row fails"],
)
def test_other_probes_that_fail_open_it_again(verdicts, may_be_rows):
    breaker = opened()
    for verdict in verdicts:
        assert breaker.state != "closed"
        probed(breaker, verdict, 10, may_be_rows=may_be_rows)
    assert breaker.state == "open"


@pytest.mark.parametrize(("may_be_rows", "needed"), [(True, 15), (False, 10)])
def test_failures_that_rows_have_open_it_where_none_is_served_among_them(may_be_rows, needed):
    breaker = closed(BreakerPolicy(minimum_calls=20))
    for call in range(10):
        probed(breaker, "served", call)
    for failures in range(1, needed + 1):
        assert breaker.state == "closed", failures
        probed(breaker, "failed", 10 + failures, may_be_rows=may_be_rows)
    assert breaker.state == "open"
