"""Colour and animation are two questions, and talk never ends a run."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from claudebatch.ui.terminal import Terminal
from claudebatch.ui.wrapping import broken


class FakeTty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream whose writes fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    ("tty", "environment", "coloured", "animates"),
    [
        (True, {"TERM": "xterm"}, True, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        (True, {"TERM": "dumb"}, False, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, False, False),
        (True, {"TERM": "xterm", "CLICOLOR": "0"}, False, True),
        (False, {"TERM": "xterm"}, False, False),
        (False, {"FORCE_COLOR": "1"}, True, False),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        (False, {"TTY_INTERACTIVE": "1", "TTY_COMPATIBLE": "1"}, False, False),
    ],
)
def test_colour_and_animation_are_decided_apart(
    tty: bool, environment: dict[str, str], coloured: bool, animates: bool
) -> None:
    terminal = Terminal(FakeTty() if tty else io.StringIO(), environment)
    assert (terminal.coloured, terminal.animates) == (coloured, animates)
    console = terminal.console()
    assert console.is_interactive is animates
    assert (console.color_system is not None) is coloured


def test_a_flag_wins_over_the_environment() -> None:
    assert Terminal(io.StringIO(), {"NO_COLOR": "1"}, colour="always").coloured
    assert not Terminal(FakeTty(), {"FORCE_COLOR": "1"}, colour="never").coloured


def test_what_is_said_is_sanitised_and_coloured_only_by_us() -> None:
    stream = FakeTty()
    Terminal(stream, {"TERM": "xterm"}).say("a\x1b[2Jb\nc", style="error")
    assert stream.getvalue() == "\x1b[1;31ma\\x1b[2Jb\\nc\x1b[0m\n"


@pytest.mark.parametrize("code", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_a_stream_that_fails_is_left_alone_from_then_on(code: int) -> None:
    stream = Broken(OSError(code, "gone"))
    terminal = Terminal(stream, {})
    terminal.say("one")
    terminal.say("two")
    assert stream.tries == 1


def test_a_stream_that_is_full_for_a_moment_is_tried_again() -> None:
    stream = Broken(BlockingIOError())
    terminal = Terminal(stream, {})
    terminal.say("one")
    terminal.say("two")
    assert stream.tries == 2


def test_a_closed_stream_is_no_terminal_and_no_error() -> None:
    stream = io.StringIO()
    stream.close()
    terminal = Terminal(stream, {})
    terminal.say("one")
    assert not terminal.is_terminal


def test_a_report_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(OSError, match="gone"):
        Terminal(Broken(OSError(errno.ENOSPC, "gone")), {}, must_write=True).say("one")


def test_letters_that_the_stream_does_not_have_are_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Terminal(stream, {}).say("a · b → Zürich … 日")
    assert raw.getvalue().decode() == "a | b -> Z\\xfcrich ... \\u65e5\n"


@pytest.fixture
def terminal_pair() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    for descriptor in (ours, theirs):
        os.close(descriptor)


def test_the_width_is_the_windows_own(terminal_pair: tuple[int, int]) -> None:
    import fcntl
    import struct
    import termios

    _, theirs = terminal_pair
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
    with os.fdopen(os.dup(theirs), "w") as stream:
        assert Terminal(stream, {"COLUMNS": "99"}).width == 57
    assert Terminal(io.StringIO(), {"COLUMNS": "99"}).width == 99
    assert Terminal(io.StringIO(), {"COLUMNS": "wide"}).width == 80


def test_the_room_is_cheap_to_enter() -> None:
    """rich is paid for by a live display only."""
    code = (
        "import sys, claudebatch.ui.live.choose, claudebatch.ui.machine.json_events, "
        "claudebatch.ui.error_text;"
        "import claudebatch.ui.tables.estimate_tables, claudebatch.ui.tables.spend_tables, "
        "claudebatch.ui.tables.cache_tables;"
        "print([m for m in ('rich', 'msgspec', 'anthropic', 'typer', 'asyncio') if m in "
        "sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_talk_on_a_terminal_is_broken_between_words_and_commands_are_not() -> None:
    error = "error: " + " ".join(["words"] * 30)
    command = "    " + "jq -c . < in.jsonl > out.jsonl " * 5
    long = "  hint: look at " + "x" * 100 + " or elsewhere"
    tty = FakeTty()
    Terminal(tty, {"TERM": "xterm", "COLUMNS": "40", "NO_COLOR": "1"}).tell([error, command, long])
    lines = tty.getvalue().splitlines()
    assert command in lines
    others = [line for line in lines if line != command and "xxx" not in line]
    assert max(map(len, others)) <= 40
    assert " ".join(part.strip() for part in lines[: lines.index(command)]) == error
    assert lines[1].startswith("  words")
    assert [line.strip() for line in lines[-3:]] == ["hint: look at", "x" * 100, "or elsewhere"]


def test_talk_in_a_pipe_keeps_its_lines() -> None:
    pipe = io.StringIO()
    line = "error: " + "words " * 30
    Terminal(pipe, {"COLUMNS": "40"}).tell([line])
    assert pipe.getvalue() == line + "\n"


@pytest.mark.parametrize("width", [1, 20, 80])
def test_no_word_is_lost_where_a_line_is_broken(width: int) -> None:
    line = "  hint: a bb  ccc " + "d" * 30 + " e"
    parts = broken(line, width)
    assert " ".join(part.strip() for part in parts).split() == line.split()
