"""Compressed files of any format: unpacked once, because nothing can be read in their
middle.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import unreadable
from claudebatch.inputs.formats.place import check_place

_CHUNK = 1 << 20
_DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, ValueError)
_Open: TypeAlias = Callable[[Path], Any]


def _zstd(path: Path) -> Any:
    import zstandard  # noqa: PLC0415  # an extra

    return zstandard.open(path, "rb")


_BY_MAGIC: Mapping[bytes, _Open] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
}
SUFFIXES = frozenset({".gz", ".bz2", ".xz", ".zst"})
"""Endings of names that tell of the compression, not of what is inside."""


def is_compressed(path: Path, name: str) -> bool:
    """Whether the file at *path*, called *name*, is. Raises `ClaudebatchError` if it
    cannot be read.
    """
    check_place(path, name)
    return _opener(path) is not None


def unpack(path: Path, name: str, into: BinaryIO) -> None:
    """Write what the compressed file at *path*, called *name*, holds *into* a file.
    Raises `ClaudebatchError` for a damaged one, and `OSError` where nothing can be
    written.
    """
    opener = _opener(path)
    if opener is None:
        raise ValueError(f"{name} is not compressed")
    try:
        opened = opener(path)
    except ImportError:
        raise ClaudebatchError(
            "E311",
            f"{name} is compressed (zstd), which needs one more package",
            fix="pip install 'claudebatch[zstd]', or unpack it: zstd -d",
        ) from None
    with opened as packed:
        while True:
            try:
                data = packed.read(_CHUNK)
            except _DAMAGE as error:
                raise ClaudebatchError(
                    "E312",
                    f"{name} is damaged: {error}",
                    fix="fetch it again, or check it (gzip -t, xz -t, …)",
                ) from error
            if not data:
                return
            into.write(data)


def _opener(path: Path) -> _Open | None:
    try:
        with path.open("rb") as file:
            first = file.read(6)
    except OSError as error:
        raise unreadable(path, error) from error
    return next((opener for magic, opener in _BY_MAGIC.items() if first.startswith(magic)), None)
