"""What the line of one request in a batch's results means for its row. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from claudebatch.clients.batch_results import BatchResult, BatchRowError
from claudebatch.core.domain import Failure, Pico, Reply, Usage
from claudebatch.core.endings import ending
from claudebatch.core.errors import AttemptError, NotServed, StopRun
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.storage.journal.records import (
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    HttpExchange,
)
from claudebatch.storage.journal.schema import AttemptState

NOT_SENT = "not sent"
"""The error of attempts whose batch was never made."""
_NO_USAGE = Usage()
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """What became of one attempt in a batch."""

    record: AttemptRecord
    """As it is written down."""
    reply: Reply | None = None
    """The answer, if there is one."""
    failure: Failure | None = None
    """Why there is none."""
    again: bool = False
    """Another batch may bring an answer."""
    elsewhere: bool = False
    """This model cannot serve it, another one may."""
    stop: StopRun | None = None
    """Why nothing more is to be sent."""


class OutcomeReader:
    """Reads results at the prices of batches."""

    def __init__(
        self,
        *,
        cost: Callable[[str, Usage], Pico | None],
        price_version: str,
        row_failed: Callable[[BatchRowError], AttemptError | StopRun],
    ) -> None:
        """*cost* of an answer of a model in a batch, None: unknown; *row_failed* makes
        an error of that in a line.
        """
        self._cost = cost
        self._price_version = price_version
        self._row_failed = row_failed

    def read(
        self, intent: AttemptIntent, result: BatchResult, *, latency_ms: int, simulated: bool
    ) -> BatchOutcome:
        """What *result* means; *latency_ms*: from the batch's making to its end."""
        if result.kind == "succeeded" and result.message is not None:
            return self._answered(intent, result.message, latency_ms, simulated=simulated)
        if result.kind == "errored" and result.error is not None:
            return self._errored(intent, result.error, latency_ms, simulated=simulated)
        if result.kind in ("canceled", "expired"):
            text = f"the batch was {result.kind} before this row's turn came"
            if result.kind == "expired":
                text = "the batch expired before this row's turn came"
            return self._unanswered(
                intent, Failure(result.kind, text, retryable=True), latency_ms, again=True
            )
        return self.unknown(intent, result.type or "unreadable", latency_ms)

    def cost_of(self, model: str, usage: Usage) -> Pico | None:
        """What *usage* of *model* cost in a batch; None: unknown."""
        return self._cost(model, usage)

    def unknown(self, intent: AttemptIntent, what: str, latency_ms: int) -> BatchOutcome:
        """The results do not tell whether it was answered: it may be billed."""
        failure = Failure("batch_result_unknown", f"the batch's results do not tell: {what}")
        return self._unanswered(intent, failure, latency_ms, state=AttemptState.UNKNOWN)

    def not_sent(self, intent: AttemptIntent) -> BatchOutcome:
        """The batch was never made."""
        failure = Failure(NOT_SENT, "the batch was never made", retryable=True)
        return self._unanswered(intent, failure, 0, again=True)

    def _answered(
        self, intent: AttemptIntent, message: bytes, latency_ms: int, *, simulated: bool
    ) -> BatchOutcome:
        try:
            # Whole or not: an answer in a batch's results is never asked for again.
            reply = parse_message(message, via="batch", latency_ms=latency_ms, simulated=simulated)
        except BadAnswer as error:
            return self.unknown(intent, str(error), latency_ms)
        cost = self._cost(intent.model, reply.usage)
        # As of an answer that was asked for at once: one that does not tell its usage
        # counts at its worst case, and what is left of a `usage` is billed at least.
        known = cost if reply.counted or (cost or 0) > intent.worst > 0 else None
        unknown = known is None and intent.worst > 0
        reply = reply.paid(known, intent.attempt)
        record = AttemptRecord(
            intent=intent,
            state=AttemptState.UNKNOWN if unknown else AttemptState.ANSWERED,
            price=AttemptPrice(reply.cost, reply.cost_known or unknown, self._price_version),
            # The API names the tier in each answer; a gateway may not.
            usage=replace(reply.usage, service_tier=reply.usage.service_tier or "batch"),
            http=HttpExchange(latency_ms, _OK, reply.request_id),
            body=reply.message,
            simulated=reply.simulated,
            ending=ending(reply),
        )
        return BatchOutcome(record=record, reply=reply)

    def _errored(
        self, intent: AttemptIntent, error: BatchRowError, latency_ms: int, *, simulated: bool
    ) -> BatchOutcome:
        # The same table as for requests that are sent at once: an error means the
        # same here.
        found = self._row_failed(error)
        failure = Failure(
            error.type,
            error.message,
            request_id=error.request_id,
            retryable=isinstance(found, StopRun) or found.retryable,
        )
        return self._unanswered(
            intent,
            failure,
            latency_ms,
            simulated=simulated,
            again=failure.retryable,
            elsewhere=isinstance(found, NotServed),
            stop=found if isinstance(found, StopRun) else None,
        )

    def _unanswered(
        self,
        intent: AttemptIntent,
        failure: Failure,
        latency_ms: int,
        *,
        state: AttemptState = AttemptState.FAILED,
        simulated: bool = False,
        again: bool = False,
        elsewhere: bool = False,
        stop: StopRun | None = None,
    ) -> BatchOutcome:
        record = AttemptRecord(
            intent=intent,
            state=state,
            price=AttemptPrice(version=self._price_version),
            usage=_NO_USAGE,
            http=HttpExchange(latency_ms, None, failure.request_id, failure.type),
            simulated=simulated,
        )
        return BatchOutcome(
            record=record, failure=failure, again=again, elsewhere=elsewhere, stop=stop
        )
