"""What a count of a request's input makes of its bound.

The API counts for nothing and says that it is an estimate, so a margin is added; when a
bill shows that it was not enough, no more counts are relied on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from claudebatch.core.domain import Call
from claudebatch.models.tokens.tools import has_server_tools

MARGIN = 0.05
MARGIN_TOKENS = 100
_NOT_COUNTED = (b'"type":"url"', b'"type":"file"')
"""Sources that the API does not count. In a text the quotes would be escaped."""
_FIRST_SHARE = 0.5
_ENOUGH = 5
_MEMORY = 100


def countable(call: Call) -> bool:
    """Whether the API counts the input of requests such as *call*."""
    return not has_server_tools(call.prompt.params) and not any(
        mark in call.body for mark in _NOT_COUNTED
    )


class CountedBounds:
    """Bounds from counts, and how small a count may come out, learned from those
    before.

    Without the second, each of the hundred thousand rows that are left when the cap is
    reached would be counted, only to be refused all the same.
    """

    def __init__(self) -> None:
        # Mutable, changed by `counted` and `refuted`: counted tokens per expected one,
        # and whether counts hold.
        self._shares: deque[float] = deque(maxlen=_MEMORY)
        self._trusted = True

    def hoped(self, call: Call) -> Call | None:
        """*call* as small as a count may show it to be; None where none can."""
        if not self._trusted or not countable(call):
            return None
        share = min(self._shares) if len(self._shares) >= _ENOUGH else _FIRST_SHARE
        bound = _bound(int(call.size.input_tokens * share))
        return _bounded(call, bound) if bound < call.size.input_bound else None

    def counted(self, call: Call, tokens: int) -> Call:
        """*call* with the bound that a count of *tokens* gives it, never a larger one
        than it had.
        """
        self._shares.append(tokens / max(1, call.size.input_tokens))
        return _bounded(call, min(call.size.input_bound, _bound(tokens)))

    def refuted(self, call: Call, tokens: int) -> bool:
        """Whether *tokens* of input, counted by the API for its bill, pass the bound of
        *call*; then no more counts.
        """
        if tokens <= call.size.input_bound or not self._trusted:
            return False
        self._trusted = False
        return True


def _bound(tokens: int) -> int:
    return tokens + int(tokens * MARGIN) + MARGIN_TOKENS


def _bounded(call: Call, bound: int) -> Call:
    return replace(call, size=replace(call.size, input_bound=bound))
