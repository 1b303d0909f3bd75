"""The live display of a terminal: a few lines that redraw in place four times a second.

rich draws; what is drawn is decided in `frame`, and every piece of it is sanitised
here, in `_drawn`, on its way in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool
from claudebatch.ui.live.frame import Row, Span, live_frame
from claudebatch.ui.live.line_display import LineDisplay
from claudebatch.ui.live.notices import Line
from claudebatch.ui.sanitise import visible
from claudebatch.ui.terminal import Terminal
from claudebatch.ui.wrapping import broken

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

_STYLES = {"warning": "yellow", None: ""}


class LiveProgress(LineDisplay):
    """Redraws while the run goes on and vanishes when it ends; notices scroll by above
    it.
    """

    # Enough to count seconds down by; every frame is bytes on what may be a slow ssh.
    TICK_S = 0.25

    def __init__(
        self,
        terminal: Terminal,
        stats: RunStats,
        *,
        now: Callable[[], float],
        limits: LimitsByPool | None = None,
        own_thread: bool = True,
    ) -> None:
        super().__init__(terminal, stats, now=now, limits=limits, own_thread=own_thread)
        # Mutable: rich's display between `start` and `stop`.
        self._live: Live | None = None

    def start(self) -> None:
        """Take the bottom of the terminal. rich is imported here, not before."""
        from rich.live import Live  # noqa: PLC0415  # heavy: only a live display pays for it

        if self._live is not None:
            return
        self._live = Live(
            console=self._terminal.console(),
            get_renderable=self._draw,
            # The ticker refreshes, so that notices and frames come from one thread.
            auto_refresh=False,
            # The summary takes its place.
            transient=True,
            # stdout is data: it must not be rewritten.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        super().start()

    def tick(self) -> None:
        """Say what is unsaid above the display, and draw it anew."""
        if self._live is not None:
            self._say_unsaid()
            self._live.refresh()

    def _close(self) -> None:
        """Erase the display and give the cursor back."""
        # Also before there is a display: why a run is refused may stand in a note.
        self._say_unsaid()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, line: Line) -> None:
        if self._live is None:
            self._terminal.tell([line.shown], style=line.style)
        else:
            # Broken by us: rich would also break a command that is to be copied.
            for part in broken(visible(line.shown), self._terminal.width):
                row = [Span(part, _STYLES[line.style])]
                self._live.console.print(_drawn(row, cut=False))

    def _draw(self) -> Group:
        # Rich is imported already when this is called.
        from rich.console import Group  # noqa: PLC0415

        live, width = self._live, self._terminal.width
        if live is not None:
            # rich would ask stdin for the width, which may be another terminal.
            live.console.width = width
        rows = live_frame(self._run(), self._limits, width=width)
        return Group(*[_drawn(row, cut=True) for row in rows])


def _drawn(row: Row, *, cut: bool) -> Text:
    """*row* as rich's text, never as its markup; the lines of the display are cut, so
    that it keeps its height.
    """
    from rich.text import Text  # noqa: PLC0415  # as above

    text = Text(no_wrap=cut, overflow="ellipsis" if cut else "fold")
    for span in row:
        # `append` takes no markup: an id of "[bold]" stays one.
        text.append(visible(span.text), style=span.style)
    return text
