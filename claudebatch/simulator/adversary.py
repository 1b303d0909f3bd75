"""The API at its highest price, for tests of caps: a token for every byte, all of the
prompt newly cached, the most expensive region.

The product derives the worst case of a request from its bytes; this module bills the
same bytes at that worst case. It stands in the package and not beside the tests because
`SimulatorSettings.adversarial` switches it on in the simulator's own process.
"""

from __future__ import annotations

from dataclasses import replace

from claudebatch.simulator import wire
from claudebatch.simulator.answers import ParsedRequest
from claudebatch.simulator.promptcache import CacheUse

# The most tokens that the API adds to a request.
_FRAME_TOKENS = 256


def most_input(body: wire.Body) -> int:
    """The tokens of *body*, one for every byte."""
    return (
        len(wire.canonical({name: value for name, value in body.items() if name != "stream"}))
        + _FRAME_TOKENS
    )


def at_its_dearest(asked: ParsedRequest) -> ParsedRequest:
    """*asked*, billed for the most input tokens that its bytes can amount to."""
    tokens = min(asked.traits.context_tokens, max(most_input(asked.body), asked.input_tokens))
    return replace(
        asked,
        input_tokens=tokens,
        cache=_all_written(asked, tokens),
        traits=replace(asked.traits, geo="us"),
    )


def _all_written(asked: ParsedRequest, tokens: int) -> CacheUse:
    marked = wire.canonical(asked.body)
    if b'"cache_control"' not in marked:
        return asked.cache
    return CacheUse(written_1h=tokens) if b'"1h"' in marked else CacheUse(written_5m=tokens)
