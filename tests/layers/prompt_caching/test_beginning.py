"""What is known of one beginning, from answer to answer."""

from __future__ import annotations

import pytest

from claudebatch.layers.prompt_caching.beginning import Beginning

TTL_S = 300.0


@pytest.fixture
def beginning() -> Beginning:
    return Beginning(TTL_S)


def test_it_is_there_for_its_time_to_live_since_the_last_request_that_used_it(beginning):
    assert not beginning.is_warm(0.0)
    beginning.written(10.0)
    assert beginning.is_warm(10.0 + TTL_S - 6)
    assert not beginning.is_warm(10.0 + TTL_S - 4), "what is on its way may come too late"
    beginning.read(100.0)
    assert beginning.is_warm(100.0 + TTL_S - 6)
    beginning.missed(200.0, once_more=True)
    assert beginning.is_warm(200.0 + TTL_S - 6), "who should have read it has written it"


def test_an_older_use_does_not_shorten_its_life(beginning):
    beginning.written(100.0)
    beginning.read(50.0)
    assert beginning.is_warm(390.0)


def test_what_is_out_keeps_it_until_it_comes_to_nothing(beginning):
    beginning.written(0.0)
    beginning.left(200.0)
    assert beginning.is_warm(450.0)
    beginning.not_read()
    assert not beginning.is_warm(450.0)
    assert beginning.is_warm(200.0)


def test_it_is_open_once_it_was_read(beginning):
    beginning.written(0.0)
    assert not beginning.is_open(1.0)
    beginning.read(1.0)
    assert beginning.is_open(2.0)
    assert not beginning.is_open(1.0 + TTL_S)
    beginning.missed(20.0, once_more=True)
    assert not beginning.is_open(21.0)


def test_a_miss_that_left_before_the_last_reader_tells_nothing_new(beginning):
    beginning.read(30.0)
    beginning.missed(20.0, once_more=True)
    assert beginning.is_open(31.0)
    beginning.missed(40.0, once_more=True)
    assert not beginning.is_open(41.0)


@pytest.mark.parametrize(
    ("reads", "once_more", "misses"), [(0, False, 1), (0, True, 2), (2, True, 8)]
)
def test_it_is_given_up_after_so_many_misses(beginning, reads, once_more, misses):
    for _ in range(reads):
        beginning.read(0.0)
    for count in range(1, misses + 1):
        assert not beginning.stopped
        beginning.missed(float(count), once_more=once_more)
    assert beginning.stopped
    assert beginning.is_free


@pytest.mark.parametrize(("reads", "misses"), [(0, 1), (1, 1), (2, 2), (10, 10), (11, 10)])
def test_one_that_is_kept_for_an_hour_is_given_up_once_its_writes_cost_more_than_reads_save(
    reads, misses
):
    beginning = Beginning(3600.0)
    for _ in range(reads):
        beginning.read(0.0)
    for count in range(1, misses + 1):
        assert not beginning.stopped
        beginning.missed(float(count), once_more=False)
    assert beginning.stopped
    # A write costs one token more than input, a read nine tenths less.
    assert (misses - 1) * 1.0 <= reads * 0.9


@pytest.mark.parametrize("use", ["read", "written"])
def test_two_answers_in_a_row_that_tell_of_no_cache_are_believed(beginning, use):
    assert not beginning.blank()
    getattr(beginning, use)(0.0)
    assert not beginning.blank()
    assert not beginning.unused
    assert beginning.blank()
    assert beginning.unused
    assert beginning.is_free
    assert not beginning.blank(), "told once"
    getattr(beginning, use)(1.0)
    assert not beginning.unused


def test_it_is_to_be_used_again_at_half_of_its_time_to_live(beginning):
    beginning.read(100.0)
    assert beginning.lapses_at == 100.0 + TTL_S / 2
    beginning.left(200.0)
    assert beginning.lapses_at == 200.0 + TTL_S / 2
