"""What becomes of one row of a batch: the answer that a live request would get, at half
the price, or an error that is only found now.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from claudebatch.core.domain import Pico, Usage
from claudebatch.simulator import wire
from claudebatch.simulator.answers import ParsedRequest, compose
from claudebatch.simulator.batch_jobs import BatchJob
from claudebatch.simulator.faults import BATCH_ROWS, REFUSING, FaultPlan, refusal
from claudebatch.simulator.http import Request
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.reading import RequestReader
from claudebatch.simulator.refusals import RefusedRequest, bad
from claudebatch.simulator.stats import Stats

# Above the numbers of live answers: no two answers may have one id.
_FIRST_NUMBER = 2**36
_STATUSES = {"batch_invalid": 400, "batch_api_error": 500, "batch_overloaded": 529}


@dataclass(frozen=True, slots=True)
class ProcessedRow:
    """One row's line in the results, and what is billed for it."""

    outcome: str
    """`succeeded`, `errored`, `canceled` or `expired`; an unknown type counts
    as the first.
    """
    line: bytes
    digest: bytes | None = None
    cost: Pico = 0


class RowProcessor:
    """Processes rows, each by itself, as the API's worker does."""

    def __init__(
        self,
        *,
        readers: tuple[RequestReader, RequestReader],
        cache: PromptCache,
        plan: FaultPlan,
        stats: Stats,
        bill: Callable[[str, Usage], Pico],
        rng: random.Random,
        cache_hits: float,
        use_all: bool,
    ) -> None:
        """*readers*: one that finds what is cached, and one that never does."""
        self._readers = readers
        self._cache = cache
        self._plan = plan
        self._stats = stats
        self._bill = bill
        self._rng = rng
        self._cache_hits = cache_hits
        self._use_all = use_all
        # The number of answers and errors, part of their ids.
        self._number = _FIRST_NUMBER

    def process(self, job: BatchJob, custom_id: str, params: bytes, now: float) -> ProcessedRow:
        """A row that was reached."""
        self._number += 1
        try:
            asked = self._read(job, params, now)
            fault = asked.directives.fault or self._plan.draw_of(BATCH_ROWS)
            if fault in BATCH_ROWS:
                self._stats.befell(fault)
            if fault in ("batch_expired", "batch_canceled"):
                return unreached(custom_id, fault.removeprefix("batch_"))
            self._fail(asked, fault)
        except RefusedRequest as refused:
            return self._errored(job, custom_id, refused)
        if fault == "batch_unknown":
            result: wire.Body = {"type": "postponed", "reason": "simulated"}
            return ProcessedRow("succeeded", _line(custom_id, result))
        if fault == "batch_refusal":
            asked = replace(asked, directives=replace(asked.directives, refusal=True))
        return self._answered(custom_id, asked, unfit=fault in ("invalid", "batch_unfit"))

    def _read(self, job: BatchJob, params: bytes, now: float) -> ParsedRequest:
        create = job.request
        request = Request("POST", "/v1/messages", create.headers, params, keep_alive=True)
        asked = self._readers[self._rng.random() >= self._cache_hits].read(request, now)
        self._stats.asked(asked.model, asked.digest, asked.body)
        # What a batch has no use for, whatever its value.
        if asked.body.get("stream"):
            raise bad("stream: streaming is not supported in batches")
        if "speed" in asked.body:
            raise bad("speed: not supported in batches")
        if asked.body["max_tokens"] == 0:
            raise bad("max_tokens: 0 is not supported in batches")
        return asked

    def _fail(self, asked: ParsedRequest, fault: str | None) -> None:
        """Raise the error that this row's prompt, or its fault, asks for."""
        if asked.directives.error is not None:
            raise RefusedRequest(asked.directives.error)
        if fault in _STATUSES:
            raise RefusedRequest(_STATUSES[fault])
        if fault in REFUSING:
            raise refusal(fault, retry_after=False)

    def _answered(self, custom_id: str, asked: ParsedRequest, *, unfit: bool) -> ProcessedRow:
        answer = compose(asked, self._number, use_all=self._use_all, invalid=unfit)
        usage = replace(answer.usage, service_tier="batch")
        answer.message["usage"]["service_tier"] = "batch"
        cost = self._bill(asked.model, usage)
        self._cache.touch(asked.cache, asked.started)
        self._cache.keep(asked.cache, asked.started)
        self._stats.billed(usage, cost)
        self._stats.row_billed(asked.digest)
        result: wire.Body = {"type": "succeeded", "message": answer.message}
        return ProcessedRow("succeeded", _line(custom_id, result), asked.digest, cost)

    def _errored(self, job: BatchJob, custom_id: str, refused: RefusedRequest) -> ProcessedRow:
        error: Any = wire.decode(refused.body(f"req_sim_{self._number:012x}"))
        if job.flat:
            error = error["error"]
        return ProcessedRow("errored", _line(custom_id, {"type": "errored", "error": error}))


def unreached(custom_id: str, outcome: str) -> ProcessedRow:
    """A row that was *outcome*: canceled or expired."""
    return ProcessedRow(outcome, _line(custom_id, {"type": outcome}))


def _line(custom_id: str, result: wire.Body) -> bytes:
    return wire.encode({"custom_id": custom_id, "result": result}) + b"\n"
