"""The expected cost of a session's answers, as of before it began."""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.core.domain import Call, Pico
from claudebatch.core.events import AttemptFinished, Event


class ExpectedCost:
    """Adds up the forecast of every call that was answered, so that the summary can
    hold what was spent against it.

    Not a part of `RunStats`: the forecast belongs to the engine, and no display shows
    it while the run goes on.
    """

    def __init__(self, expect: Callable[[Call], Pico]) -> None:
        """*expect* gives what a call was expected to cost."""
        self._expect = expect
        # Mutable, changed by `__call__` only.
        self.so_far: Pico = 0

    def __call__(self, event: Event) -> None:
        """Count the answer, if *event* is one."""
        if isinstance(event, AttemptFinished) and event.reply:
            # Answers of batches come without their calls, and cost half.
            self.so_far += self._expect(event.call) if event.call else event.expected
