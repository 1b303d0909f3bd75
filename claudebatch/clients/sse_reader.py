"""Server-sent events out of a body that comes in pieces of any size.

Line ends are LF, CR LF or CR; comments, unknown fields and events without data mean
nothing, as the standard has it.
"""

from __future__ import annotations

from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Yields the data of every complete event of one stream, whose bytes are fed in
    order.
    """

    def __init__(self) -> None:
        # Mutable, changed by `feed` only: the unfinished line and event, whether the
        # last byte was a CR whose LF may still come, and whether a line was read yet.
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ends in *piece*. Take all of them before the next
        piece.
        """
        for line in self._lines(piece):
            if not line:
                if self._data:
                    yield b"\n".join(self._data)
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        if not piece:
            return
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        # `bytes.splitlines` cuts at CR and LF only; that of `str` at U+2028 as well,
        # which a text may contain.
        for part in piece.splitlines(keepends=True):
            self._line.append(part)
            if part.endswith((b"\n", b"\r")):
                line, self._line = b"".join(self._line).rstrip(b"\r\n"), []
                yield line if self._begun else line.removeprefix(_BOM)
                self._begun = True
