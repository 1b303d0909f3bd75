"""The lines of `-v` beyond the notices: every wait, retry and limit in words; and with
`-vv` every request.
"""

from __future__ import annotations

from claudebatch.core.events import (
    AttemptFinished,
    BatchChanged,
    ConcurrencyChanged,
    Event,
    LimitsSeen,
    Retrying,
    Waiting,
)
from claudebatch.core.plurals import counted
from claudebatch.core.stats.pool_waits import MIN_REPORTED_S
from claudebatch.ui import format as fmt
from claudebatch.ui.live.batch_text import batch_poll

# An id of ten megabytes is still one line.
_LONGEST_WORD = 120


class Sentences:
    """The sentences of a run's events, those of single *requests* on demand."""

    def __init__(self, *, requests: bool) -> None:
        self._requests = requests
        # Mutable: whether a wait for money was told.
        self._told = False

    def __call__(self, event: Event) -> str | None:
        """The sentence for *event*; None where it has none."""
        told = sentence(event, requests=self._requests)
        if told is not None and isinstance(event, Waiting) and event.reason == "money":
            # Near a cap every row waits for it: once says it all.
            if self._told:
                return None
            self._told = True
        return told


def sentence(event: Event, *, requests: bool) -> str | None:
    """The sentence for *event*, None where it has none; those of single *requests* on
    demand.
    """
    if isinstance(event, AttemptFinished):
        # -vv only: there is one for every row.
        return _attempt(event) if requests else None
    if isinstance(event, Retrying):
        row = f" ({_clip(event.id)})" if event.id else ""
        cause = f": {_clip(event.cause)}" if event.cause else ""
        failed = f"{event.model}{row}: {event.error}{cause}, attempt {event.attempt}"
        return f"{failed}; again in {event.seconds:.1f} s"
    if isinstance(event, Waiting):
        return _wait(event) if event.seconds >= MIN_REPORTED_S else None
    if isinstance(event, LimitsSeen):
        return _limits(event)
    if isinstance(event, BatchChanged):
        return batch_poll(event)
    if isinstance(event, ConcurrencyChanged):
        return f"{event.pool}: up to {counted(event.limit, 'request')} in flight"
    return None


def _wait(event: Waiting) -> str:
    if event.reason == "money":
        return "waiting: the rest of the cap is reserved for requests in flight"
    return f"{event.pool}: waits {event.seconds:.1f} s: {event.reason}"


def _limits(event: LimitsSeen) -> str:
    named = (
        (event.requests_per_minute, "requests"),
        (event.input_tokens_per_minute, "input tokens"),
        (event.output_tokens_per_minute, "output tokens"),
    )
    known = [f"{fmt.per_minute(limit)} {what}" for limit, what in named if limit is not None]
    return (
        f"{event.pool}: the API allows {', '.join(known)} a minute"
        if known
        else f"{event.pool}: no limit is known"
    )


def _attempt(event: AttemptFinished) -> str:
    # A call that failed before it was made has no row.
    row = _clip(event.call.prompt.id if event.call else event.id or "?")
    took = fmt.milliseconds(event.latency_ms)
    if event.error is None:
        cost = "up to " * event.unknown + fmt.money(event.cost)
        if event.via == "batch":
            return f"{row}: {event.model} answered in a batch for {cost}"
        if event.call and event.call.prewarms:
            return f"{row}: {event.model}: prompt cache filled in {took} for {cost}"
        return f"{row}: {event.model} answered in {took} for {cost}"
    status = f" ({event.status})" if event.status else ""
    billed = f"; may be billed {fmt.money(event.cost)}" if event.unknown else ""
    return f"{row}: {event.model}: {_clip(event.error)}{status} after {took}{billed}"


def _clip(text: str) -> str:
    return fmt.clip(text, _LONGEST_WORD)
