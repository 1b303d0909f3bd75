"""Where the bytes of a form go when it is no file of its own: standard output, or a
file that a library must not close.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from claudebatch.core.control_chars import json_for_eyes, text_for_eyes
from claudebatch.core.errors import ClaudebatchError
from claudebatch.outputs.forms import JSON_LINES, OutputForm

_BUFFER = 1 << 16


class KeptOpen:
    """A file that others write to and only its owner closes; a pipe will do."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # Mutable: the bytes so far, for those who ask where they are.
        self._written = 0

    def write(self, data: bytes) -> int:
        """Pass *data* on, all of it."""
        self._written += self._file.write(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes so far."""
        return self._written

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Leave it open."""


class _Screen:
    """A terminal: what could steer it is shown as an escape."""

    def __init__(self, file: BinaryIO, shown: Callable[[bytes], bytes]) -> None:
        self._file, self._shown = file, shown

    def write(self, data: bytes) -> int:
        self._file.write(self._shown(data))
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def refuse_terminal(form: OutputForm) -> None:
    """Raise `ClaudebatchError` where standard output is a terminal and *form* is
    nothing that it could show.
    """
    if form.is_binary and os.isatty(sys.stdout.fileno()):
        raise ClaudebatchError(
            "E657",
            f"{form.name} is binary, and standard output is a terminal",
            fix="name a file with -o, or pipe it into a program",
        )


@contextmanager
def standard_output(form: OutputForm) -> Iterator[BinaryIO]:
    """Standard output for results of this *form*; raises `OSError` when its reader has
    gone.
    """
    # Past `sys.stdout`, as all result lines.
    descriptor = sys.stdout.fileno()
    raw = io.FileIO(descriptor, "wb", closefd=False)
    with io.BufferedWriter(raw, _BUFFER) as file:
        if os.isatty(descriptor):
            in_json = form.format == JSON_LINES or not form.has_columns
            yield cast(BinaryIO, _Screen(file, json_for_eyes if in_json else text_for_eyes))
        else:
            yield file
