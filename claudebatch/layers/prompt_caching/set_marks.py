"""Puts marks at the ends of what rows share, as a plan made before the run says.

Nothing else of a request changes but this: a plain text that is marked becomes one
block of text, which is the same to the API. No text is split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode_in_order
from claudebatch.layers.prompt_caching.leading_blocks import Beginnings, Block, blocks
from claudebatch.layers.prompt_caching.mark_plan import HOUR_S, MANY_ROWS, MOST_MARKS, MarkPlan
from claudebatch.layers.prompt_caching.placed import Place, PlacedCall

_OWN = b'"cache_control"'


class Placing:
    """A `Place` that adds the marks of *plan* to calls without any, before *then* looks
    at them.
    """

    def __init__(
        self,
        plan: MarkPlan,
        then: Place,
        *,
        first_params: Callable[[Call], Mapping[str, Any]],
        in_batch: bool = False,
    ) -> None:
        """*first_params*: of the request to the model that a call's route names first,
        by which beginnings are known. *in_batch*: calls go out with message batches,
        where an hour is needed, and pays for what many rows share.
        """
        self._plan = plan
        self._then = then
        self._first_params = first_params
        self._in_batch = in_batch
        # What one call shares with the one before it need not be hashed again.
        self._beginnings = Beginnings()

    def __call__(self, call: Call) -> PlacedCall:
        """*call* with its marks."""
        if not len(self._plan):
            return self._then(call)
        if _OWN in call.body:
            own = self._then(call)
            # Rows keep their own marks. Else the word stands where it means nothing.
            if own.beginning is not None:
                return own
        marks, longest = self._marks(call)
        placed = self._then(_marked(call, marks) if marks else call)
        # Batches take no requests without output.
        if self._in_batch or placed.beginning is None:
            return placed
        return placed.shared_by(self._plan.rows(longest))

    def _marks(self, call: Call) -> tuple[dict[int, int], bytes]:
        """The seconds of each mark, by the number of its block, and the digest of the
        longest beginning that is marked.
        """
        # Not of the body at hand: a hop to another model, or a request that asks again,
        # has the beginning of the first one.
        params = self._first_params(call)
        found = blocks(params)
        prompt = call.prompt
        count = len(found) - (prompt.answers == 1)
        digests = self._beginnings.of(call.route.model, prompt.betas, params, found, count)
        kept = [
            (number, seconds)
            for number, digest in enumerate(digests)
            if (seconds := self._ttl_s(digest)) and found[number].markable
        ]
        if len(kept) > MOST_MARKS:
            # The first one is shared by most rows, the last ones are the longest.
            kept = [kept[0], *kept[1 - MOST_MARKS :]]
        # An hour must come before five minutes.
        last_hour = max((number for number, seconds in kept if seconds == HOUR_S), default=-1)
        marks = {number: HOUR_S if number <= last_hour else seconds for number, seconds in kept}
        return marks, digests[kept[-1][0]] if kept else b""

    def _ttl_s(self, digest: bytes) -> int:
        if self._in_batch:
            return HOUR_S if self._plan.rows(digest) >= MANY_ROWS else 0
        return self._plan.ttl_s(digest)


def _marked(call: Call, marks: Mapping[int, int]) -> Call:
    body = decode(call.body)
    found = blocks(body)
    # A request to another model, or one that asks again, may have other blocks there.
    if max(marks) >= len(found) or not all(found[number].markable for number in marks):
        return call
    for number, seconds in marks.items():
        _mark(found[number], seconds)
    # In its own order: that of a schema's fields means something.
    return replace(call, body=encode_in_order(body))


def _mark(block: Block, seconds: int) -> None:
    mark = {"type": "ephemeral", **({"ttl": "1h"} if seconds == HOUR_S else {})}
    text = isinstance(block.value, str)
    bare = {"text": block.value, "type": "text"} if text else block.value
    # Sorted, as all of a body is: equal requests stay equal bytes.
    marked = dict(sorted({**bare, "cache_control": mark}.items()))
    block.holder[block.index] = [marked] if text else marked
