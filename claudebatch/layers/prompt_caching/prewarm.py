"""A request that only writes a row's beginning to the API's prompt cache, or shows that
it is there: the row's own, with `max_tokens: 0`.

As documented: such a request is answered without content as soon as its prompt is read,
no output is billed, and the API refuses it with a stream, a format of the answer, a
forced tool, thinking with a budget, and in batches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from claudebatch.core.domain import PREWARM, Call
from claudebatch.core.jsonl import decode, encode, encode_in_order
from claudebatch.layers.prompt_caching.leading_blocks import blocks

# One writes and one tries. Each costs a read of the beginning and what comes after it,
# for a row reads then what it would have written. More than this share of what all rows
# cost is not paid for time.
_MOST = 0.05
# As documented, in tokens of input: a read at its dearest, and output.
_WRITE, _READ, _OUTPUT = 1.25, 0.1, 5.0
_FORCED = frozenset(("any", "tool"))


def prewarm(call: Call, rows: int, *, requests: int) -> Call | None:
    """The request for *call*, which has its marks and whose beginning so many *rows*
    share; None where the API would refuse it, or where so many such *requests*, as it
    takes until the others follow, cost too much.
    """
    body = decode(call.body)
    if _refused(body) or requests * _cost(call, body) > _MOST * _cost_of_rows(call, body, rows):
        return None
    body["max_tokens"] = 0
    return replace(
        call,
        route=replace(call.route, rule=PREWARM),
        body=encode_in_order(body),
        size=replace(call.size, output_tokens=0, output_bound=0, web_searches_bound=0),
        # A row's tries are for its answer.
        tries=None,
        watch=None,
    )


def _refused(body: dict[str, Any]) -> bool:
    config, thinking, choice = map(body.get, ("output_config", "thinking", "tool_choice"))
    return (
        (isinstance(config, dict) and config.get("format") is not None)
        or (isinstance(thinking, dict) and thinking.get("type") == "enabled")
        or (isinstance(choice, dict) and choice.get("type") in _FORCED)
    )


def _cost(call: Call, body: dict[str, Any]) -> float:
    """In tokens of input, what such a request adds."""
    own = call.size.input_tokens * _own_share(body)
    return _READ * (call.size.input_tokens - own) + own


def _cost_of_rows(call: Call, body: dict[str, Any], rows: int) -> float:
    """In tokens of input: their own part and their answers are most of it."""
    own = call.size.input_tokens * _own_share(body)
    shared = call.size.input_tokens - own
    return shared * (_WRITE + _READ * (rows - 1)) + rows * (own + _OUTPUT * call.size.output_tokens)


def _own_share(body: dict[str, Any]) -> float:
    """How much of the prompt comes after the last mark, by its bytes."""
    whole = own = 0
    for block in blocks(body):
        size = len(encode(block.value))
        marked = isinstance(block.value, dict) and "cache_control" in block.value
        whole, own = whole + size, 0 if marked else own + size
    return own / max(1, whole)
