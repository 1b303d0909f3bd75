"""What a person at a terminal would get: a command whose three streams are one pty."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from tests.e2e.world import PATIENCE_S, World
from tests.support.hostile import raw_controls

_OURS = re.compile(
    r"\x1b\[(?:[0-4]|9|[39][0-7])?(?:;(?:[0-4]|9|[39][0-7]))*m|\x1b\[2K|\x1b\[1?A|\x1b\[\?25[lh]|\r|\n|\t"
)
"""Colours and weights (no blinking, no inverse, nothing hidden), what a live display
needs, and ends of lines.
"""


def seen(
    world: World, *arguments: str, until: str | None = None, typed: bytes = b""
) -> tuple[int, str]:
    """(exit code, all that was written to the terminal); *until* is waited for before
    SIGTERM ends the command.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    assert world._zygote is not None
    environment = {**world.environment, "TERM": "xterm-256color"}
    pid = world._zygote.start(arguments, environment, world.work, [slave] * 3, 0o022)
    os.close(slave)
    os.write(master, typed) if typed else None
    written, code, end = b"", None, time.monotonic() + PATIENCE_S
    while code is None and time.monotonic() < end:
        written += _read(master, 0.02)
        if until is not None and until.encode() in written:
            os.kill(pid, signal.SIGTERM)
            until = None
        code = world._zygote.status(pid, wait_s=0)
    written += _read(master, 0)
    os.close(master)
    assert code is not None, written
    return code, written.decode(errors="surrogateescape")


def _read(master: int, wait_s: float) -> bytes:
    written = b""
    while select.select([master], [], [], wait_s)[0]:
        try:
            data = os.read(master, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        written += data
    return written


def attacks(written: str) -> list[str]:
    """What in *written* steers, hides or pretends to be a line of ours."""
    whole = [text for text in ("done\rerror", "\x1b[2J", "a\tb\x0b") if text in written]
    forged = [
        line for line in written.splitlines() if "forged" in line and line.startswith("error")
    ]
    return [repr(found) for found in (*raw_controls(written, _OURS), *whole, *forged)]
