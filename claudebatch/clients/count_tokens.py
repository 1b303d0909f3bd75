"""Body and answer of `count_tokens`: the input of a request, counted by the API, free
of charge.
"""

from __future__ import annotations

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import BadAnswer

PATH = "/v1/messages/count_tokens"
DEADLINE_S = 60.0
NOT_COUNTED = frozenset({400, 404, 413})
"""Statuses of a request that cannot be counted, or of a server without this endpoint.
"""
# The endpoint refuses every other member, `max_tokens` among them.
# The endpoint refuses every other member, `max_tokens` among them.
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
# The answer is one number; a proxy's page can have any size.
_MOST_BYTES = 65_536


def count_body(call: Call) -> bytes:
    """The members of the request that make up its input, as JSON."""
    return encode({name: value for name, value in decode(call.body).items() if name in _COUNTED})


def counted(body: bytes) -> int:
    """The count in the answer *body*; raises `BadAnswer`."""
    try:
        tokens = decode(body[:_MOST_BYTES])["input_tokens"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer("the answer is not a token count") from error
    # `true` is an int in Python.
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise BadAnswer("the answer is not a token count")
    return tokens
