"""Senders that are actors of Ray: one on each host of a cluster, or so many in all. The
one room that knows Ray, loaded only with `--engine ray`.

Frames are the arguments and results of two methods. Nothing of the run lies in Ray's
store or in its files, the key neither: an actor ends with its driver.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from claudebatch.clients.senders.in_time import in_time
from claudebatch.clients.senders.sender_link import FrameLink, LinkLost
from claudebatch.core.errors import ApiUnavailable, ConfigError

# The driver asks again at once; a sender that has nothing to say beats anyway.
_TAKE_S = 20.0
# Hosts whose head is away for a minute end, and so would all that is in flight. What is
# answered until then has still its time to come.
_HEAD_AWAY_S = 40.0
# Where the head is away, some calls fail at once and some wait for it.
_HEAD_ANSWERS_S = 5.0


class RayPlaces:
    """Starts senders in a Ray cluster that is there already."""

    def __init__(
        self,
        processes: int | None,
        *,
        address: str,
        serve: Callable[[FrameLink], Awaitable[None]],
        max_outage_s: float = _HEAD_AWAY_S,
    ) -> None:
        """*processes* in all, spread over the hosts; None: one on each, those that come
        later included. *address*: of the cluster, `auto` for the one of this host.
        *serve* runs in each actor; hosts find it by its name.
        """
        self._processes = processes
        self._address = address
        self._serve = serve
        self._away_s = min(max_outage_s, _HEAD_AWAY_S)
        # Mutable: Ray, once connected; since when its head is away; the hosts when they
        # were last asked for; how many senders are on each, by its id.
        self._ray: Any = None
        self._away_since: float | None = None
        self._connecting = asyncio.Lock()
        self._known: list[str] = []
        self._on: Counter[str] = Counter()

    async def wanted(self) -> int:
        """As many as the user wants, or as there are hosts."""
        return self._processes or len(await self._hosts())

    async def start(self) -> FrameLink:
        """A new actor, on the host with the fewest."""
        ray, hosts = await self._connected(), await self._hosts()
        if not hosts:
            raise LinkLost("no host of the Ray cluster takes work")
        host = min(hosts, key=lambda one: self._on[one])
        self._on[host] += 1
        actor = (
            ray.remote(_Actor)
            .options(
                # It mostly waits for the network; a cluster whose CPUs are all taken
                # can send all the same.
                num_cpus=0,
                max_restarts=0,
                scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    node_id=host, soft=False
                ),
            )
            .remote()
        )
        link = RayLink(ray, actor, lambda: self._on.subtract((host,)))
        try:
            await link.begin(self._serve)
        except BaseException:
            await link.close()
            raise
        return link

    async def close(self) -> None:
        """Leave the cluster."""
        if self._ray is not None:
            with suppress(TimeoutError):
                await in_time(self._ray.shutdown, _HEAD_ANSWERS_S)

    async def _hosts(self) -> list[str]:
        ray = await self._connected()
        try:
            nodes = await in_time(ray.nodes, _HEAD_ANSWERS_S)
        except (ray.exceptions.RayError, RuntimeError, OSError):
            self._without_head()
            return self._known
        self._away_since = None
        # A head without CPUs is one that is not to work.
        self._known = [
            node["NodeID"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0)
        ]
        return self._known

    def _without_head(self) -> None:
        """Senders that are there go on without it, for a while."""
        moment = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = moment
        away_s = moment - self._away_since
        if away_s >= self._away_s:
            raise ApiUnavailable(
                "E887",
                f"the head of the Ray cluster has been away for {away_s:.0f} s",
                fix="start the cluster again, then run the same command",
            )

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._ray is None:
                # In a thread: it waits for the network, and would take SIGTERM for
                # itself. In one that stays: what it starts ends with the thread.
                self._ray = await asyncio.to_thread(_connect, self._address)
            return self._ray


def _connect(address: str) -> Any:
    try:
        # A second, and 240 MB on disk: nothing else may load it.
        import ray  # noqa: PLC0415
        import ray.util.scheduling_strategies  # noqa: PLC0415
        from ray._private import worker  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "E882",
            "--engine ray needs a package that is not installed: ray",
            fix="pip install 'claudebatch[ray]', on all hosts",
        ) from error
    try:
        ray.init(
            address=address,
            # It would print into the display.
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _no_cluster(address, _first_line(error)) from error
    # Of hosts and actors that die it tells on standard output, which is data here, and
    # has no public switch for that.
    worker._worker_logs_enabled = False
    return ray


def _no_cluster(address: str, why: str) -> ConfigError:
    where = "on this host" if address == "auto" else f"at {address}"
    return ConfigError(
        "E883",
        f"there is no Ray cluster {where} that can be joined: {why}",
        fix="start one with `ray start --head`, and on this host, too, with "
        "`ray start --address=HOST:6379`",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class RayLink:
    """A `FrameLink` to an actor."""

    def __init__(self, ray: Any, actor: Any, closed: Callable[[], None]) -> None:
        """*closed* is called once, when it is given up."""
        self._ray = ray
        self._actor = actor
        self._closed = closed
        # Mutable: frames that leave together, and the number of the next such letter;
        # frames that came; the present question for more; whether it is given up.
        self._out: list[bytes] = []
        self._letter = 0
        self._in: deque[bytes] = deque()
        self._taking: asyncio.Future[list[bytes]] | None = None
        self._over = False

    async def begin(self, serve: Callable[[FrameLink], Awaitable[None]]) -> None:
        """Wait until the actor is there."""
        await self._answer(self._actor.begin.remote(serve))

    def put(self, frame: bytes) -> None:
        """Send *frame*, with others of the same moment: a call of an actor costs more
        than a frame.
        """
        if self._over:
            raise LinkLost("it was given up")
        if not self._out:
            asyncio.get_running_loop().call_soon(self._post)
        self._out.append(frame)

    def _post(self) -> None:
        frames, self._out = self._out, []
        if self._over:
            return
        # Its failure is found by the reading side.
        with suppress(self._ray.exceptions.RayError):
            self._actor.put.remote(self._letter, frames)
            self._letter += 1

    async def get(self) -> bytes:
        """The next frame."""
        while not self._in:
            if self._taking is None:
                self._taking = asyncio.ensure_future(self._answer(self._actor.take.remote()))
            # Shielded: what it brings must not be lost with one who waits for it.
            frames = await asyncio.shield(self._taking)
            self._taking = None
            self._in.extend(frames)
        return self._in.popleft()

    async def _answer(self, reference: Any) -> Any:
        try:
            return await asyncio.wrap_future(reference.future())
        except self._ray.exceptions.RayError as error:
            raise LinkLost(_reason(error)) from error

    async def close(self) -> None:
        """End the actor."""
        if self._over:
            return
        self._over = True
        self._closed()
        if self._taking is not None:
            self._taking.cancel()
            with suppress(asyncio.CancelledError, LinkLost):
                await self._taking
        with suppress(self._ray.exceptions.RayError, TimeoutError):
            await in_time(partial(self._ray.kill, self._actor), _HEAD_ANSWERS_S)


def _reason(error: Any) -> str:
    # Ray tells a story of several lines, with addresses and files of logs.
    if type(error).__name__ in ("ActorDiedError", "RayActorError"):
        return "its actor died"
    if type(error).__name__ == "ActorUnavailableError":
        return "its host cannot be reached"
    return type(error).__name__


class _Actor:
    """The sender's side of a `RayLink`, in a process that Ray has started."""

    def __init__(self, leave: Callable[[int], object] = os._exit) -> None:
        self._leave = leave
        # Mutable: frames that came, and letters that came too early, by number; frames
        # to be taken.
        self._in: asyncio.Queue[bytes] = asyncio.Queue()
        self._early: dict[int, list[bytes]] = {}
        self._next = 0
        self._out: list[bytes] = []
        self._more = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def begin(self, serve: Callable[[FrameLink], Awaitable[None]]) -> None:
        """Be a sender from now on."""
        if self._life is None:
            self._life = asyncio.ensure_future(self._live(serve))

    async def _live(self, serve: Callable[[FrameLink], Awaitable[None]]) -> None:
        try:
            await serve(_ActorLink(self._in, self._say))
        finally:
            # Its driver is silent: Ray may not know that for minutes.
            self._leave(0)

    async def put(self, letter: int, frames: list[bytes]) -> None:
        """Take *frames* in; Ray does not promise their order."""
        self._early[letter] = frames
        while self._next in self._early:
            for frame in self._early.pop(self._next):
                self._in.put_nowait(frame)
            self._next += 1

    async def take(self) -> list[bytes]:
        """All that is to be said, as soon as there is something."""
        if not self._out:
            self._more.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TAKE_S):
                    await self._more.wait()
        out, self._out = self._out, []
        return out

    def _say(self, frame: bytes) -> None:
        self._out.append(frame)
        self._more.set()


class _ActorLink:
    """A `FrameLink` of the actor."""

    def __init__(self, into: asyncio.Queue[bytes], say: Callable[[bytes], None]) -> None:
        self._in = into
        self._say = say

    def put(self, frame: bytes) -> None:
        self._say(frame)

    async def get(self) -> bytes:
        return await self._in.get()

    async def close(self) -> None:
        """The actor ends by itself."""
