"""The live display of a terminal: a few lines that redraw in place four times a second.

rich draws; what is drawn is decided in `frame`, and every piece of it is sanitised
here, in `_drawn`, on its way in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from claudebatch.core.events import Event
from claudebatch.core.reports import RunSummary
from claudebatch.ui.live.frame import LimitsByPool, Row, Span, live_frame
from claudebatch.ui.live.notices import Line, Notices
from claudebatch.ui.live.tally import Tally
from claudebatch.ui.live.ticker import Ticker
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.run_summary import render_summary
from claudebatch.ui.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

FRAMES_PER_SECOND = 4
_STYLES = {"warning": "yellow", None: ""}


class LiveProgress:
    """Redraws while the run goes on and vanishes when it ends; notices scroll by above
    it.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        now: Callable[[], float],
        limits: LimitsByPool | None = None,
        own_thread: bool = True,
    ) -> None:
        self._terminal = terminal
        self._now = now
        self._limits = limits or {}
        self._notices = Notices()
        self._ticker = Ticker(self.tick, interval_s=1 / FRAMES_PER_SECOND) if own_thread else None
        # Mutable state. `tally` and `_unsaid` change with events, `_live` with `start`
        # and `stop`.
        self.tally = Tally(now)
        self._unsaid: deque[Line] = deque()
        self._live: Live | None = None

    def start(self) -> None:
        """Take the bottom of the terminal. rich is imported here, not before."""
        from rich.live import Live  # noqa: PLC0415  # heavy: only a live display pays for it

        if self._live is not None:
            return
        self._live = Live(
            console=self._terminal.console(),
            get_renderable=self._draw,
            # the ticker refreshes, so that notices and frames come from one thread
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # stdout is data: nobody rewrites it
            redirect_stderr=False,
        )
        self._live.start()
        if self._ticker is not None:
            self._ticker.start()

    def __call__(self, event: Event) -> None:
        """Count *event*, and keep what it has to say for the next frame."""
        self.tally(event)
        line = self._notices(event)
        if line is not None:
            self._unsaid.append(line)

    def tick(self) -> None:
        """Say what is unsaid above the display, and draw it anew."""
        live = self._live
        if live is not None:
            self._say_unsaid(live.console)
            live.refresh()

    def stop(self) -> None:
        """Erase the display and give the cursor back; a terminal that takes no more
        output is left alone.
        """
        live, self._live = self._live, None
        if live is None or (self._ticker is not None and not self._ticker.stop()):
            return
        self._say_unsaid(live.console)
        live.stop()

    def done(self, summary: RunSummary) -> None:
        """Stop, and print the summary where the display was."""
        self.stop()
        self._terminal.say_all(render_summary(summary))

    def _say_unsaid(self, console: Console) -> None:
        while self._unsaid:
            line = self._unsaid.popleft()
            console.print(_drawn([Span(line.text, _STYLES[line.style])], cut=False))

    def _draw(self) -> Group:
        from rich.console import Group  # noqa: PLC0415  # rich is imported already when this is called

        live, width = self._live, self._terminal.width
        if live is not None:
            live.console.width = width  # rich would ask stdin first, which may be another terminal
        return Group(*_texts(live_frame(self.tally, self._limits, now=self._now(), width=width)))


def _texts(rows: Sequence[Row]) -> list[Text]:
    return [_drawn(row, cut=True) for row in rows]


def _drawn(row: Row, *, cut: bool) -> Text:
    """*row* as rich's text, never as its markup; the lines of the display are cut, so
    that it keeps its height.
    """
    from rich.text import Text  # noqa: PLC0415  # as above

    text = Text(no_wrap=cut, overflow="ellipsis" if cut else "fold")
    for span in row:
        text.append(visible(span.text), style=span.style)
    return text
