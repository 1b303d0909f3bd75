"""What of a row's request its time and dollars depend on, in a few bytes: a plan for a
million rows need not read them again.
"""

from __future__ import annotations

from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.core.jsonl import decode, encode

# Prices look for these words in a body, wherever they stand.
_WORDS = (b'"cache_control"', b'"1h"', b'"inference_geo":"global"', b'"speed":"fast"')
# These parameters decide the road, the pool or the price.
_PARAMETERS = ("inference_geo", "speed", "stream")
_SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": {}}}}


def size_of(call: Call) -> bytes:
    """The size of *call*."""
    size, params = call.size, call.prompt.params
    kept = {name: params[name] for name in _PARAMETERS if name in params}
    if params.get("max_tokens") == 0:
        kept["max_tokens"] = 0
    numbers = (
        *(size.input_tokens, size.input_bound, size.output_tokens, size.output_bound),
        size.web_searches_bound,
    )
    words = sum((word in call.body) << bit for bit, word in enumerate(_WORDS))
    return encode([numbers, words, schema_of(params) is not None, kept])


def sized_call(size: bytes, row: int, model: str, rule: str) -> Call:
    """A call that is planned as that of *size* was, without its text."""
    numbers, words, schema, kept = decode(size)
    return Call(
        row=row,
        prompt=Prompt("", {**kept, **(_SCHEMA if schema else {})}),
        route=Route(model, rule),
        model=model,
        body=b"".join(word for bit, word in enumerate(_WORDS) if words >> bit & 1),
        size=Size(*numbers),
    )
