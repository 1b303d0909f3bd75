"""The book: fast mode, thresholds and names; what nobody knows is never $0. Of all
models: test_all_models.py.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version

import pytest

from claudebatch.core.domain import Call, Prompt, Route, Size, Usage, to_usd
from claudebatch.models.prices import PriceBook, UnknownPrice
from claudebatch.models.prices.bundled import genai_rates, own_table
from tests.models.prices.theirs import theirs

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
BOOK = PriceBook.load(at=TODAY)
MODELS = (
    "claude-fable-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
)


def drawn(rng: random.Random) -> Usage:
    """Any usage, often on either side of the threshold of 100,000 tokens of input."""
    most = rng.choice((0, 10, 3_000, 60_000, 300_000))
    parts = [rng.randint(0, most) for _ in range(4)]
    return Usage(
        parts[0], rng.randint(0, 128_000), *parts[1:], web_search_requests=rng.choice((0, 0, 3))
    )


FAST = ("claude-fable-5-2", "claude-opus-5-5", "claude-opus-5", "claude-opus-4-8")


@pytest.mark.parametrize("model", FAST)
def test_fast_mode_costs_what_they_say(model):
    usage = Usage(1_000, 500, 20, 30, 4_000, speed="fast")
    assert to_usd(BOOK.cost(model, usage)) == theirs(model, usage, TODAY)


def test_above_its_threshold_a_whole_request_to_haiku_costs_more_cached_tokens_counted():
    at = Usage(input_tokens=60_000, cache_read_input_tokens=40_000, output_tokens=100)
    over = replace(at, cache_read_input_tokens=40_001)
    assert to_usd(BOOK.cost("claude-haiku-5-5", at)) == Decimal("0.00645")
    assert to_usd(BOOK.cost("claude-haiku-5-5", over)) == Decimal("0.03225005")


def call(model: str, body: bytes, size: Size) -> Call:
    return Call(1, Prompt("a", json.loads(body)), Route(model, "default"), model, body, size)


@pytest.mark.parametrize("model", FAST)
def test_no_fast_answer_within_its_bounds_costs_more_than_the_worst_case(model):
    rng = random.Random(model)
    for _ in range(40):
        usage = replace(drawn(rng), inference_geo="us", speed="fast")
        size = Size(0, usage.total_input, 0, usage.output_tokens, usage.web_search_requests)
        body = b'{"speed":"fast","cache_control":{"ttl":"1h"}}'
        assert BOOK.cost(model, usage) <= BOOK.worst(call(model, body, size))


def test_a_model_without_a_price_is_unknown_and_never_free():
    assert not BOOK.knows("claude-opus-99")
    with pytest.raises(UnknownPrice):
        BOOK.cost("claude-opus-99", Usage(1, 1))
    with pytest.raises(UnknownPrice):
        BOOK.worst(call("claude-opus-99", b"{}", Size(1, 1, 1, 1)))


@pytest.mark.parametrize("model", sorted(set(MODELS) - set(FAST)))
def test_fast_mode_without_a_price_is_unknown_and_never_the_standard_price(model):
    assert BOOK.knows(model) and not BOOK.knows_fast(model)
    with pytest.raises(UnknownPrice):
        BOOK.cost(model, Usage(1, 1, speed="fast"))
    with pytest.raises(UnknownPrice):
        BOOK.worst(call(model, b'{"speed":"fast"}', Size(1, 1, 1, 1)))


@pytest.mark.parametrize("model", FAST)
def test_a_request_for_fast_mode_that_is_served_at_standard_speed_costs_no_more_than_its_worst_case(
    model,
):
    size = Size(0, 1_000, 0, 500)
    worst = BOOK.worst(call(model, b'{"speed":"fast"}', size))
    assert BOOK.knows_fast(model)
    for speed in (None, "standard", "fast"):
        assert BOOK.cost(model, Usage(1_000, 500, inference_geo="us", speed=speed)) <= worst


def test_words_about_fast_mode_inside_a_prompt_make_nothing_dearer_or_unknown():
    tools = b'[{"input_examples":[{"speed":"fast"}],"name":"drive"}]'
    body = b'{"model":"claude-sonnet-5-5","tools":%b}' % tools
    for model in ("claude-sonnet-5-5", "claude-opus-5-5"):
        plain, told = (call(model, text, Size(0, 1_000, 0, 500)) for text in (b"{}", body))
        assert BOOK.worst(told) == BOOK.worst(plain)


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-5-6",
        "claude-opus-4-7-fast",
        "claude-haiku-4-5-v2",
        "claude-sonnet-6",
        "claude-3-opus-x",
        "",
    ],
)
def test_a_name_that_only_begins_like_a_known_one_has_no_price(name):
    assert not BOOK.knows(name)
    assert BOOK.source(name) is None


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-4-5"])
def test_the_date_of_a_snapshot_changes_no_price(model):
    assert BOOK.rates(f"{model}-20261120") == BOOK.rates(model)


def test_the_rates_of_a_model_are_looked_up_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "claudebatch.models.prices.book.genai_rates",
        lambda model, at: asked.append(model) or genai_rates(model, at),
    )
    book = PriceBook.load(at=TODAY)
    for _ in range(3):
        for model in ("claude-opus-5-5", "claude-haiku-5-5", "claude-unheard-of-9"):
            if book.knows(model):
                book.cost(model, Usage(1, 1))
    assert sorted(asked) == ["claude-haiku-5-5", "claude-opus-5-5", "claude-unheard-of-9"]


class TestVersion:
    """Two books with one version give the same sums; with two versions, some model
    costs something else.
    """

    def test_it_names_the_source_and_the_day_of_the_check(self):
        source, checked, digest = BOOK.version.split("/")
        assert (source, checked) == (f"genai-{version('genai-prices')}", own_table().checked)
        assert len(digest) == 8

    def test_the_same_prices_have_the_same_version_whatever_the_day(self):
        assert PriceBook.load(at=TODAY + timedelta(days=1)).version == BOOK.version
        same = {"m": {"input": 1, "output": 2}}
        assert (
            PriceBook.load(same, at=TODAY).version == PriceBook.load(dict(same), at=TODAY).version
        )

    def test_other_prices_have_another_version(self):
        long_ago = datetime(2026, 1, 15, tzinfo=UTC)
        usage = Usage(input_tokens=300_000)
        assert PriceBook.load(at=long_ago).cost("claude-opus-4-6", usage) != BOOK.cost(
            "claude-opus-4-6", usage
        )
        books = [
            BOOK,
            PriceBook.load(at=long_ago),
            PriceBook.load({"m": {"input": 1, "output": 2}}, at=TODAY),
            PriceBook.load({"m": {"input": 1, "output": "2.000001"}}, at=TODAY),
            PriceBook.load({"m": {"input": 1, "output": 2, "search": 0}}, at=TODAY),
            PriceBook.load({"n": {"input": 1, "output": 2}}, at=TODAY),
        ]
        assert len({book.version for book in books}) == len(books)

    def test_the_prices_were_checked_with_the_version_that_is_installed(self):
        """Fails when genai-prices is raised: hold its prices against the published
        ones, then note day and version.
        """
        assert own_table().checked_with == version("genai-prices")
