"""A command line of claudebatch in this very process: no start-up, so that a drill can
run thousands.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HANG_S = 20
"""The promise is five seconds; other work on the machine is not claudebatch's fault."""


class Hang(BaseException):
    """A command did not come to its end; no `except Exception` may swallow that."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def command(
    *arguments: str, folder: Path, environment: Mapping[str, str], stdin: bytes = b""
) -> Ended:
    """Run `claudebatch` with *arguments* in *folder*; raises `Hang`, and whatever
    escapes the command itself.
    """
    from claudebatch.__main__ import main

    streams = sys.stdin, sys.stdout, sys.stderr
    kept, argv, before, umask = dict(os.environ), sys.argv, Path.cwd(), os.umask(0o022)
    collected = gc.get_threshold()
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)
    )
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = ["claudebatch", *arguments]
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(stdin)), out, err
        with _alarm():
            try:
                main()
                code = 0
            except SystemExit as leaving:
                code = int(leaving.code or 0)
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.argv = argv
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)
        os.umask(umask)
        gc.set_threshold(*collected)
        gc.unfreeze()
    said, talked = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))  # type: ignore[attr-defined]
    return Ended(code, said, talked)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"no end within {HANG_S} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
