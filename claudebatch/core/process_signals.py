"""The one handler of signals, from the first line of `main` to the end of the process.

Signals come at any moment: during an import, while an event loop is half made, while
the interpreter clears up. Python's own answer, an exception wherever the program
stands, is right only where nothing has to be brought to an end; the handler knows the
phase and raises nowhere else.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from enum import Enum
from types import FrameType
from typing import Any, TypeAlias

_WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}
# What is at its end needs a moment. Somebody who still presses Ctrl-C after so long has
# a disk that hangs, and must not need another terminal to get rid of us.
_LONGEST_END_S = 10.0

Taker: TypeAlias = Callable[[signal.Signals], object]
"""Takes signals while a loop runs, inside that loop."""
Post: TypeAlias = Callable[..., object]
"""Has a loop call something soon: `loop.call_soon_threadsafe`."""


class Interrupted(KeyboardInterrupt):
    """A signal came where nothing has to be brought to an end."""


class _Phase(Enum):
    # The first signal raises, once; the second leaves on the spot.
    RAISING = "raising"
    # A loop is being made, runs or is closed: signals wait, or are taken inside it.
    LOOP = "loop"
    # The result stands: signals change nothing any more.
    OVER = "over"


class SignalHandler:
    """Knows what a signal means at each moment of the process."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._now = now
        self._leave = leave
        # Mutable, changed by signals: the first one, how many there were, when the
        # second one came, and whether one of them was raised.
        self.first: signal.Signals | None = None
        self.raised = False
        self._count = 0
        self._second_at = 0.0
        # Mutable, changed by those who run: the phase, and who takes signals in a loop.
        self._phase = _Phase.RAISING
        self._post: Post | None = None
        self._taker: Taker | None = None

    def install(self) -> None:
        """Take the signals that nobody ignores: what `nohup`, or a shell for its
        background, has switched off stays off.
        """
        # At the end the interpreter gives signals their default back, which is death:
        # one in the last moment would mask the exit code.
        atexit.register(self._ignore)
        for number in _WORDS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                try:
                    signal.signal(number, self)
                except ValueError:
                    # Not the main thread: what is there stays.
                    return

    def __call__(self, number: int, _: FrameType | None) -> None:
        """A signal has come; called in the main thread, between any two steps."""
        came = signal.Signals(number)
        self._count += 1
        if self.first is None:
            self.first = came
        if self._count == 2:
            self._second_at = self._now()
        if self._count > 2 and self._now() - self._second_at >= _LONGEST_END_S:
            self._leave(self.exit_code)
        elif self._phase is _Phase.RAISING:
            self._raise()
        elif self._phase is _Phase.LOOP:
            self._pass_on(came)

    @property
    def exit_code(self) -> int:
        """What a shell reports for the first signal; 130 if there was none (Ctrl-D)."""
        return 128 + (self.first or signal.SIGINT)

    @property
    def words(self) -> str:
        """What is said of a signal before which nothing had begun."""
        return f"{_WORDS[self.first or signal.SIGINT]}; nothing was lost"

    def check(self) -> None:
        """Raise now what came while nothing could be raised, or was swallowed, unless
        the result stands.
        """
        if self.first is not None and self._phase is not _Phase.OVER:
            self.raised = True
            raise Interrupted

    def enter_loop(self) -> None:
        """A loop is about to be made: from here on signals wait for `take_in`."""
        self.check()
        self._phase = _Phase.LOOP

    def take_in(self, post: Post, taker: Taker) -> None:
        """The loop runs: hand signals to *taker*, inside it."""
        self._post, self._taker = post, taker

    def pass_to(self, taker: Taker) -> None:
        """Hand signals to *taker* from now on."""
        self._taker = taker

    def leave_loop(self) -> None:
        """The loop is about to end: signals wait again."""
        self._post = self._taker = None

    def left_loop(self) -> None:
        """The loop is closed: signals raise again, unless the result stands."""
        self.leave_loop()
        if self._phase is _Phase.LOOP:
            self._phase = _Phase.RAISING

    def settle(self) -> None:
        """The result stands; signals are noted, and change nothing."""
        self._phase = _Phase.OVER

    def _pass_on(self, came: signal.Signals) -> None:
        if self._post is not None:
            self._post(self._take, came)
        # In a loop half made or half closed one signal waits. The second wants out.
        elif self._count > 1:
            self._phase = _Phase.RAISING
            self.raised = True
            raise Interrupted

    def _take(self, came: signal.Signals) -> None:
        # Looked up late: a signal may be on its way while the taker changes.
        if self._taker is not None:
            self._taker(came)

    def _raise(self) -> None:
        if self.raised or self._count > 1:
            self._leave(self.exit_code)
        self.raised = True
        raise Interrupted

    def _ignore(self) -> None:
        for number in _WORDS:
            if signal.getsignal(number) is self:
                signal.signal(number, signal.SIG_IGN)


def signal_handler() -> SignalHandler:
    """The handler of this process, which keeps it in its own table of signals; where
    there is none, one that never hears anything.
    """
    for number in _WORDS:
        found: Any = signal.getsignal(number)
        if isinstance(found, SignalHandler):
            return found
    return SignalHandler(now=lambda: 0.0)
