"""What is seen of one answer while it comes, passed on to all who use it: the store,
the estimates of usage, and the request at the head of the pool's queue.
"""

from __future__ import annotations

from typing import Protocol

from claudebatch.core.domain import Call, PromptTokens, Usage
from claudebatch.core.drain import WakeUp
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.store import AnswerTracker


class UsageLearner(Protocol):
    """The usage of requests: expected before, learned after."""

    def expect(self, call: Call) -> ExpectedUsage:
        """The usage that *call* is expected to have."""
        ...

    def read(self, call: Call, input_tokens: int) -> None:
        """*call*'s prompt counted so many tokens; its answer is still to come."""
        ...

    def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
        """*call* had *usage*, for a text of *shown* bytes (0: unknown); *read*: its
        input was learned by `read` already.
        """
        ...


class AnswerRelay:
    """An `AnswerObserver` that passes all it sees on."""

    def __init__(
        self, call: Call, tracker: AnswerTracker, estimates: UsageLearner, wake_up: WakeUp
    ) -> None:
        """*wake_up* wakes the request that waits for what is learned here."""
        self._call = call
        self._tracker = tracker
        self._estimates = estimates
        self._wake_up = wake_up
        # Mutable: set by `read`, once.
        self._has_read = False

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""
        self._tracker.began(limits)
        self._wake_up.ring()

    def read(self, prompt: PromptTokens) -> None:
        """The prompt is read."""
        self._has_read = True
        self._tracker.read(prompt)
        self._estimates.read(self._call, prompt.limited)
        self._wake_up.ring()

    def showed(self, size: int) -> None:
        """The answer has grown."""
        self._tracker.showed(size)

    def hides(self) -> None:
        """It grows by tokens that are not shown."""
        self._tracker.hides()

    def learn(self, usage: Usage) -> None:
        """The answer is over: teach the estimates its length and *usage*."""
        # Where thoughts were hidden and their number is not stated, the text is shorter
        # than its tokens: that would teach too many tokens for a byte.
        hidden = self._tracker.hidden and not usage.thinking_tokens
        shown = 0 if hidden else self._tracker.shown
        self._estimates.learn(self._call, usage, shown=shown, read=self._has_read)

    def news(self, limits: Limits | None) -> Limits | None:
        """*limits* as the store should learn them at the end of the answer."""
        # The head of a watched response was learned from when it came. Learned again
        # now, it would say how full the buckets were as of the end.
        return None if self._tracker.heard else limits
