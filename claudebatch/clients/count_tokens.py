"""What `count_tokens` is asked, and what it says: the input of a request, counted by
the API, free of charge.
"""

from __future__ import annotations

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import BadAnswer

PATH = "/v1/messages/count_tokens"
DEADLINE_S = 60.0
NOT_COUNTED = frozenset({400, 404, 413})
"""Statuses that mean: this request cannot be counted, or nothing is counted here."""
_COUNTED = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "speed",
    }
)
_MOST_BYTES = 65_536


def count_body(call: Call) -> bytes:
    """Of the request, what its input is made of; the endpoint refuses the rest."""
    return encode({name: value for name, value in decode(call.body).items() if name in _COUNTED})


def counted(body: bytes) -> int:
    """The count in the answer *body*; raises `BadAnswer`."""
    try:
        tokens = decode(body[:_MOST_BYTES])["input_tokens"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer("the answer is no count of tokens") from error
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise BadAnswer("the answer is no count of tokens")
    return tokens
