"""A time to come, as people write it: a length or a moment, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.dates import asked_time

# 2026-10-24 22:30 in Berlin, hours before clocks are put back.
NOW = datetime(2026, 10, 24, 20, 30, tzinfo=UTC).timestamp()


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def moment(text: str) -> str:
    asked = asked_time(text, now=lambda: NOW)
    assert asked.at_ms is not None
    assert asked.words == text.strip()
    assert asked.at_ms == pytest.approx((NOW + asked.seconds) * 1000, abs=1)
    return datetime.fromtimestamp(asked.at_ms / 1000, UTC).strftime("%d %H:%M:%S")


def test_lengths() -> None:
    found = [asked_time(text).seconds for text in ("30s", "90m", "1.5h", "2d")]
    assert found == [30.0, 5400.0, 5400.0, 172_800.0]
    assert (asked_time("6h").at_ms, asked_time("6h").words) == (None, "")


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("23:15", "24 21:15:00"),
        # Of tomorrow, after the clocks were put back.
        ("07:00", "25 06:00:00"),
        ("7:00", "25 06:00:00"),
        ("22:30", "25 21:30:00"),
        ("07:00Z", "25 07:00:00"),
        ("07:00+05:30", "25 01:30:00"),
        ("07:00 Asia/Tokyo", "24 22:00:00"),
        ("2026-10-25T07:00", "25 06:00:00"),
        ("2026-10-25 07:00:30", "25 06:00:30"),
        ("2026-10-25T02:30+0200", "25 00:30:00"),
        ("2026-10-25T02:30Z", "25 02:30:00"),
    ],
)
def test_moments(text: str, utc: str) -> None:
    assert moment(text) == utc


def test_one_that_has_passed_is_told_by_whoever_knows_the_run() -> None:
    assert asked_time("2026-10-24T12:00Z", now=lambda: NOW).seconds == -8.5 * 3600


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "id", "says"),
    [
        ("tomorrow", "E093", "no time to come"),
        ("0h", "E093", "no time to come"),
        ("24:00", "E093", "no time to come"),
        ("2026-02-30T07:00", "E093", "no time to come"),
        ("02:30", "E094", "comes twice"),
        ("2026-10-25T02:30", "E094", "2026-10-25T02:30Z"),
        ("2027-03-28T02:30", "E095", "never comes"),
        ("07:00 Mars/Base", "E096", "Mars/Base"),
    ],
)
def test_what_is_refused(text: str, id: str, says: str) -> None:
    with pytest.raises(BadValue) as refused:
        asked_time(text, now=lambda: NOW)
    assert refused.value.id == id
    assert says in refused.value.message
