"""Which display a run gets, from its flags and its streams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from claudebatch.events import Event, Notice, Retrying, Waiting
from claudebatch.reports import RunSummary
from claudebatch.ui.frame import LimitsByPool
from claudebatch.ui.json_events import JsonEvents
from claudebatch.ui.progress import Progress, choose
from claudebatch.ui.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Show:
    """How much a run says of itself."""

    json: bool = False
    quiet: int = 0
    verbose: int = 0
    progress: bool = True


class _Silent:
    """Says nothing at all: `-qq`."""

    def start(self) -> None:
        pass

    def __call__(self, event: Event) -> None:
        pass

    def stop(self) -> None:
        pass

    def done(self, summary: RunSummary) -> None:
        pass


class _Talkative:
    """`-v`: also tells every retry and every longer wait, as notices of the display beneath."""

    def __init__(self, display: Progress) -> None:
        self._display = display

    def start(self) -> None:
        self._display.start()

    def __call__(self, event: Event) -> None:
        self._display(event)
        if isinstance(event, Retrying):
            what = f"{event.model}: {event.error}, attempt {event.attempt}; again in {event.seconds:.1f} s"
            self._display(Notice(what))
        elif isinstance(event, Waiting):
            self._display(Notice(f"{event.pool}: waits {event.seconds:.1f} s: {event.reason}"))

    def stop(self) -> None:
        self._display.stop()

    def done(self, summary: RunSummary) -> None:
        self._display.done(summary)


def make_display(
    show: Show, env: Mapping[str, str], limits: LimitsByPool, *, now: Callable[[], float], results_on_stdout: bool
) -> Progress:
    """The display that *show* asks for. Events as JSON are data: they go to stdout, unless results do."""
    if show.json:
        return JsonEvents(sys.stderr if results_on_stdout else sys.stdout, now, limits=limits)
    if show.quiet > 1:
        return _Silent()
    terminal = Terminal(sys.stderr, env)
    display = choose(terminal, now=now, limits=limits, quiet=bool(show.quiet), progress=show.progress)
    return _Talkative(display) if show.verbose else display
