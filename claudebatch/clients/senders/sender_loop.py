"""The life of a sender: welcomed by its driver, it sends what it is asked to, until the
driver is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from claudebatch import __version__
from claudebatch.clients.protocol import Client
from claudebatch.clients.senders.error_facts import refused
from claudebatch.clients.senders.frames import (
    Alive,
    Answered,
    Ask,
    BadFrame,
    CalledOff,
    Ready,
    Seen,
    ToDriver,
    Told,
    Welcome,
    frame,
    to_sender,
)
from claudebatch.clients.senders.sender_link import BEAT_S, SILENT_S, FrameLink, LinkLost
from claudebatch.core.domain import PromptTokens
from claudebatch.core.errors import AttemptError, ConfigError, StopRun
from claudebatch.core.limit_headers import Limits

# Text comes many times a second, and the limiter needs to know of it a few times.
_GATHER_S = 0.05


class SenderLoop:
    """Serves one driver. It holds no limits, no money and no journal: what it is asked
    to send has passed all of them.
    """

    def __init__(self, link: FrameLink, connect: Callable[[Welcome], Client]) -> None:
        self._link = link
        self._connect = connect
        # Mutable: the client, once the driver has said where to; the requests under
        # way, by number; and the next beat.
        self._client: Client | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._beat: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until the driver is gone, or says nothing for too long."""
        self._beats()
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    data = await self._link.get()
                self._take(data)
        except (LinkLost, TimeoutError, BadFrame):
            # Nobody hears answers any more: what is under way may be billed, and the
            # driver's journal says so.
            pass
        finally:
            await self._end()

    def _take(self, data: bytes) -> None:
        match to_sender(data):
            case Welcome() as welcome:
                self._put(self._welcomed(welcome))
            case Ask(number=number) as asked:
                task = asyncio.ensure_future(self._serve(asked))
                self._tasks[number] = task
                task.add_done_callback(lambda _: self._tasks.pop(number, None))
            case CalledOff(number=number):
                if (called_off := self._tasks.get(number)) is not None:
                    called_off.cancel()
            case Alive():
                pass

    def _welcomed(self, welcome: Welcome) -> ToDriver:
        if welcome.version != __version__:
            return refused(
                0,
                ConfigError(
                    "E884",
                    f"a sender has claudebatch {__version__}, and this is {welcome.version}",
                    fix="install the same version on all hosts",
                ),
            )
        try:
            self._client = self._connect(welcome)
        except Exception as error:  # noqa: BLE001  # told to the driver, who decides
            return refused(0, error)
        return Ready()

    async def _serve(self, asked: Ask) -> None:
        client = self._client
        if client is None:
            return
        relay = _SeenRelay(asked.number, self._put) if asked.watched else None
        call = asked.call(relay)
        try:
            word: ToDriver
            if asked.what == "answer":
                word = Answered(asked.number, await client(call))
            else:
                word = Told(asked.number, await client.count(call))
        except (AttemptError, StopRun) as error:
            word = refused(asked.number, error)
        except Exception as crash:  # noqa: BLE001  # a bug is told where the run is
            word = refused(asked.number, crash)
        if relay is not None:
            relay.flush()
        self._put(word)

    def _put(self, word: ToDriver) -> None:
        # That the driver is gone is found by the reading side.
        with suppress(LinkLost):
            self._link.put(frame(word))

    def _beats(self) -> None:
        self._put(Alive())
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._beats)

    async def _end(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._client is not None:
            await self._client.close()
        await self._link.close()


class _SeenRelay:
    """An `AnswerObserver` that tells the driver's."""

    def __init__(self, number: int, put: Callable[[ToDriver], None]) -> None:
        self._number = number
        self._put = put
        # Mutable: bytes that are not reported yet, and the timer of their report.
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""
        self._put(Seen(self._number, began=True, limits=limits))

    def read(self, prompt: PromptTokens) -> None:
        """The prompt is read."""
        self.flush()
        self._put(Seen(self._number, read=prompt))

    def showed(self, size: int) -> None:
        """The answer has grown."""
        self._size += size
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self.flush)

    def hides(self) -> None:
        """From now on it grows by what is not shown."""
        self.flush()
        self._put(Seen(self._number, hides=True))

    def flush(self) -> None:
        """Report what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._size:
            self._put(Seen(self._number, size=self._size))
            self._size = 0
