"""Text files as rows, one each (`--each-file`): folders are walked through, and what is
no text is left out with a word.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import BOM, unreadable
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.inputs.file_start import FileStart
from claudebatch.inputs.formats.place import check_place
from claudebatch.inputs.formats.typed_rows import RowCopy, TypedRows

_LOOKED_AT = 8192
# The API takes requests of 32 MB, and what JSON adds comes on top.
_MOST_BYTES = 30_000_000
_COLUMNS = ("id", "file_name", "path", "text")
_BINARY = (b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b")
OWN = (".results.jsonl", ".claudebatch")
"""Endings of what runs write: no input of a later one."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file, and what rows call it."""

    path: Path
    id: str


class FoundFiles:
    """The text files of some folders, sorted, and what is left out of them."""

    def __init__(self, names: Sequence[str], leave_out: Collection[Path]) -> None:
        """*names* are folders, walked through, and files; *leave_out* are places that
        are no inputs. Raises `ClaudebatchError`.
        """
        self._leave_out = {path.absolute() for path in leave_out}
        # Mutable: filled while folders are walked through.
        self.left_out: Counter[str] = Counter()
        self._example: dict[str, str] = {}  # by the reason
        found = [file for name in names for file in self._named(name, alone=len(names) == 1)]
        # A file may be named beside its folder.
        self.files = sorted({file.id: file for file in found}.values(), key=lambda one: one.id)

    def notices(self, name: str) -> Iterator[Notice]:
        """What is left out, with numbers."""
        for reason, count in self.left_out.items():
            files = counted(count, "file or folder is", "files and folders are")
            text = f"{name}: {files} left out: {reason}, such as {self._example[reason]}"
            yield Notice("W020", text)

    def stamp(self) -> str:
        """Differs when a file is changed, added or removed."""
        states = ((file, file.path.stat()) for file in self.files)
        return "\n".join(
            f"{file.path.absolute()}\0{file.id}\0{state.st_size}\0{state.st_mtime_ns}"
            for file, state in states
        )

    def _named(self, name: str, *, alone: bool) -> Iterator[TextFile]:
        path = Path(name)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise unreadable(path, error) from error
        if stat.S_ISDIR(mode):
            yield from self._inside(path, path if alone else Path())
        else:
            check_place(path, name)
            yield from self._file(path, str(path))

    def _inside(self, folder: Path, root: Path) -> Iterator[TextFile]:
        """The files below *folder*; they are called by their ways from *root*."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable(folder, error) from error
        for entry in entries:
            path = folder / entry.name
            if entry.name.endswith(OWN) or path.absolute() in self._leave_out:
                continue
            if entry.name.startswith("."):
                self._skip("hidden", path)
            elif entry.is_symlink():
                # It may lead anywhere: to a key, or to the folder itself.
                self._skip("a link", path)
            elif entry.is_dir():
                yield from self._inside(path, root)
            elif not entry.is_file():
                self._skip("no regular file", path)
            else:
                yield from self._file(path, path.relative_to(root).as_posix())

    def _file(self, path: Path, id_: str) -> Iterator[TextFile]:
        if _is_binary(path):
            self._skip("no text", path)
        else:
            yield TextFile(path, id_)

    def _skip(self, reason: str, path: Path) -> None:
        self.left_out[reason] += 1
        self._example.setdefault(reason, str(path))


def copy_texts(found: FoundFiles, name: str, into: BinaryIO) -> None:
    """Write a row for each of the *found* files *into* a copy."""
    notices = tuple(found.notices(name))
    rows = TypedRows("text files", _COLUMNS, of_files=True, notices=notices)
    copy = RowCopy(into, rows)
    for file in found.files:
        text = _text(file)
        if isinstance(text, Problem):
            copy.bad(text)
        else:
            copy.add(
                {"id": file.id, "file_name": file.path.name, "path": str(file.path), "text": text}
            )


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.read(_LOOKED_AT)
    except OSError as error:
        raise unreadable(path, error) from error
    start = FileStart(first, b"")
    if start.utf16 is not None or start.is_utf32:
        return False
    return b"\0" in first or first.startswith(_BINARY)


def _text(file: TextFile) -> str | Problem:
    try:
        with file.path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(file.path, error) from error
    if len(data) > _MOST_BYTES:
        megabytes = _MOST_BYTES // 1_000_000
        return Problem(
            "E355",
            f"{file.path} is larger than {megabytes} MB",
            "the API takes requests of 32 MB: split the file",
        )
    encoding = _encoding(data)
    try:
        # The last line end is the editor's, not the author's.
        return data.decode(encoding).removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        return Problem(
            "E356",
            f"{file.path} is not {encoding.removesuffix('-sig').upper()} (byte {error.start + 1})",
            "save it as UTF-8",
        )


def _encoding(data: bytes) -> str:
    if data.startswith(BOM):
        return "utf-8-sig"
    start = FileStart(data[:_LOOKED_AT], b"")
    if start.is_utf32:
        return "utf-32"
    return (start.utf16 or "utf-8").lower()
