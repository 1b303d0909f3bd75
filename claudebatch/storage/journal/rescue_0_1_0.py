"""Rescue files of version 0.1.0, in which a record was a list of values.

Such a file may wait in a run's folder for the next start, with answers in it that are
paid for.
"""

from __future__ import annotations

from typing import Any

_RECORD = [
    "state",
    "cost",
    "cost_known",
    "input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "web_search_requests",
    "service_tier",
    "inference_geo",
    "speed",
    "price_version",
    "latency_ms",
    "status",
    "request_id",
    "error",
    "body",
    "simulated",
    "attempt",
    "intent",
]
_INTENT = [
    "attempt",
    "row",
    "model",
    "worst",
    "sent_ms",
    "day",
    "rule",
    "input_estimate",
    "output_estimate",
    "output_bound",
    "id",
]
_USAGE = [
    "input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "web_search_requests",
    "service_tier",
    "inference_geo",
    "speed",
]


def by_name(values: list[Any]) -> dict[str, Any]:
    """The members of a record, whose *values* stood in a list; `ValueError` for another
    number of them.
    """
    old = dict(zip(_RECORD, values, strict=True))
    return {
        "intent": dict(zip(_INTENT, old["intent"], strict=True)),
        "state": old["state"],
        "price": {
            "cost": old["cost"],
            "known": old["cost_known"],
            "version": old["price_version"],
        },
        "usage": {name: old[name] for name in _USAGE},
        "http": {name: old[name] for name in ("latency_ms", "status", "request_id", "error")},
        "body": old["body"],
        "simulated": old["simulated"],
    }
