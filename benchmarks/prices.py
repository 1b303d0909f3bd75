"""What it takes to price an answer: its `usage` read out of the body, and its cost; and
a call's worst case.

python benchmarks/prices.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.core.jsonl import encode
from claudebatch.core.message import parse_message
from claudebatch.models.prices import PriceBook

ROUNDS, CALLS = 7, 20_000
MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
USAGE = {
    "input_tokens": 1_000,
    "cache_creation_input_tokens": 5_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 3_000},
    "cache_read_input_tokens": 10_000,
    "output_tokens": 500,
    "service_tier": "standard",
    "inference_geo": "us",
    "server_tool_use": {"web_search_requests": 2},
}


def body(model: str) -> bytes:
    """An answer of some two thousand bytes."""
    text = {"type": "text", "text": "It depends on what is meant by it. " * 50}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [text],
    }
    return json.dumps({**message, "stop_reason": "end_turn", "usage": USAGE}).encode()


def call(model: str) -> Call:
    params = {
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "why? " * 40}],
        "speed": "standard",
    }
    return Call(
        row=1,
        prompt=Prompt("a", params),
        route=Route(model, "default"),
        model=model,
        body=encode({**params, "model": model}),
        size=Size(input_tokens=1, input_bound=2, output_tokens=3, output_bound=4),
    )


def micros(what: Callable[[int], object]) -> float:
    """Microseconds of one call, in the best of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for number in range(CALLS):
            what(number % len(MODELS))
        rounds.append((time.perf_counter() - started) / CALLS * 1e6)
    return min(rounds)


def main() -> None:
    """Print the figures."""
    book = PriceBook.load(at=datetime.now(UTC))
    bodies, calls = [body(model) for model in MODELS], [call(model) for model in MODELS]
    usages = [parse_message(one).usage for one in bodies]
    both = micros(lambda n: book.cost(MODELS[n], parse_message(bodies[n]).usage))
    print(f"usage of an answer priced: {micros(lambda n: book.cost(MODELS[n], usages[n])):.2f} µs")
    print(f"body of an answer read and priced: {both:.2f} µs")
    print(f"worst case of a call: {micros(lambda n: book.worst(calls[n])):.2f} µs")


if __name__ == "__main__":
    main()
