"""Prompts of every kind that is priced in a way of its own."""

from __future__ import annotations

from typing import Any

HAIKU, SONNET, OPUS, FABLE = (
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-fable-5-2",
)
# 100,000 tokens of the simulator: some of these prompts are above Haiku's threshold,
# some below.
_LONG = "All work and no play makes a dull page. " * 6_480
_RULES = "Answer in the voice of a patient librarian, and name your sources. " * 80


def _kept(ttl: str) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": _RULES + ttl, "cache_control": {"type": "ephemeral", "ttl": ttl}}
    ]


KINDS: list[dict[str, Any]] = [
    {"model": HAIKU},
    {"model": SONNET, "system": _kept("5m")},
    {"model": OPUS, "system": _kept("1h")},
    {"model": OPUS, "speed": "fast"},
    {"model": FABLE, "speed": "fast", "inference_geo": "us"},
    {"model": "claude-opus-4-8", "inference_geo": "us", "system": _kept("5m")},
    {"model": "claude-mythos-5-1", "inference_geo": "global"},
    {"model": "claude-haiku-4-5"},
    {"model": "claude-sonnet-4-6", "max_tokens": 20_000},
    {
        "model": "claude-opus-5",
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
    },
]
_STEEP = 25
"""Every so many rows, one has a prompt about as long as the threshold of Haiku 5.5."""
_AGAIN = 10
"""Every so many rows, one asks what an earlier row asked."""


def rows(count: int) -> list[dict[str, Any]]:
    """*count* rows, some of which ask the same."""
    return [{"id": n, **_row(n)} for n in range(count)]


def different(count: int) -> int:
    """How many of them ask something that no earlier row asks."""
    return count - len([n for n in range(count) if _repeats(n)])


def _row(n: int) -> dict[str, Any]:
    if _repeats(n):
        n -= _AGAIN - 1
    if n % _STEEP == 3:
        # From a little below the threshold to a little above it, and now and then with
        # the prefix written and read.
        text = _LONG + f"Page {n}: " + "?" * (n * 37 % 3_000)
        return {"model": HAIKU, "prompt": text, "max_tokens": 300}
    return {
        "prompt": f"Question {n}: " + "why? " * (n % 50),
        "max_tokens": 500,
        **KINDS[n % len(KINDS)],
    }


def _repeats(n: int) -> bool:
    return n % _AGAIN == _AGAIN - 1 and n >= _AGAIN
