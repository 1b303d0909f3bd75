"""The published prices of every current model, in dollars per million tokens, written
down by hand on 2026-11-22.

Nothing here is computed from the prices that the program uses: that is the point.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

KINDS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")


@dataclass(frozen=True)
class Published:
    """One line of the table; `batch` and `fast` are dollars of input and output."""

    standard: dict[str, Decimal]
    batch: tuple[Decimal, Decimal]
    fast: tuple[Decimal, Decimal] | None = None


def _line(standard: str, batch: str, fast: str | None = None) -> Published:
    return Published(
        dict(zip(KINDS, _amounts(standard), strict=True)),
        _pair(batch),
        _pair(fast) if fast else None,
    )


def _pair(text: str) -> tuple[Decimal, Decimal]:
    one, two = _amounts(text)
    return one, two


def _amounts(text: str) -> list[Decimal]:
    return [Decimal(word) for word in text.split()]


#                           input 5m    1h    read   output    batch          fast
PUBLISHED = {
    "claude-fable-5-2": _line("8    10    16    0.20   40", "4 20", "16 80"),
    "claude-mythos-5-2": _line("8    10    16    0.20   40", "4 20", "16 80"),
    "claude-opus-5-5": _line("4    5     8     0.20   20", "2 10", "8 40"),
    "claude-sonnet-5-5": _line("2    2.50  4     0.10   10", "1 5"),
    "claude-haiku-5-5": _line("0.10 0.125 0.20  0.01   0.50", "0.05 0.25"),
    "claude-fable-5-1": _line("10   12.50 20    0.25   50", "5 25"),
    "claude-mythos-5-1": _line("10   12.50 20    0.25   50", "5 25"),
    "claude-opus-5": _line("5    6.25  10    0.50   25", "2.50 12.50", "10 50"),
    "claude-opus-4-8": _line("5    6.25  10    0.50   25", "2.50 12.50", "10 50"),
    "claude-sonnet-5": _line("2    2.50  4     0.20   10", "1 5"),
    "claude-fable-5": _line("10   12.50 20    1.00   50", "5 25"),
    "claude-mythos-5": _line("10   12.50 20    1.00   50", "5 25"),
    "claude-opus-4-7": _line("5    6.25  10    0.50   25", "2.50 12.50"),
    "claude-opus-4-6": _line("5    6.25  10    0.50   25", "2.50 12.50"),
    "claude-opus-4-5": _line("5    6.25  10    0.50   25", "2.50 12.50"),
    "claude-sonnet-4-6": _line("3    3.75  6     0.30   15", "1.50 7.50"),
    "claude-sonnet-4-5": _line("3    3.75  6     0.30   15", "1.50 7.50"),
    "claude-haiku-4-5": _line("1    1.25  2     0.10   5", "0.50 2.50"),
}
HAIKU = "claude-haiku-5-5"
THRESHOLD = 100_000
ABOVE = _line("0.50 0.625 1.00  0.05   2.50", "0.25 1.25")
"""Haiku 5.5, where the whole prompt is longer than `THRESHOLD` tokens."""
PER_SEARCH = Decimal("0.01")


def dollars(model: str, usage: dict[str, Any]) -> Decimal:
    """What an answer with the API's own *usage* costs, by the published table."""
    creation = usage.get("cache_creation")
    written = usage.get("cache_creation_input_tokens") or 0
    tokens = {
        "input": usage["input_tokens"],
        "cache_write_5m": creation["ephemeral_5m_input_tokens"] if creation else written,
        "cache_write_1h": creation["ephemeral_1h_input_tokens"] if creation else 0,
        "cache_read": usage.get("cache_read_input_tokens") or 0,
        "output": usage["output_tokens"],
    }
    prompt = sum(tokens.values()) - tokens["output"]
    line = ABOVE if model == HAIKU and prompt > THRESHOLD else PUBLISHED[model]
    paid = sum(line.standard[kind] * tokens[kind] for kind in KINDS) / 10**6
    if usage.get("speed") == "fast":
        assert line.fast is not None
        paid *= line.fast[0] / line.standard["input"]
    if usage.get("service_tier") == "batch":
        paid /= 2
    if usage.get("inference_geo") == "us":
        paid *= Decimal("1.1")
    return paid + PER_SEARCH * (
        (usage.get("server_tool_use") or {}).get("web_search_requests") or 0
    )
