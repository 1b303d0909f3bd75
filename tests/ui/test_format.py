"""Numbers are short, exact where money is concerned, and never scientific."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import PICO_PER_USD, from_usd
from claudebatch.core.plurals import counted
from claudebatch.ui import format as fmt


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        ("0", "$0.00"),
        ("0.0123", "$0.0123"),
        ("12.345", "$12.35"),
        ("12.3", "$12.30"),
        ("0.05", "$0.0500"),
        ("0.99994", "$0.9999"),
        ("0.99996", "$1.00"),
        ("0.0001", "$0.0001"),
        ("0.00009996", "$0.000100"),
        ("0.000012345", "$0.000012"),
        ("0.000000000001", "$0.000000000001"),
        ("1234567.891", "$1,234,567.89"),
        ("-0.5", "-$0.5000"),
    ],
)
def test_money_is_short(dollars: str, shown: str) -> None:
    assert fmt.money(from_usd(Decimal(dollars))) == shown


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        ("5", "$5.00"),
        ("2.5", "$2.50"),
        ("0.015", "$0.015"),
        ("1000.123456789012", "$1,000.123456789012"),
    ],
)
def test_a_cap_is_shown_to_its_last_digit(dollars: str, shown: str) -> None:
    assert fmt.money_exact(from_usd(Decimal(dollars))) == shown


@given(st.integers(0, 10**20))
def test_money_is_off_by_less_than_half_of_its_last_digit(amount: int) -> None:
    shown = fmt.money(amount).removeprefix("$").replace(",", "")
    assert "e" not in shown.lower()
    last_digit = Decimal(1).scaleb(-len(shown.partition(".")[2]))
    assert abs(Decimal(shown) - Decimal(amount) / PICO_PER_USD) <= last_digit / 2


@given(st.integers(0, 10**20))
def test_the_json_string_is_exact(amount: int) -> None:
    text = fmt.usd_string(amount)
    assert Decimal(text) * PICO_PER_USD == amount
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (9999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (1_234_567, "1.23M"),
        (2_000_000, "2M"),
        (45_600_000_000, "45.6G"),
    ],
)
def test_tokens_have_three_digits(number: int, shown: str) -> None:
    assert fmt.tokens(number) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"),
        (0.42, "0.4 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (192, "3 min 12 s"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 7200, "3 d 2 h"),
        (-1, "0 s"),
    ],
)
def test_seconds_read_as_a_clock(value: float, shown: str) -> None:
    assert fmt.seconds(value) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(999_999, 1_000_000, "99 %"), (1, 1, "100 %"), (0, 0, "0 %")]
)
def test_a_hundred_per_cent_is_all_of_it(part: int, whole: int, shown: str) -> None:
    assert fmt.percent(part, whole) == shown


def test_other_units() -> None:
    assert fmt.milliseconds(850) == "850 ms"
    assert fmt.milliseconds(4500) == "4.5 s"
    assert fmt.byte_size(100) == "100 bytes"
    assert fmt.byte_size(1536) == "1.5 KiB"
    assert fmt.byte_size(2**30) == "1 GiB"
    assert fmt.per_minute(0.5) == "0.5"
    assert fmt.per_minute(812.4) == "812"
    assert counted(1, "retry", "retries") == "1 retry"
    assert counted(2, "retry", "retries") == "2 retries"
    assert fmt.clip("abcdef", 4) == "abc…"
