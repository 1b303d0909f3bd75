"""Prices of the user's own: they win, they are exact, and what cannot be meant is
refused with its place.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.config.load import load
from claudebatch.core.domain import Call, Prompt, Route, Size, Usage, to_usd
from claudebatch.core.errors import ConfigError
from claudebatch.core.message import parse_message
from claudebatch.models.prices import PriceBook
from claudebatch.models.prices.overrides import MOST_PER_MTOK, MOST_PER_SEARCH

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
MILLION = 10**6
MODEL = "claude-opus-99"
MESSAGE = (
    b'{"type":"message","model":"m","content":[],"usage":{"input_tokens":%d,"output_tokens":%d,'
    b'"server_tool_use":{"web_search_requests":%d}}}'
)
FULL: dict[str, Any] = {
    "input": 4,
    "output": "20.5",
    "cache_write_5m": 5.5,
    "cache_write_1h": 9,
    "cache_read": "0.4",
    "search": 0.02,
    "fast": {"input": 8, "output": 41, "cache_read": 1},
    "above": {"threshold": 200_000, "input": 6, "output": 30},
}


def book(**fields: Any) -> PriceBook:
    return PriceBook.load({MODEL: fields}, at=TODAY)


def by_kind(book: PriceBook, speed: str | None = None, kinds: int = 5) -> list[Decimal]:
    """Dollars for a million tokens of each kind, the prompts too short for a
    threshold.
    """
    names = [name for name in Usage.__dataclass_fields__ if name.endswith("tokens")][:kinds]
    return [to_usd(book.cost(MODEL, Usage(**{name: 1000}, speed=speed))) * 1000 for name in names]


def test_a_price_of_ones_own_wins_over_any_other_and_over_its_dated_name():
    ours = PriceBook.load({"claude-opus-5-5": {"input": 1, "output": 2}}, at=TODAY)
    for model in ("claude-opus-5-5", "claude-opus-5-5-20260922"):
        assert to_usd(ours.cost(model, Usage(MILLION, MILLION))) == 3
        assert ours.source(model) == "configuration"
    assert ours.source("claude-opus-5") == "genai-prices"
    exact = PriceBook.load(
        {
            "claude-opus-5": {"input": 1, "output": 2},
            "claude-opus-5-20260724": {"input": 3, "output": 2},
        },
        at=TODAY,
    )
    assert to_usd(exact.cost("claude-opus-5-20260724", Usage(MILLION))) == 3, (
        "the dated one is nearer"
    )


def test_what_is_left_out_is_never_too_low():
    # input, output, 5-minute write, 1-hour write, read
    assert by_kind(book(input=4, output="20.5")) == [4, Decimal("20.5"), 5, 8, 4]


def test_every_price_can_be_given():
    ours = book(**FULL)
    assert by_kind(ours) == [4, Decimal("20.5"), Decimal("5.5"), 9, Decimal("0.4")]
    assert by_kind(ours, "fast") == [8, 41, 10, 16, 1]
    assert to_usd(ours.cost(MODEL, Usage(web_search_requests=3))) == Decimal("0.06")
    at, over = (
        Usage(100_000, MILLION, cache_read_input_tokens=tokens) for tokens in (100_000, 100_001)
    )
    assert to_usd(ours.cost(MODEL, at)) == Decimal("0.4") + Decimal("20.5") + Decimal("0.04")
    assert to_usd(ours.cost(MODEL, over)) == Decimal("0.6") + 30 + Decimal("0.600006")


def test_a_discount_above_a_threshold_does_not_lower_the_worst_case_of_a_prompt_below_it():
    ours = book(input=4, output=20, above={"threshold": 1_000, "input": 1, "output": 5})
    call = Call(1, Prompt("a", {}), Route(MODEL, "default"), MODEL, b"{}", Size(0, 2_000, 0, 100))
    assert ours.cost(MODEL, Usage(1_000, 100, inference_geo="us")) <= ours.worst(call)


@given(
    dollars=st.decimals(0, MOST_PER_MTOK, places=6),
    tokens=st.integers(0, 10**9),
)
def test_sums_are_exact_down_to_a_millionth_of_a_dollar_per_million_tokens(dollars, tokens):
    ours = book(input=str(dollars), output=0)
    assert to_usd(ours.cost(MODEL, Usage(tokens))) == dollars * tokens / MILLION


def test_no_answer_at_the_dearest_prices_costs_more_than_the_files_can_hold():
    most = {"input": MOST_PER_MTOK, "output": MOST_PER_MTOK}
    ours = book(**most, search=MOST_PER_SEARCH)
    usage = parse_message(MESSAGE % (10**9, 10**9, 10**6)).usage
    assert (usage.output_tokens, usage.web_search_requests) == (10**9, 10**6)
    most_of_everything = Usage(*[10**9] * 5, web_search_requests=10**6, inference_geo="us")
    assert 2**62 < ours.cost(MODEL, most_of_everything) < 2**63
    for counts in ((10**9 + 1, 1, 1), (1, 10**9 + 1, 1), (1, 1, 10**6 + 1)):
        reply = parse_message(MESSAGE % counts)
        assert not reply.counted, "kept, at its worst case"
        assert ours.cost(MODEL, reply.usage) < 2**63


WRONG: list[tuple[Any, str, str]] = [
    ({"input": 1}, '"output" is missing', "2.50"),
    ({"output": 1}, '"input" is missing', "2.50"),
    (
        {"input": 1, "output": 1, "inptu": 1},
        "inptu: unknown price",
        "did you mean 'input'?",
    ),
    ({"input": -1, "output": 1}, "input: not a price: -1", "2.50"),
    ({"input": "nan", "output": 1}, "input: not a price: 'nan'", "2.50"),
    ({"input": "inf", "output": 1}, "input: not a price: 'inf'", "2.50"),
    ({"input": "a", "output": 1}, "input: not a price: 'a'", "2.50"),
    ({"input": True, "output": 1}, "input: not a price: true", "2.50"),
    ({"input": None, "output": 1}, "input: not a price: nothing", "2.50"),
    ({"input": [1], "output": 1}, "input: not a price: a list", "2.50"),
    ({"input": 1, "output": 1000.01}, "output: 1000.01 is more than $1,000", "2.50"),
    ({**FULL, "search": 1.5}, "search: 1.5 is more than $1", "for one search"),
    ({**FULL, "fast": 2}, "fast: must be a mapping of prices, got 2", "input and output"),
    ({**FULL, "fast": {"input": 2}}, 'fast: "output" is missing', "2.50"),
    ({**FULL, "fast": {"input": 2, "output": "x"}}, "fast.output: not a price: 'x'", "2.50"),
    (
        {**FULL, "fast": {"input": 2, "output": 2, "search": 1}},
        "fast.search: unknown price",
        "prices are",
    ),
    (
        {**FULL, "above": {"input": 2, "output": 2}},
        "above.threshold: must be a number of tokens, got nothing",
        "100000",
    ),
    (
        {**FULL, "above": {**FULL["above"], "threshold": 0}},
        "above.threshold: must be a number of tokens",
        "100000",
    ),
    (
        {**FULL, "above": {**FULL["above"], "threshold": 1.5}},
        "above.threshold: must be a number",
        "100000",
    ),
    (7, "must be a mapping of prices, got 7", "input and output"),
]


@pytest.mark.parametrize(("raw", "reason", "fix"), WRONG, ids=[reason for _, reason, _ in WRONG])
def test_a_price_that_is_none_is_refused_with_its_name_and_a_fix(raw, reason, fix):
    with pytest.raises(ConfigError) as refused:
        PriceBook.load({"m": raw}, at=TODAY)
    assert refused.value.message.startswith("prices.m")
    assert reason in refused.value.message
    assert fix in refused.value.fix


def test_a_mistake_in_the_configuration_is_named_with_file_and_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "model: m\nprices:\n  m:\n    input: 1\n    output: 2\n    fast:\n      input: x\n      "
        "output: 1\n"
    )
    with pytest.raises(ConfigError) as refused:
        load(file, {}, env={}, folder=tmp_path)
    assert refused.value.message == f"{file}:7: prices.m.fast.input: not a price: 'x'"


def test_prices_in_yaml_are_exact(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"prices: {{{MODEL}: {{input: 0.1, output: '0.3', cache_read: 1e-2}}}}\n")
    prices = load(file, {}, env={}, folder=tmp_path).config.prices
    found = by_kind(PriceBook.load(prices, at=TODAY))
    assert (found[0], found[1], found[4]) == (Decimal("0.1"), Decimal("0.3"), Decimal("0.01"))


def test_the_cheapest_price_there_is_counts_as_one():
    ours = book(input="0.0000001", output=0)
    assert ours.cost(MODEL, replace(Usage(), input_tokens=1)) == 1, "rounded up, never to nothing"
