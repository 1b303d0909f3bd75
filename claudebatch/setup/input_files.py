"""The input files of a run as they are read: in a copy, where nothing could be read in
their middle again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from claudebatch.core.errors import ClaudebatchError, StorageError
from claudebatch.core.events import Emit, nobody
from claudebatch.core.notice import Notice
from claudebatch.core.os_faults import os_fault
from claudebatch.inputs.formats import (
    FoundFiles,
    TableKind,
    copy_texts,
    is_compressed,
    table_kind,
    typed_rows,
    unpack,
)
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.private_files import scratch_file
from claudebatch.storage.run_folder import beside

_Write: TypeAlias = Callable[[BinaryIO], None]


class InputFile(NamedTuple):
    """One file with rows."""

    path: Path
    name: str
    """What results and messages call it."""


class PreparedInputs:
    """The files of a run, with copies in a folder for those that are compressed, that
    are tables without places, or that are rows each.
    """

    def __init__(self, options: RunOptions, place: Path, emit: Emit = nobody) -> None:
        """*place* is the folder of the copies; *emit* is told of what they leave
        out.
        """
        self._options = options
        self._place = place
        self._emit = emit
        # Mutable: filled while files are prepared.
        self.notices: list[Notice] = []
        """The same, for those that listen to no events."""

    def files(self, stdin: Path | None = None) -> tuple[InputFile, ...]:
        """What to read, in the order of the command; *stdin* is a copy of the standard
        input. Raises `ClaudebatchError` for files that are damaged or cannot be read.
        """
        options = self._options
        if options.each_file:
            return (self._texts(),)
        paths = (stdin if name == "-" and stdin else Path(name) for name in options.inputs)
        named = map(InputFile, paths, options.input_names)
        return tuple(self._prepared(file, number) for number, file in enumerate(named, 1))

    def _prepared(self, file: InputFile, number: int) -> InputFile:
        if is_compressed(file.path, file.name):
            copy = self._copy(file, number, lambda into: unpack(file.path, file.name, into))
        elif kind := self._kind(file.path, file.name):
            copy = self._copy(file, number, self._rows(kind, file))
        else:
            return file
        return self._told(file._replace(path=copy))

    def _kind(self, path: Path, name: str) -> TableKind | None:
        wanted = "text" if self._options.text else self._options.input_format
        return table_kind(path, name, wanted=wanted)

    def _rows(self, kind: TableKind, file: InputFile) -> _Write:
        return lambda into: kind.copy(file.path, file.name, into, sheet=self._options.sheet)

    def _texts(self) -> InputFile:
        output = self._options.output_path
        found = FoundFiles(self._options.inputs, [] if output is None else [output, beside(output)])
        (name,) = self._options.input_names
        if not found.files:
            raise ClaudebatchError(
                "E359", f"{name} has no text files", fix="look at what is in it, hidden files aside"
            )
        copy = self._copy_of(1, found.stamp(), name, lambda into: copy_texts(found, name, into))
        return self._told(InputFile(copy, name))

    def _told(self, file: InputFile) -> InputFile:
        rows = typed_rows(file.path)
        for notice in rows.notices if rows is not None else ():
            self.notices.append(notice)
            self._emit(notice)
        return file

    def _copy(self, file: InputFile, number: int, write: _Write) -> Path:
        state = file.path.stat()
        # A copy is of one state of its file.
        stamp = f"{file.path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
        if self._options.sheet is not None:
            stamp += f"\0{self._options.sheet}"
        return self._copy_of(number, stamp, file.name, write)

    def _copy_of(self, number: int, stamp: str, name: str, write: _Write) -> Path:
        digest = hashlib.sha256(stamp.encode(errors="surrogateescape")).hexdigest()[:16]
        copy = self._place / f"input-{number}-{digest}"
        if copy.exists():
            return copy
        for older in self._place.glob(f"input-{number}-*"):
            older.unlink()
        fresh = self._place / f"{copy.name}.new"
        try:
            self._write(fresh, name, write)
            kind = self._kind(fresh, name) if typed_rows(fresh) is None else None
            if kind is not None:
                # A table in a compressed file.
                packed = fresh.replace(fresh.with_suffix(".packed"))
                self._write(fresh, name, self._rows(kind, InputFile(packed, name)))
            fresh.replace(copy)
        finally:
            for left in (fresh, fresh.with_suffix(".packed")):
                left.unlink(missing_ok=True)
        return copy

    def _write(self, fresh: Path, name: str, write: _Write) -> None:
        try:
            with scratch_file(fresh).open("wb") as target:
                write(target)
                # Half a copy after a power cut would look like an input that lost its
                # rows.
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            fault = os_fault(error)
            raise StorageError(
                "E699", f"{name} cannot be unpacked: {fault.reason}", fix=fault.fix
            ) from error
