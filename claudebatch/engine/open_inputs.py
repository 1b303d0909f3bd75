"""The input files of a session, open for reading at any place."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

# A pattern may name thousands, and systems let a process open a thousand files.
_MOST_OPEN = 64


class OpenInputs:
    """Descriptors of the files; a few stay open for the whole session, so that one that
    is replaced in the meantime keeps its old content here. Of many, the last ones used
    do: a row of a file that was replaced is told by its digest.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        # Mutable: by the number of the file, the one used last at the end.
        self._open: OrderedDict[int, int] = OrderedDict()
        for number in range(min(len(files), _MOST_OPEN)):
            self.descriptor(number)

    def descriptor(self, number: int) -> int:
        """That of the file *number*. Raises `OSError`."""
        found = self._open.pop(number, None)
        if found is None:
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
            found = os.open(self._files[number], os.O_RDONLY | os.O_CLOEXEC)
        self._open[number] = found
        return found

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
