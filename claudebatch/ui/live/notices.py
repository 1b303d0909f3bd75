"""Events that deserve a line of their own, and its words.

A fault that hits every row must not print a line per row: the first few failed rows and
the first fallback of each kind are shown, the rest is only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from claudebatch.core.events import (
    BatchChanged,
    BreakerChanged,
    CapAlert,
    DrainStarted,
    Event,
    FellBack,
    Retrying,
    RowFinished,
    SpendSpike,
)
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.ui.error_text import headed, left_out
from claudebatch.ui.format import clip
from claudebatch.ui.live.alert_text import alert_text
from claudebatch.ui.live.batch_text import BatchNews, batch_news

# A fault of every row would scroll everything else off the screen.
_FAILURES_SHOWN = 5
_LEFT_OUT_SHOWN = 10
# A million rows are a hundred batches, and each comes and goes.
_BATCHES_SHOWN = 5
# Of a row that cannot be reached, only the first try of each kind is news.
_CONNECTION = "connection_error"
_CAUSES_SHOWN = 10
# Characters of an id or a reason that are shown: one that is ten megabytes long is
# still one line.
_LONGEST_WORD = 120
_LONGEST_REASON = 150
_LONGEST_CAUSE = 200

Kind = Literal[
    "notice", "row_failed", "fallback", "breaker", "alert", "drain", "retry", "batch", "plan"
]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of talk, not yet sanitised."""

    kind: Kind
    text: str
    id: str = ""
    """Of a notice: its name in docs/messages.md."""

    @property
    def shown(self) -> str:
        """The line as it stands on a screen."""
        return headed(self.id, self.text)

    @property
    def style(self) -> str | None:
        """The style of `Terminal.say`: what the user may have to act on stands out."""
        return "warning" if self.kind in ("breaker", "alert", "drain", "retry") else None


class Notices:
    """Turns events into lines, or into None when they are not worth one."""

    def __init__(self) -> None:
        # Mutable state, changed by `__call__` only: what was said already.
        self._failures = self._lines_left_out = 0
        self._fallbacks: set[tuple[str, str]] = set()
        self._open: set[str] = set()
        self._causes: set[str] = set()
        self._batch_news = BatchNews()
        self._batches: Counter[str] = Counter()
        self._words: dict[type[Any], Callable[[Any], Line | None]] = {
            # Clipped: a notice may quote a path or an error of the system.
            LineLeftOut: self._left_out,
            Notice: lambda event: Line("notice", clip(event.text, 1000), event.id),
            RowFinished: self._row_finished,
            FellBack: self._fell_back,
            Retrying: self._retrying,
            BreakerChanged: self._breaker_changed,
            SpendSpike: _alert,
            CapAlert: _alert,
            BatchChanged: self._batch_changed,
            DrainStarted: _drain,
        }

    def __call__(self, event: Event) -> Line | None:
        """The line that *event* deserves, if any."""
        words = self._words.get(type(event))
        return None if words is None else words(event)

    def _left_out(self, event: LineLeftOut) -> Line | None:
        self._lines_left_out += 1
        if self._lines_left_out > _LEFT_OUT_SHOWN:
            return None
        return Line("notice", clip(left_out(event), 1000))

    def _row_finished(self, event: RowFinished) -> Line | None:
        if event.ok:
            return None
        self._failures += 1
        if self._failures > _FAILURES_SHOWN:
            return None
        # Said with the last one: silence afterwards would look like success.
        last = "; more are only counted" if self._failures == _FAILURES_SHOWN else ""
        row, error = (clip(text, _LONGEST_WORD) for text in (event.id, event.error or "unknown"))
        why = clip(" ".join(event.message.split()), _LONGEST_REASON)
        return Line("row_failed", f"failed: {row}: {error}{f': {why}' if why else ''}{last}")

    def _batch_changed(self, event: BatchChanged) -> Line | None:
        text = batch_news(event) if self._batch_news(event) else None
        if text is None:
            return None
        self._batches[event.state] += 1
        said = self._batches[event.state]
        last = "; more are only counted" if said == _BATCHES_SHOWN else ""
        return Line("batch", text + last) if said <= _BATCHES_SHOWN else None

    def _fell_back(self, event: FellBack) -> Line | None:
        # Ten thousand rows may fall back on the same model: one line says it.
        pair = (event.model, event.next_model)
        if pair in self._fallbacks:
            return None
        self._fallbacks.add(pair)
        reason = clip(event.reason, _LONGEST_WORD)
        return Line("fallback", f"{event.next_model} answers in place of {event.model}: {reason}")

    def _retrying(self, event: Retrying) -> Line | None:
        """The cause of the first broken connection of each kind, at once: the pause of
        an outage would hide it for minutes.
        """
        cause = clip(event.cause, _LONGEST_CAUSE)
        known = not cause or cause in self._causes or len(self._causes) >= _CAUSES_SHOWN
        if event.error != _CONNECTION or known:
            return None
        self._causes.add(cause)
        return Line("retry", f"{cause}; trying again")

    def _breaker_changed(self, event: BreakerChanged) -> Line | None:
        """Opening and closing are news; the probes between are not."""
        if event.state == "open" and event.pool not in self._open:
            self._open.add(event.pool)
            return Line(
                "breaker", f"{event.pool} does not answer: paused, trying again now and then"
            )
        if event.state == "closed" and event.pool in self._open:
            self._open.discard(event.pool)
            return Line("breaker", f"{event.pool} answers again")
        return None


def _drain(event: DrainStarted) -> Line | None:
    if event.quiet:
        return None
    return Line("drain", f"stopping: {event.reason}; requests in flight may finish")


def _alert(event: CapAlert | SpendSpike) -> Line:
    return Line("alert", alert_text(event))
