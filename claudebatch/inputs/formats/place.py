"""Where an input may lie: in a regular file."""

from __future__ import annotations

import stat
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import unreadable


def check_place(path: Path, name: str) -> None:
    """Refuse what is no regular file at *path*, called *name*: opening a pipe would
    wait for its writer. Raises `ClaudebatchError`.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise ClaudebatchError(
            "E305",
            f"{name} is a directory",
            fix=f"name the files in it, such as {name}/*.jsonl, or add --each-file: each text file "
            f"in it is a row",
        )
    if not stat.S_ISREG(mode):
        raise ClaudebatchError(
            "E306", f"{name} is not a regular file", fix="use - to read from standard input"
        )
