"""Which display a run gets, from its flags and its streams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError, StopRun
from claudebatch.core.events import Deaf, Event
from claudebatch.core.notice import Notice
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool
from claudebatch.storage.log_file import open_log
from claudebatch.ui.live.choose import Progress, choose
from claudebatch.ui.live.verbose import Sentences
from claudebatch.ui.machine.json_events import JsonEvents, error_line
from claudebatch.ui.machine.log_lines import HEAD, LogLines
from claudebatch.ui.machine.run_log import RunLog
from claudebatch.ui.terminal import SafeStream, Terminal


@dataclass(frozen=True, slots=True)
class Show:
    """How much a run says of itself."""

    json: bool = False
    quiet: int = 0
    verbose: int = 0
    progress: bool = True
    log: Path | None = None
    log_prompts: bool = False


class _Silent(Deaf):
    """Says nothing at all: `-qq`, and a run without a log."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def done(self, summary: RunSummary) -> None:
        pass


class _Talkative:
    """`-v` and `-vv`: show more of the events, as notices of the display beneath."""

    def __init__(self, display: Progress, *, requests: bool) -> None:
        self._display = display
        self._sentence = Sentences(requests=requests)

    def start(self) -> None:
        self._display.start()

    def __call__(self, event: Event) -> None:
        # First the display, so that a notice stands below what it speaks of.
        self._display(event)
        words = self._sentence(event)
        if words is not None:
            self._display(Notice("", words))

    def stop(self) -> None:
        self._display.stop()

    def done(self, summary: RunSummary) -> None:
        self._display.done(summary)


def make_display(
    show: Show,
    env: Mapping[str, str],
    limits: LimitsByPool,
    stats: RunStats,
    *,
    now: Callable[[], float],
    results_on_stdout: bool,
) -> Progress:
    """The display that *show* asks for. Events as JSON are data: they go to stdout,
    unless results do.
    """
    if show.json:
        stream = sys.stderr if results_on_stdout else sys.stdout
        return JsonEvents(stream, stats, now=now, limits=limits)
    # `--json` wins: a reader of events wants them, however quiet the screen is.
    if show.quiet > 1:
        return _Silent()
    # stdout is for results.
    terminal = Terminal(sys.stderr, env)
    display = choose(
        terminal, stats, now=now, limits=limits, quiet=bool(show.quiet), progress=show.progress
    )
    return _Talkative(display, requests=show.verbose > 1) if show.verbose else display


def tell_error(error: ClaudebatchError | StopRun, *, results_on_stdout: bool) -> None:
    """Write *error* as an event, where the events of its run would have gone."""
    stream = SafeStream(sys.stderr if results_on_stdout else sys.stdout)
    stream.write(error_line(error, getattr(error, "bad", ())))
    stream.flush()


@contextmanager
def logged(
    show: Show,
    display: Progress,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    reserved: Iterable[Path],
) -> Iterator[Progress]:
    """The log that *show* asks for, written and closed at the end; *reserved* are files
    that it must not be.
    """
    if show.log is None:
        yield _Silent()
        return
    file = open_log(show.log, head=HEAD, taken=reserved)
    lines = LogLines(now=now, wall=wall, prompts=show.log_prompts)
    log = RunLog(file, lines, warn=display)
    # Started here and stopped at the end, whatever fails between: a log that breaks off
    # without a word would be believed.
    log.start()
    try:
        yield log
    finally:
        log.stop()
