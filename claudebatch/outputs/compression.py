"""Files that are compressed while they are written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from claudebatch.outputs.sinks import KeptOpen

# Rows are short: a call of the compressor for each would be most of its time.
_BUFFER = 1 << 17


@contextmanager
def compressed(file: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    """A file whose bytes go to *file*, compressed as *suffix* says (empty: as they
    are); complete when it is left.
    """
    if not suffix:
        yield file
        return
    packed = _packing(file, suffix)
    with packed, io.BufferedWriter(packed, _BUFFER) as buffered:
        yield cast(BinaryIO, buffered)
        buffered.flush()


def _packing(file: BinaryIO, suffix: str) -> Any:
    match suffix:
        case ".gz":
            # Without name and time in it: the same results are the same bytes.
            return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
        case ".bz2":
            return bz2.BZ2File(file, "wb")
        case ".xz":
            return lzma.LZMAFile(file, "wb")
        case _:
            return _zstandard(file)


def _zstandard(file: BinaryIO) -> Any:
    # The package that writes Parquet can do it as well: no second one is needed.
    import pyarrow  # noqa: PLC0415

    # Closed, it closes what is below it.
    return pyarrow.CompressedOutputStream(pyarrow.PythonFile(KeptOpen(file), mode="w"), "zstd")
