"""As many senders as are wanted, for as long as the run goes on: one that is gone is
replaced, and requests go to the one with the least to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.one_sender import Sender
from claudebatch.clients.senders.sender_link import LinkLost, SenderPlaces
from claudebatch.core.errors import ApiUnavailable, ClaudebatchError, StopRun
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted

_LOOK_S = 5.0
"""Between two looks at how many senders there should be: hosts come and go."""
_MOST_FAILURES = 5
_LONGEST_WAIT_S = 8.0
# A place that holds back a start that was asked for, a cluster without a free CPU say.
_START_S = 120.0
# So many attempts in a row that reach nobody are no accident; one that fails at once
# always has the least to do, and would get most requests.
_UNREACHED = 3
_PASSED_OVER_S = 30.0


def chosen(senders: Iterable[Sender], now: float) -> Sender | None:
    """The sender of the next request; None: there is none."""
    return min(senders, key=lambda one: (now < one.passed_over_until, one.in_flight), default=None)


class SenderCrew:
    """Keeps senders in their places. Made inside the running loop."""

    def __init__(
        self,
        places: SenderPlaces,
        welcome: Welcome,
        *,
        max_outage_s: float,
        now: Callable[[], float],
        notify: Callable[[Notice], None],
    ) -> None:
        """*max_outage_s*: for so long a request waits for a sender."""
        self._places = places
        self._max_outage_s = max_outage_s
        self._welcome = welcome
        self._now = now
        self._notify = notify
        # Mutable: the senders that are ready; the tasks that keep one each; starts that
        # failed since the last answer; why there will be none any more.
        self._senders: list[Sender] = []
        self._keepers: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._stop: BaseException | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._looking = asyncio.ensure_future(self._look())

    @property
    def ready(self) -> list[Sender]:
        """Those that can be asked now."""
        return [one for one in self._senders if not one.gone]

    async def pick(self) -> Sender:
        """A sender that is ready, as soon as there is one; raises `StopRun` when there
        will be none, or there was none for too long.
        """
        try:
            async with asyncio.timeout(self._max_outage_s):
                return await self._picked()
        except TimeoutError:
            # Whatever holds up those that are to come.
            seconds = self._max_outage_s
            self._give_up(_no_sender(f"no process that sends was there for {seconds:.0f} s"))
            return await self._picked()

    async def _picked(self) -> Sender:
        while True:
            if self._stop is not None:
                raise self._stop
            found = chosen(self.ready, self._now())
            if found is not None:
                return found
            self._changed.clear()
            await self._changed.wait()

    def answered(self, sender: Sender) -> None:
        """An attempt of *sender* was answered, whatever the answer was."""
        sender.has_answered, sender.unreached = True, 0
        self._failures = 0

    def unreached(self, sender: Sender) -> bool:
        """An attempt of *sender* reached nobody: after some, others go first for a
        while. Returns whether others do get through.
        """
        sender.unreached += 1
        others = [one for one in self.ready if one is not sender]
        # Where nobody gets through, the API is away, and no sender is at fault.
        works = any(one.has_answered and not one.unreached for one in others)
        if sender.unreached >= _UNREACHED and works:
            sender.passed_over_until = self._now() + _PASSED_OVER_S
        return works

    async def close(self) -> None:
        """End all senders."""
        self._closing = True
        tasks = [self._looking, *self._keepers]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._places.close()

    async def _look(self) -> None:
        try:
            while self._stop is None:
                for _ in range(await self._places.wanted() - len(self._keepers)):
                    keeper = asyncio.ensure_future(self._keep())
                    self._keepers.add(keeper)
                    keeper.add_done_callback(self._kept)
                await _wait(_LOOK_S)
        except (StopRun, ClaudebatchError) as error:
            self._give_up(error)

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        self._keepers.discard(keeper)
        if not keeper.cancelled() and keeper.exception() is not None and not self._closing:
            self._give_up(keeper.exception())

    async def _keep(self) -> None:
        """One place: a sender in it, and the next one when that is gone."""
        while self._stop is None:
            if self._failures:
                await _wait(min(_LONGEST_WAIT_S, 2.0**self._failures / 4))
            sender = await self._started()
            if sender is None:
                continue
            self._senders.append(sender)
            self._changed.set()
            try:
                why = await sender.listen()
            finally:
                self._senders.remove(sender)
            self._tell(why, sender)
            if len(self._keepers) > await self._places.wanted():
                return

    async def _started(self) -> Sender | None:
        try:
            async with asyncio.timeout(_START_S):
                link = await self._places.start()
                sender = Sender(link)
                try:
                    await sender.welcome(self._welcome)
                except BaseException:
                    await sender.close()
                    raise
        except (LinkLost, TimeoutError) as error:
            self._failed(str(error) or f"it was not there after {_START_S:.0f} s")
            return None
        except (StopRun, ClaudebatchError) as error:
            # What one place lacks, others may have: the run goes on with those.
            if not self.ready:
                self._give_up(error)
            self._failed(error.message)
            return None
        return sender

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures == _MOST_FAILURES and self.ready:
            self._notify(Notice("W141", f"another sender cannot be started: {why}"))
        if self._failures >= _MOST_FAILURES and not self.ready:
            self._give_up(_no_sender(f"no process that sends could be started: {why}"))

    def _tell(self, why: str, sender: Sender) -> None:
        if not sender.has_answered:
            # It dies as soon as it begins: not to be tried in a loop.
            self._failed(why)
        out = sender.lost_in_flight
        lost = (
            f"{counted(out, 'request')} in flight may have been billed and "
            f"{'is' if out == 1 else 'are'} sent again"
            if out
            else "it had nothing in flight"
        )
        self._notify(Notice("W140", f"a process that sends is gone ({why}): {lost}"))

    def _give_up(self, error: BaseException | None) -> None:
        self._stop = self._stop or error
        self._changed.set()


def _no_sender(message: str) -> ApiUnavailable:
    fix = "run the same command again, with --processes 1 if that lasts"
    return ApiUnavailable("E885", message, fix=fix)


async def _wait(seconds: float) -> None:
    # Not a wait of the run: a drain ends what is to be sent, and those that send stay
    # until what is in flight has come.
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, future.set_result, None)
    try:
        await future
    finally:
        timer.cancel()
