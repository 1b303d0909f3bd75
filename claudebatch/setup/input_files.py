"""The input files of a run as they are read: unpacked, where they are compressed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from claudebatch.core.errors import StorageError
from claudebatch.core.os_faults import os_fault
from claudebatch.inputs.formats import is_compressed, unpack
from claudebatch.storage.private_files import private_file


class InputFile(NamedTuple):
    """One file with rows."""

    path: Path
    name: str
    """What results and messages call it."""


def unpacked(files: Iterable[InputFile], place: Path) -> tuple[InputFile, ...]:
    """*files*, with a copy in the folder *place* for each that is compressed: rows are
    read again, and nothing can be read in the middle of such a file.

    Raises `ClaudebatchError` for a damaged one.
    """
    return tuple(
        file._replace(path=_copy(file, place, number))
        if is_compressed(file.path, file.name)
        else file
        for number, file in enumerate(files, 1)
    )


def _copy(file: InputFile, place: Path, number: int) -> Path:
    state = file.path.stat()
    # A copy is of one state of its file.
    stamp = f"{file.path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
    copy = place / f"input-{number}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if copy.exists():
        return copy
    for older in place.glob(f"input-{number}-*"):
        older.unlink()
    fresh = private_file(copy.with_name(copy.name + ".new"))
    try:
        with fresh.open("wb") as target:
            unpack(file.path, file.name, target)
            # Half a copy after a power cut would look like an input that lost its rows.
            target.flush()
            os.fsync(target.fileno())
        fresh.replace(copy)
    except OSError as error:
        fault = os_fault(error)
        raise StorageError(
            "E699", f"{file.name} cannot be unpacked: {fault.reason}", fix=fault.fix
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return copy
