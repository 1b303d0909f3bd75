"""Tighter bounds of a request's input, from the API's own count of it.

A count is free, and an estimate by the API's own words, so a margin is added. Once a
bill passes such a bound, counts are not used any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from claudebatch.core.domain import Call
from claudebatch.models.tokens.tools import has_server_tools

# The API calls its count an estimate. A bill above its hold passes the cap; a margin
# that is too large refuses rows that would fit.
MARGIN = 0.05
MARGIN_TOKENS = 100
# Sources that the API does not count. Inside a text, the quotes would be escaped, so
# these bytes can only be a block.
_NOT_COUNTED = (b'"type":"url"', b'"type":"file"')
# Before anything is learned: a count seldom lies below half of the expected tokens.
_FIRST_SHARE = 0.5
# Fewer counts may all be of one kind of row.
_ENOUGH = 5
_MEMORY = 100


def countable(call: Call) -> bool:
    """Whether the API counts the input of requests such as *call*."""
    return (
        not has_server_tools(call.prompt.params)
        # Members in beta would be refused there, or counted without their meaning.
        and not call.prompt.betas
        and not any(mark in call.body for mark in _NOT_COUNTED)
    )


class CountedBounds:
    """Bounds from counts, and the smallest likely count, learned from earlier ones.

    Without the latter, each of a hundred thousand rows beyond the cap would be counted,
    and refused all the same.
    """

    def __init__(self) -> None:
        # Mutable, changed by `counted` and `refuted`: counted tokens per expected
        # token, and whether every bill stayed within its bound.
        self._shares: deque[float] = deque(maxlen=_MEMORY)
        self._trusted = True

    def hoped(self, call: Call) -> Call | None:
        """*call* with the smallest bound that a count may give; None where a count
        cannot help.
        """
        if not self._trusted or not countable(call):
            return None
        share = min(self._shares) if len(self._shares) >= _ENOUGH else _FIRST_SHARE
        bound = _bound(int(call.size.input_tokens * share))
        return _bounded(call, bound) if bound < call.size.input_bound else None

    def counted(self, call: Call, tokens: int) -> Call:
        """*call* with the bound from a count of *tokens*, never above its own."""
        self._shares.append(tokens / max(1, call.size.input_tokens))
        return _bounded(call, min(call.size.input_bound, _bound(tokens)))

    def refuted(self, call: Call, tokens: int) -> bool:
        """Whether the *tokens* of input on the bill pass the bound of *call*; after
        that, counts are not used any more.
        """
        if tokens <= call.size.input_bound or not self._trusted:
            return False
        # One bill above its bound is proof that counts cannot bound: the cap comes
        # first.
        self._trusted = False
        return True


def _bound(tokens: int) -> int:
    return tokens + int(tokens * MARGIN) + MARGIN_TOKENS


def _bounded(call: Call, bound: int) -> Call:
    return replace(call, size=replace(call.size, input_bound=bound))
