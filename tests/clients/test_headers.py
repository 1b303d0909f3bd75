"""What the headers of an answer say, and what they cannot make us believe."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.clients.headers import read_headers
from claudebatch.core.limit_headers import LimitReading, Limits

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def read(**headers: str):
    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return read_headers(raw, now=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("16", 16.0),
        ("0.25", 0.25),
        ("1e1", 10.0),
        (" 5 ", 5.0),
        ("1000000000", 1e9),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (
            format_datetime((NOW + timedelta(seconds=30)).astimezone(timezone(timedelta(hours=5)))),
            30.0,
        ),
        ("Sun, 22 Nov 2026 12:01:00", 60.0),
        # None of these says how long to wait.
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("", None),
        ("soon", None),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), None),
        ("Sun, 99 Nov 2026 12:01:00 GMT", None),
        ("Sun, 22 Nov 999999999999999999999 12:01:00 GMT", None),
        ("Sun, 22 Nov 2026 12:01:00 +9999999999", None),
        ("\xb2", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_ahead_and_anything_else_is_nothing(value, seconds):
    assert read(retry_after=value).retry_after == seconds


def test_fast_mode_reads_its_own_limits_and_standard_requests_the_standard_ones():
    raw = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-input-tokens-limit", b"30000"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"29000"),
        (b"Anthropic-Fast-Input-Tokens-Limit", b"8000"),
        (b"anthropic-fast-input-tokens-remaining", b"0"),
        (b"anthropic-fast-output-tokens-limit", b"0"),
    ]
    fast = read_headers(raw, now=NOW, fast=True).limits
    assert fast == Limits(input_tokens=LimitReading(8000, 0), output_tokens=LimitReading(0))
    standard = read_headers(raw, now=NOW).limits
    assert standard == Limits(LimitReading(50), LimitReading(30000, 29000))
    assert read_headers(raw[:3], now=NOW, fast=True).limits is None


def test_milliseconds_win_over_seconds_where_they_can_be_read():
    assert read(retry_after="7", retry_after_ms="1500").retry_after == 1.5
    assert read(retry_after="7", retry_after_ms="x").retry_after == 7.0
    assert read(retry_after_ms="250").retry_after == 0.25
    assert read(retry_after_ms="1e-321").retry_after is None


def test_without_headers_nothing_is_known():
    found = read()
    assert (found.request_id, found.retry_after, found.should_retry, found.limits) == (
        None,
        None,
        None,
        None,
    )
    assert found.simulated is False


@pytest.mark.parametrize(
    ("value", "told"),
    [("true", True), ("false", False), ("TRUE", True), ("1", None), ("", None), ("maybe", None)],
)
def test_x_should_retry_is_true_false_or_silent(value, told):
    assert read(x_should_retry=value).should_retry is told


def test_names_are_read_in_any_case_and_the_simulator_is_recognised():
    raw = [(b"Request-ID", b"req_9"), (b"X-Claudebatch-Simulated", b"1"), (b"Retry-After", b"2")]
    found = read_headers(raw, now=NOW)
    assert (found.request_id, found.simulated, found.retry_after) == ("req_9", True, 2.0)


def test_limits_are_read_by_kind():
    found = read(
        anthropic_ratelimit_requests_limit="4000",
        anthropic_ratelimit_requests_remaining="3999",
        anthropic_ratelimit_input_tokens_limit="200000",
        anthropic_ratelimit_input_tokens_remaining="0",
        anthropic_ratelimit_output_tokens_remaining="80000",
        anthropic_ratelimit_tokens_limit="280000",
        anthropic_ratelimit_requests_reset="2026-11-22T12:00:45Z",
    )
    assert found.limits == Limits(
        LimitReading(4000, 3999), LimitReading(200000, 0), LimitReading(None, 80000)
    )


@pytest.mark.parametrize(
    "value", ["", "-1", "1.5", "many", "1e3", "\xb2", "9" * 16, " 5", "0x10", "5\x00"]
)
def test_a_malformed_limit_is_none(value):
    found = read(
        anthropic_ratelimit_requests_limit=value, anthropic_ratelimit_requests_remaining="7"
    )
    assert found.limits == Limits(requests=LimitReading(None, 7))


NAMES = st.sampled_from(
    [
        b"retry-after",
        b"Retry-After-Ms",
        b"x-should-retry",
        b"request-id",
        b"anthropic-ratelimit-requests-limit",
        b"anthropic-ratelimit-input-tokens-remaining",
        b"anthropic-ratelimit-output-tokens-limit",
        b"anthropic-ratelimit-",
        b"x",
    ]
)
DATES = st.datetimes(timezones=st.timezones()).map(lambda moment: format_datetime(moment).encode())
NUMBERS = st.one_of(st.integers(), st.floats()).map(lambda number: repr(number).encode())


@given(st.lists(st.tuples(NAMES, st.one_of(st.binary(max_size=40), NUMBERS, DATES))))
def test_no_header_can_break_the_reading_or_make_us_wait_for_nonsense(raw):
    found = read_headers(raw, now=NOW)
    assert found.retry_after is None or (math.isfinite(found.retry_after) and found.retry_after > 0)
    assert found.should_retry in (None, True, False)
    if found.limits is not None:
        for reading in (
            found.limits.requests,
            found.limits.input_tokens,
            found.limits.output_tokens,
        ):
            assert reading.limit is None or 0 <= reading.limit < 10**15
            assert reading.remaining is None or 0 <= reading.remaining < 10**15


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_no_text_of_a_retry_after_breaks_the_reading(text):
    found = read(retry_after=text)
    assert found.retry_after is None or (math.isfinite(found.retry_after) and found.retry_after > 0)
