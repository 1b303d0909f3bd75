"""docs/prices.md: what it shows is printed, and its examples are valid."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import yaml

from claudebatch.models.prices import PriceBook
from claudebatch.models.prices.overrides import MOST_PER_MTOK, MOST_PER_SEARCH
from tests.docs.console import Shell, blocks, examples

PAGE = (Path(__file__).parents[2] / "docs" / "prices.md").read_text()
TODAY = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_example_is_printed_to_the_last_digit(shell: Shell):
    (example,) = examples(PAGE)
    assert shell.run(example.command) == example.output


def test_the_example_of_prices_is_valid_and_complete():
    (text,) = blocks(PAGE, "yaml")
    book = PriceBook.load(yaml.safe_load(text)["prices"], at=TODAY)
    assert book.knows_fast("claude-opus-6")
    assert book.rates("claude-opus-6").threshold == 100_000


def test_the_name_of_the_prices_looks_like_a_real_one():
    (shown,) = re.findall(r"`(genai-[\d][^`]+)`", PAGE)
    assert shown == PriceBook.load(at=TODAY).version


def test_the_limits_of_prices_are_those_of_the_code():
    assert f"${MOST_PER_MTOK:,} per million tokens, nor a search above ${MOST_PER_SEARCH}:" in PAGE
