"""The live display on a real pseudo-terminal: it moves, it goes, and nothing hostile
gets through.
"""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    DrainStarted,
    Event,
    FellBack,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.notice import Notice
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.ui.live.live_progress import LiveProgress
from claudebatch.ui.terminal import Terminal
from tests.support.fed import Fed

ENVIRONMENT = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Screen:
    """Our end of a pseudo-terminal, read by a thread of its own so that no writer ever
    blocks.
    """

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        self._read: list[bytes] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:
                return
            if not piece:
                return
            with self._more:
                self._read.append(piece)
                self._more.notify_all()

    def shows(self, text: str) -> bool:
        """Wait until *text* was written; False when it does not come."""
        with self._more:
            return self._more.wait_for(lambda: text.encode() in b"".join(self._read), timeout=60)

    def written(self) -> str:
        """Everything that was written; closes the terminal."""
        self.stream.close()
        self._reader.join(10)
        return b"".join(self._read).decode()

    def close(self) -> None:
        """Give both ends back."""
        if not self.stream.closed:
            self.stream.close()
        self._reader.join(10)
        os.close(self._ours)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def _display(stream: TextIO, *, own_thread: bool = False, **environment: str) -> Fed:
    terminal, stats = Terminal(stream, ENVIRONMENT | environment), RunStats(lambda: 100.0)
    return Fed(LiveProgress(terminal, stats, now=lambda: 100.0, own_thread=own_thread), stats)


def _hostile_events(texts: tuple[str, ...]) -> list[Event]:
    events: list[Event] = []
    for text in texts:
        events += [
            RunStarted(text, 100, 0, 0, PICO_PER_USD, text, True),
            AttemptStarted(text, text),
            AttemptFinished(text, text, Usage(1, 1), 1, text, False),
            RowFinished(text, text, "api", False, text, 1, 0),
            FellBack(text, text, text, text),
            BreakerChanged(text, "open"),
            Waiting(text, text, 30.0),  # type: ignore[arg-type]
            Notice("W000", text),
        ]
    return [*events, DrainStarted("".join(texts))]


def test_hostile_ids_write_no_raw_control_bytes(
    screen: Screen, hostile: tuple[str, ...], raw_controls: Callable[[str], list[str]]
) -> None:
    for text in hostile:  # a display each, so that every text is among the few that are shown
        display = _display(screen.stream)
        display.start()
        for event in _hostile_events((text,)):
            display(event)
            display.tick()
        display.stop()
    written = screen.written()
    assert raw_controls(written) == []
    for shown in (
        r"\x1b]52;c;cm0gLXJm\x1b",
        r"\u202eexe.txt",
        "[/foo]",
        "[bold red]x[/]",
        ":boom:",
        r"\ud800",
    ):
        assert shown in written


def test_the_display_takes_the_cursor_and_gives_it_back(screen: Screen) -> None:
    display = _display(screen.stream)
    display.start()
    display(RunStarted("r", 100, 40, 0, None, "o", False))
    display.tick()
    display.stop()
    display.stop()
    written = screen.written()
    assert "40/100 rows" in written
    assert written.index(HIDE) < written.index("40/100 rows") < written.rindex(SHOW)
    assert written.count(HIDE) == written.count(SHOW) == 1


def test_no_color_takes_the_colour_and_leaves_the_progress(screen: Screen) -> None:
    display = _display(screen.stream, NO_COLOR="1")
    display.start()
    display(RunStarted("r", 100, 40, 0, None, "o", False))
    display.tick()
    display.stop()
    written = screen.written()
    assert "40/100 rows" in written
    assert re.search(r"\x1b\[[0-9;]*m", written) is None


def test_stdout_is_data_and_left_alone(screen: Screen) -> None:
    before = sys.stdout, sys.stderr
    display = _display(screen.stream)
    display.start()
    assert (sys.stdout, sys.stderr) == before
    display.stop()


def test_its_own_thread_draws_without_any_event(screen: Screen) -> None:
    display = _display(screen.stream, own_thread=True)
    display.start()
    display(RunStarted("r", 100, 40, 0, None, "o", False))
    assert screen.shows("40/100 rows")
    display.stop()
    assert SHOW in screen.written()


def test_a_terminal_that_was_closed_does_not_end_the_run() -> None:
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w", encoding="utf-8")
    display = _display(stream)
    display.start()
    os.close(ours)
    display(RunStarted("r", 100, 40, 0, None, "o", False))
    display(Notice("W000", "still here"))
    display.tick()
    display.stop()
    with suppress(OSError):  # what the stream itself still holds
        stream.close()


def test_events_never_write_so_that_a_stopped_terminal_cannot_hold_up_the_run(
    screen: Screen,
) -> None:
    display = _display(screen.stream)
    display.start()
    screen.stream.close()
    for event in _hostile_events(("x",)):
        display(event)
    assert len(display._unsaid) == 5
