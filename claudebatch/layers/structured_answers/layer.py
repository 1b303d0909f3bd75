"""An answer that does not fit its schema is asked again, a few times.

Below the response cache, which so keeps only answers that fit; above the retry, so that
each further request is an attempt of its own, with its hold, its record and its price.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from claudebatch.core.answer_form import AnswerReading, UnfitAnswers, schema_of
from claudebatch.core.domain import Call, Prompt, Reply
from claudebatch.core.events import Emit, Retrying
from claudebatch.core.handler import Handler
from claudebatch.core.tries import RowTries

UNFIT = "invalid_answer"
"""What events call such an answer."""


class StructuredAnswers:
    """Asks again what does not fit, with the validator's sentence.

    read     what an answer holds
    again    the next request of a row, after its unfit answers
    retries  so many further requests at most
    earlier  the unfit answers of a row in earlier sessions, which are paid for
    """

    def __init__(
        self,
        *,
        read: Callable[[Prompt, Reply], AnswerReading | None],
        again: Callable[[Call, UnfitAnswers], Call],
        retries: int,
        earlier: Callable[[Call], Awaitable[UnfitAnswers | None]],
        emit: Emit,
    ) -> None:
        self._read = read
        self._again = again
        self._retries = retries
        self._earlier = earlier
        self._emit = emit

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The first reply that fits, else the last one. Its cost and its attempts are
        those of all.
        """
        if schema_of(call.prompt.params) is None:
            return await call_next(call)
        # Kept with the row: it may come again because a breaker was open, and its
        # answers so far are paid for.
        tries = call.tries or RowTries()
        unfit = tries.unfit.get(call.model) or await self._earlier(call)
        while True:
            if unfit is not None:
                tries.unfit[call.model] = unfit
            reply = await call_next(call if unfit is None else self._again(call, unfit))
            reading = self._read(call.prompt, reply)
            fault = "" if reading is None else reading.fault
            times = unfit.times if unfit is not None else 0
            if not fault or times >= self._retries:
                return _whole(reply, unfit, fits=not fault)
            unfit = and_one(unfit, reply, fault)
            self._emit(Retrying(call.model, UNFIT, unfit.times, 0.0, call.prompt.id, cause=fault))


def and_one(unfit: UnfitAnswers | None, reply: Reply, fault: str) -> UnfitAnswers:
    """The *unfit* answers of a row and one more, *reply* with its *fault*."""
    return UnfitAnswers(
        last=reply.message,
        fault=fault,
        times=1 + (unfit.times if unfit else 0),
        cost=reply.cost + (unfit.cost if unfit else 0),
        cost_known=reply.cost_known and (unfit is None or unfit.cost_known),
    )


def _whole(reply: Reply, unfit: UnfitAnswers | None, *, fits: bool) -> Reply:
    """*reply*, the row's answer, with what all its answers cost."""
    if unfit is None:
        return reply if fits else replace(reply, fits=False)
    return replace(
        reply,
        fits=fits,
        cost=reply.cost + unfit.cost,
        cost_known=reply.cost_known and unfit.cost_known,
        attempts=reply.attempts + unfit.times,
    )
