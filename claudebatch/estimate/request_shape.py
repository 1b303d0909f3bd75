"""The shape of a request: its properties that decide how many tokens it takes."""

from __future__ import annotations

from typing import NamedTuple

from claudebatch.core.domain import Call, Pico
from claudebatch.core.frozen import value


@value
class RequestShape:
    """The properties of a request that a forecast depends on."""

    model: str
    rule: str
    input_estimate: int
    """By the built-in rule, uncorrected."""
    output_estimate: int
    output_bound: int
    """`max_tokens`."""
    caches: bool = False
    """Whether the request uses the API's prompt cache."""
    searches: bool = False
    geo: str | None = None
    speed: str | None = None


class CachedShare(NamedTuple):
    """Of a row's input, the shares that the prompt cache writes, for minutes or for an
    hour, and reads; a row of many writes a small part of what they share.
    """

    minutes: float
    hour: float
    read: float


class PlannedRow(NamedTuple):
    """A row to send."""

    shape: RequestShape
    worst: Pico | None
    """What it may cost at once; None: no price."""
    batch_worst: Pico | None
    """The same in a batch."""
    waits: bool
    """Whether a batch can take it."""
    request_bytes: int
    share: CachedShare | None = None
    """What of it is written and read where it is sent at once; None: nothing."""
    marked_worst: Pico | None = None
    """What it may cost at once with the marks that it gets."""
    batch_share: float = 0.0
    """Of its input, what many rows share that a batch marks."""
    batch_marked_worst: Pico | None = None
    """What it may cost in a batch with these marks."""


def shape_of(call: Call) -> RequestShape:
    """The shape of *call*."""
    size, params = call.size, call.prompt.params
    return RequestShape(
        model=call.model,
        rule=call.route.rule,
        input_estimate=size.input_tokens,
        output_estimate=size.output_tokens,
        output_bound=size.output_bound,
        # A search of the bytes: parsing the body again would double an estimate's time.
        caches=b'"cache_control"' in call.body,
        searches=size.web_searches_bound > 0,
        geo=params.get("inference_geo"),
        speed=params.get("speed"),
    )
