"""A Claude Messages API on loopback: for tests, drills, and rehearsals without a key or
costs.

`Simulator` owns the socket and every connection on it; the other files decide the
answers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from claudebatch.core.drain import Drain
from claudebatch.core.errors import ConfigError, Draining
from claudebatch.simulator import batch_endpoints, wire
from claudebatch.simulator.batch_rows import RowProcessor
from claudebatch.simulator.clock import Clock, ResponseHeaders, Sleep
from claudebatch.simulator.connection import READ_BYTES, ClientLeft, Connection
from claudebatch.simulator.faults import FaultPlan
from claudebatch.simulator.http import BadRequest, Request, response_head
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.reading import RequestReader, check_access, describe_model, list_models
from claudebatch.simulator.refusals import RefusedRequest, bad
from claudebatch.simulator.serving import Bill, MessagesService, render_refusal
from claudebatch.simulator.settings import SimulatorSettings
from claudebatch.simulator.stats import Stats

HOST = "127.0.0.1"
BACKLOG = 1024
"""Clients open hundreds of connections at once; with the default of 100, the others
would wait a second for a retransmit.
"""
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
MODELS = "/v1/models"


class Simulator:
    """The API, simulated. Start it, point a client at the URL, stop it; after a stop it
    may be started again.

    bill     the price of an answer: exact, because `/__stats` is compared with a ledger
             to the last digit
    pool_of  which models share their limits; by default none do
    sleep    every wait goes through it. Do not pass a run's own `Drain.sleep`: a run
             that drains still wants its answers in flight
    known    models beyond the simulator's own table that are answered too, as the
             newest ones are
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        bill: Bill,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        rng: random.Random,
        pool_of: Callable[[str], str] = lambda model: model,
        sleep: Sleep | None = None,
        known: Callable[[str], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = Clock(now, wall, sleep if sleep is not None else Drain().sleep)
        self._plan = FaultPlan(settings.faults, settings.script, rng=rng)
        self._stats = Stats(now())
        self._response_headers = ResponseHeaders(self._clock)
        cache = PromptCache()
        self._reader = RequestReader(
            seed=settings.seed, cache=cache, known=known, adversarial=settings.adversarial
        )
        self._service = MessagesService(
            settings,
            reader=self._reader,
            cache=cache,
            plan=self._plan,
            stats=self._stats,
            response_headers=self._response_headers,
            bill=bill,
            pool_of=pool_of,
            clock=self._clock,
            rng=rng,
        )
        self._batches = self._batch_endpoints(cache, bill, known, rng)
        # Mutable state: the listening socket and the connections with their tasks;
        # changed by `start`, `stop`, `_accept` and `_ended`.
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}

    def _batch_endpoints(
        self,
        cache: PromptCache,
        bill: Bill,
        known: Callable[[str], bool] | None,
        rng: random.Random,
    ) -> batch_endpoints.BatchEndpoints:
        settings = self._settings
        # A cache without entries, for requests that come before their prefix is ready.
        cold = RequestReader(
            seed=settings.seed, cache=PromptCache(), known=known, adversarial=settings.adversarial
        )
        processor = RowProcessor(
            readers=(self._reader, cold),
            cache=cache,
            plan=self._plan,
            stats=self._stats,
            bill=bill,
            rng=rng,
            cache_hits=settings.batches.cache_hits,
            use_all=settings.use_all_max_tokens or settings.adversarial,
        )
        return batch_endpoints.BatchEndpoints(
            settings.batches,
            processor=processor,
            plan=self._plan,
            stats=self._stats,
            response_headers=self._response_headers,
            clock=self._clock,
            rng=rng,
        )

    @property
    def on_request(self) -> Callable[[dict[str, Any]], None] | None:
        """Called with each decoded Messages body, valid or not, before its answer."""
        return self._reader.on_request

    @on_request.setter
    def on_request(self, observer: Callable[[dict[str, Any]], None] | None) -> None:
        self._reader.on_request = observer

    async def start(self, port: int = 0) -> str:
        """Listen on *port* of loopback, any free one by default; returns the base
        URL.
        """
        # asyncio switches Nagle's algorithm off by default, so an answer leaves with
        # its single write.
        self._server = await asyncio.start_server(
            self._accept, HOST, port, backlog=BACKLOG, limit=READ_BYTES
        )
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and end every connection, whatever is in flight on it."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        open_now = dict(self._connections)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        await self._batches.stop()
        # A task that was cancelled before its first step has not closed its connection.
        for connection in open_now.values():
            await connection.abort()
        await server.wait_closed()

    def stats(self) -> dict[str, Any]:
        """The answer to `GET /__stats`."""
        return self._stats.snapshot()

    def reset_stats(self) -> None:
        """Reset all counts, as `POST /__reset` does."""
        self._stats.reset(self._clock.now())

    def set_faults(self, faults: Mapping[str, float], script: tuple[str, ...] = ()) -> None:
        """Replace all faults and the rest of the script, as `POST /__faults` does."""
        self._plan.set(faults, script)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # Accepted in the very turn in which `stop` closed the socket.
            writer.transport.abort()
            return
        connection = Connection(
            reader,
            writer,
            max_body_bytes=self._settings.max_body_bytes,
            spooled={batch_endpoints.PATH: self._settings.batches.max_bytes},
        )
        task = asyncio.get_running_loop().create_task(self._converse(connection))
        self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            # A bug of ours must be seen, not end as a connection that closed for no
            # reason.
            task.get_loop().call_exception_handler(
                {"message": "simulator: a connection failed", "exception": error}
            )

    async def _converse(self, connection: Connection) -> None:
        try:
            await self._serve_all(connection)
            await connection.close()
        except (ClientLeft, Draining):
            pass
        finally:
            await connection.abort()

    async def _serve_all(self, connection: Connection) -> None:
        """Answer the requests of one connection, one after the other."""
        try:
            while (request := await connection.next_request()) is not None:
                await self._serve(request, connection)
                if connection.closing or not request.keep_alive:
                    return
        except BadRequest as error:
            await connection.send(
                render_refusal(RefusedRequest(error.status, error.message), self._response_headers)
            )

    async def _serve(self, request: Request, connection: Connection) -> None:
        if request.path == MESSAGES and request.method == "POST":
            await self._service.serve(request, connection)
            return
        if request.path == batch_endpoints.PATH or request.path.startswith(
            batch_endpoints.PATH + "/"
        ):
            self._stats.other()
            await self._batches.serve(request, connection)
            return
        if request.path == "/__stats":
            await self._batches.settle()
        try:
            body = wire.encode(self._other(request))
        except RefusedRequest as refused:
            await connection.send(render_refusal(refused, self._response_headers))
            return
        lines = self._response_headers.lines(self._response_headers.next_id())
        await connection.send(response_head(200, lines, length=len(body)) + body)

    def _other(self, request: Request) -> wire.Body:
        """The answers of all endpoints that take no time and cost nothing."""
        if request.path.startswith("/__"):
            return self._control(request)
        self._stats.other()
        if (request.method, request.path) == ("POST", COUNT_TOKENS):
            return {"input_tokens": self._reader.count(request)}
        if request.method == "GET" and request.path == MODELS:
            check_access(request)
            return list_models()
        if request.method == "GET" and request.path.startswith(MODELS + "/"):
            check_access(request)
            return describe_model(request.path.removeprefix(MODELS + "/"))
        raise RefusedRequest(
            404, f"{request.method} {request.path} is no endpoint of the simulator"
        )

    def _control(self, request: Request) -> wire.Body:
        match (request.method, request.path):
            case ("GET", "/__stats"):
                return self.stats()
            case ("GET", "/__log"):
                return {"events": self._stats.log.snapshot()}
            case ("POST", "/__reset"):
                self.reset_stats()
                return self.stats()
            case ("POST", "/__faults"):
                return self._new_faults(request.body)
        raise RefusedRequest(
            404, f"{request.method} {request.path} is no endpoint of the simulator"
        )

    def _new_faults(self, data: bytes) -> wire.Body:
        """Take `{"529": 0.1, "script": ["ok", "reset"]}`; both parts are optional."""
        try:
            wanted = wire.decode(data)
            script = wanted.pop("script", [])
            self.set_faults(wanted, tuple(script))
        except (wire.NotJson, AttributeError, TypeError) as error:
            raise bad('faults: send {"NAME": PROBABILITY, "script": ["NAME", "ok"]}') from error
        except ConfigError as error:
            raise bad(f"faults: {error.message}") from error
        return dict(self._plan.snapshot())
