"""The Message Batches API, its oddities included: counts that stay 0, results in any
order, 404s for batches that are alive, lists that lag.

A batch does nothing until it is looked at: the first request brings all batches up
to the present, so that a test's clock moves them as well as the world's.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs

from claudebatch.simulator import wire
from claudebatch.simulator.batch_body import StoredRequests, read_body
from claudebatch.simulator.batch_jobs import (
    COUNTED,
    BatchJob,
    BatchResults,
    BatchTime,
    pieces,
)
from claudebatch.simulator.batch_rows import RowProcessor, unreached
from claudebatch.simulator.batch_settings import SimulatedBatches
from claudebatch.simulator.clock import Clock, ResponseHeaders
from claudebatch.simulator.connection import Connection
from claudebatch.simulator.faults import FaultPlan
from claudebatch.simulator.http import Request, chunk, response_head
from claudebatch.simulator.latency import parse_latency
from claudebatch.simulator.limits import SimulatedBucket
from claudebatch.simulator.reading import check_access
from claudebatch.simulator.refusals import RefusedRequest, bad
from claudebatch.simulator.serving import render_refusal
from claudebatch.simulator.stats import Stats

PATH = "/v1/messages/batches"
JSONL = b"application/x-jsonl"
POLL_S = 10
DEFAULT_PAGE, LONGEST_PAGE = 20, 1000
LAG_S = 60.0
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PIECE = 2**16
# Rows between two turns of the loop: other connections must not wait.
_SLICE = 50
# Who asks waits for batches of so many rows, rather than being told that they run.
_AWAITED = 2_000


class BatchEndpoints:
    """Serves everything below `/v1/messages/batches`."""

    def __init__(
        self,
        settings: SimulatedBatches,
        *,
        processor: RowProcessor,
        plan: FaultPlan,
        stats: Stats,
        response_headers: ResponseHeaders,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._latency = parse_latency(settings.latency)
        self._time = BatchTime(clock, settings.time)
        self._clock = clock
        self._processor = processor
        self._plan = plan
        self._stats = stats
        self._response_headers = response_headers
        self._rng = rng
        self._bucket = (
            None if settings.rpm is None else SimulatedBucket(settings.rpm, 60.0, self._time.now())
        )
        # Mutable: all batches by id, oldest first, and those that are being ended now.
        self._jobs: dict[str, BatchJob] = {}
        self._ending: dict[BatchJob, asyncio.Task[None]] = {}

    async def serve(self, request: Request, connection: Connection) -> None:
        """Answer one request, or apply a fault to it. Raises `ClientLeft`."""
        try:
            check_access(request)
            self._admit()
            self._common_faults()
            self._advance()
            await self._route(request, connection)
        except RefusedRequest as refused:
            await connection.send(render_refusal(refused, self._response_headers))
        finally:
            if request.spool is not None:
                request.spool.close()

    async def settle(self) -> None:
        """Wait until every batch that is due has ended: before a bill is read."""
        self._advance()
        while self._ending:
            await asyncio.wait(list(self._ending.values()))

    async def stop(self) -> None:
        """End the work; batches that were being ended go on after a start."""
        tasks = list(self._ending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self) -> None:
        if self._bucket is None:
            return
        now = self._time.now()
        wait_s = self._bucket.wait_for(1, now)
        if wait_s > 0:
            self._stats.rate_limited()
            raise RefusedRequest(
                429,
                "This request would exceed your organization's rate limit of "
                f"{self._bucket.limit:,} requests per minute to the Message Batches API. "
                "(simulated)",
                retry_after_s=self._time.wait(wait_s),
                should_retry=True,
                limited=True,
            )
        self._bucket.take(1, now)

    def _common_faults(self) -> None:
        match self._befalls("batch_500", "batch_429"):
            case "batch_500":
                raise RefusedRequest(500)
            case "batch_429":
                raise RefusedRequest(429, should_retry=True, retry_after_s=1)

    def _befalls(self, *names: str) -> str | None:
        fault = self._plan.draw_of(names)
        if fault is not None:
            self._stats.befell(fault)
        return fault

    async def _route(self, request: Request, connection: Connection) -> None:
        name, _, more = request.path.removeprefix(PATH).strip("/").partition("/")
        match (request.method, bool(name), more):
            case ("POST", False, ""):
                await self._create(request, connection)
            case ("GET", False, ""):
                await self._answer(connection, self._list(request))
            case ("GET", True, ""):
                await self._retrieve(name, request, connection)
            case ("POST", True, "cancel"):
                await self._answer(connection, self._cancel(name, request))
            case ("GET", True, "results"):
                await self._results(name, connection)
            case ("DELETE", True, ""):
                await self._answer(connection, await self._delete(name))
            case _:
                raise RefusedRequest(404, f"{request.method} {request.path}: not found")

    async def _answer(self, connection: Connection, value: wire.Body, lines: bytes = b"") -> None:
        body = wire.encode(value)
        lines = self._response_headers.lines(self._response_headers.next_id()) + lines
        await connection.send(response_head(200, lines, length=len(body)) + body)

    async def _create(self, request: Request, connection: Connection) -> None:
        if request.spool is None:
            raise bad("The request body is not valid JSON: it is empty")
        rows = read_body(request.spool, self._settings.max_requests)
        self._check_queue(len(rows))
        job = self._made(request, rows)
        match self._befalls("batch_504", "batch_lost", "batch_hang", "batch_twice"):
            case "batch_504":
                raise RefusedRequest(504)
            case "batch_lost":
                connection.reset()
                return
            case "batch_hang":
                await connection.wait_until_client_leaves()
                return
            case "batch_twice":
                job = self._made(request, rows)
        await self._answer(connection, self._describe(job, request))

    def _check_queue(self, coming: int) -> None:
        most = self._settings.queue
        if most is None:
            return
        now = self._time.now()
        waiting = sum(job.waiting(now) for job in self._jobs.values())
        if waiting + coming > most:
            self._stats.rate_limited()
            raise RefusedRequest(
                429,
                f"This request would exceed your organization's limit of {most:,} batch requests "
                "in the processing queue. (simulated)",
                retry_after_s=self._time.wait(60),
                should_retry=True,
                limited=True,
            )

    def _made(self, request: Request, rows: StoredRequests) -> BatchJob:
        job = BatchJob(
            id="msgbatch_01" + "".join(self._rng.choices(_ALPHABET, k=22)),
            # Without its file, which the rows keep open themselves.
            request=Request(request.method, request.path, request.headers, b"", keep_alive=True),
            rows=rows,
            size=len(rows),
            created=self._time.now(),
            duration=self._latency.draw(self._rng),
            salt=self._rng.getrandbits(32),
            flat=self._befalls("batch_flat") is not None,
            stuck=self._befalls("batch_stuck") is not None,
        )
        self._jobs[job.id] = job
        self._stats.batch_made(job.size)
        return job

    async def _retrieve(self, name: str, request: Request, connection: Connection) -> None:
        job = self._job(name)
        await self._until_ended(job)
        lines = b"" if job.ended is not None else b"retry-after: %d\r\n" % self._time.wait(POLL_S)
        await self._answer(connection, self._describe(job, request), lines)

    def _list(self, request: Request) -> wire.Body:
        asked = {name: values[-1] for name, values in parse_qs(request.query).items()}
        limit = _limit(asked.get("limit"))
        jobs = list(reversed(self._jobs.values()))
        if self._befalls("batch_lag"):
            now = self._time.now()
            jobs = [job for job in jobs if job.created <= now - LAG_S]
        if "after_id" in asked and "before_id" in asked:
            raise bad("after_id, before_id: only one of them may be given")
        if "after_id" in asked:
            jobs = jobs[self._place(jobs, asked["after_id"]) + 1 :]
            page = jobs[:limit]
            more = len(jobs) > limit
        elif "before_id" in asked:
            jobs = jobs[: self._place(jobs, asked["before_id"])]
            page = jobs[-limit:]
            more = len(jobs) > limit
        else:
            page, more = jobs[:limit], len(jobs) > limit
        return {
            "data": [self._describe(job, request) for job in page],
            "has_more": more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }

    def _place(self, jobs: list[BatchJob], name: str) -> int:
        place = next((place for place, job in enumerate(jobs) if job.id == name), None)
        if place is None:
            raise _not_found(name)
        return place

    def _cancel(self, name: str, request: Request) -> wire.Body:
        job = self._job(name)
        if job.ended is not None or job in self._ending:
            raise bad(f"Message Batch {name} has ended and cannot be canceled.")
        if job.cancelled_at is None:
            job.cancelled_at = self._time.now()
            job.uncanceled = self._befalls("batch_uncanceled") is not None
        return self._describe(job, request)

    async def _delete(self, name: str) -> wire.Body:
        job = self._job(name)
        await self._until_ended(job)
        if job.ended is None:
            raise bad(f"Message Batch {name} cannot be deleted while it is processing: cancel it.")
        del self._jobs[name]
        if job.results is not None:
            job.results.file.close()
        return {"id": name, "type": "message_batch_deleted"}

    async def _results(self, name: str, connection: Connection) -> None:
        job = self._job(name)
        await self._until_ended(job)
        results = job.results
        if results is None or job.archived(self._time.now()):
            raise RefusedRequest(404, f"Message Batch {name} has no available results.")
        order = list(range(job.size))
        # Another one each time: nobody may count on any.
        self._rng.shuffle(order)
        fault = self._befalls("batch_cut", "batch_short")
        cut = fault == "batch_cut"
        order, left = (order[: job.size // 2], order[job.size // 2 :]) if cut else (order, [])
        if fault == "batch_short":
            order = order[:-1]
        lines = self._response_headers.lines(self._response_headers.next_id())
        lines += b"content-disposition: attachment; filename*=utf-8''%s_results.jsonl\r\n" % (
            name.encode()
        )
        await connection.send(response_head(200, lines, content_type=JSONL, length=None))
        for piece in pieces(results, order, self._delivers(results), _PIECE):
            await connection.send(chunk(piece))
            await self._clock.sleep(0)
        if cut:
            half = chunk(results.line(left[0]))
            await connection.send(half[: len(half) // 2])
            await connection.close()
            return
        await connection.send(chunk(b""))

    def _delivers(self, results: BatchResults) -> Callable[[int], None]:
        def written(number: int) -> None:
            digest, results.digests[number] = results.digests[number], None
            # Only the first time: what is downloaded again is not paid again.
            if digest is not None:
                self._stats.delivered(digest, results.costs[number])

        return written

    def _job(self, name: str) -> BatchJob:
        job = self._jobs.get(name)
        if job is None:
            raise _not_found(name)
        if self._befalls("batch_404"):
            raise _not_found(name)
        return job

    def _describe(self, job: BatchJob, request: Request) -> wire.Body:
        return job.describe(self._time, f"http://{request.headers.get('host', 'localhost')}")

    def _advance(self) -> None:
        """Begin to end what is due."""
        now = self._time.now()
        for job in self._jobs.values():
            if job.results is not None and job.archived(now):
                job.results.file.close()
                job.results = None
            if job.ended is None and job.due <= now and job not in self._ending:
                task = asyncio.get_running_loop().create_task(self._end(job))
                self._ending[job] = task
                task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: BatchJob, task: asyncio.Task[None]) -> None:
        del self._ending[job]
        if not task.cancelled() and (error := task.exception()) is not None:
            # A bug of ours must be seen, not end as a batch that never ends.
            task.get_loop().call_exception_handler(
                {"message": "simulator: a batch failed", "exception": error}
            )

    async def _until_ended(self, job: BatchJob) -> None:
        if (task := self._ending.get(job)) is not None and job.size <= _AWAITED:
            await asyncio.wait([task])

    async def _end(self, job: BatchJob) -> None:
        """Process the rows, and bill what was answered."""
        # Told to the type checker.
        assert job.rows is not None  # noqa: S101
        if job.coming is None:
            job.coming = BatchResults(tempfile.TemporaryFile())  # noqa: SIM115 - kept
            job.counts = dict.fromkeys(COUNTED, 0)
        now = self._clock.now()
        # Not from the first one, where a stop has interrupted it: what was processed is
        # billed.
        for number in range(len(job.coming), job.size):
            custom_id, params = job.rows.row(number)
            if job.reached(number):
                row = self._processor.process(job, custom_id, params, now)
            else:
                row = unreached(custom_id, job.unreached())
            job.counts[row.outcome] += 1
            job.coming.add(row.line, row.digest, row.cost)
            if number % _SLICE == _SLICE - 1:
                await self._clock.sleep(0)
        job.results, job.coming, job.rows, job.ended = job.coming, None, None, job.due
        self._stats.batch_ended(job.counts)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LONGEST_PAGE):
        raise bad(f"limit: Input should be between 1 and {LONGEST_PAGE}")
    return int(text)


def _not_found(name: str) -> RefusedRequest:
    return RefusedRequest(404, f"Message Batch {name} not found.")
