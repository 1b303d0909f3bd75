"""Durations, sizes and shares as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.config.units import seconds, share, size
from claudebatch.core.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (90, 90.0),
        (1.5, 1.5),
        (0, 0.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("15m", 900.0),
        ("2h", 7200.0),
        ("30d", 2_592_000.0),
        ("0.5h", 1800.0),
        (" 10 m ", 600.0),
        ("10M", 600.0),
    ],
)
def test_a_duration_is_seconds(value, expected):
    assert seconds("x", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1048576, 1048576),
        ("1024", 1024),
        ("7B", 7),
        ("500MB", 500 * 2**20),
        ("2GB", 2 * 2**30),
        ("1.5kb", 1536),
        ("1 tb", 2**40),
    ],
)
def test_a_size_is_bytes_in_powers_of_1024(value, expected):
    assert size("x", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20%", 0.2),
        ("0%", 0.0),
        (" 12.5 % ", 0.125),
        ("100%", 1.0),
        (0.2, 0.2),
        ("1", 1.0),
        (0, 0.0),
    ],
)
def test_a_share_is_a_number_from_0_to_1(value, expected):
    assert share("x", value) == pytest.approx(expected)


@pytest.mark.parametrize("value", ["101%", 1.5, "20", "-5%", "%", "5%%", "some", None, True, "20s"])
def test_no_share_is_more_than_all_or_less_than_nothing(value):
    with pytest.raises(ConfigError, match=r"retry\.budget: not a share from 0% to 100%") as caught:
        share("retry.budget", value)
    assert "20%" in caught.value.fix


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-5",
        -5,
        "5x",
        "5 s s",
        "1e5",
        "nan",
        "inf",
        "5,5s",
        "s",
        True,
        None,
        "9" * 400,
        "½",
        "5min",
    ],
)
def test_anything_else_is_refused_by_name_value_and_example(value):
    for read, example in ((seconds, "90s, 15m, 2h or 30d"), (size, "2GB")):
        with pytest.raises(ConfigError) as caught:
            read("cache.ttl", value)
        assert caught.value.message.startswith("cache.ttl: not a ")
        assert repr(value) in caught.value.message
        assert example in caught.value.fix


@given(st.text(max_size=30))
def test_no_text_is_an_endless_or_a_negative_duration(text):
    try:
        found = seconds("x", text)
    except ConfigError:
        return
    assert math.isfinite(found)
    assert found >= 0
