"""JSON lines, as bytes: read a file line by line in constant memory, and encode and
decode one value.

A line ends at the byte ``\\n`` and nowhere else: `str.splitlines` would cut a prompt
that holds U+2028 in two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.frozen import value
from claudebatch.core.os_faults import os_fault

MAX_LINE_BYTES: Final = 40_000_000
"""The API refuses requests over 32 MB; the rest is room for white space and escapes."""

MAX_DEPTH: Final = 200
"""Deepest nesting accepted: deeper values could be decoded, but encoding them from deep
in the stack would raise a RecursionError.
"""

STDIN: Final = "stdin"
"""How messages call the standard input."""

BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark, in UTF-8."""

_CHUNK = 1 << 20
_LARGE_BYTES = 1 << 16
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_A_NUMBER = re.compile(rb"(?<![\w\"])-?(?:NaN|Infinity)(?![\w\"])")

_ENCODER = msgspec.json.Encoder(order="sorted")
_IN_ORDER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class InvalidJson(ValueError):
    """The bytes are not one JSON value that can be sent unchanged; the text is the
    reason.
    """


@value
class InputLine:
    """One line that is not blank; `read_at(file, offset, length)` reads its `data`
    again.
    """

    number: int
    """Counted from 1, blank lines included."""
    offset: int
    length: int
    data: bytes
    """Without BOM and line end. A line that is too long is cut one byte above
    `MAX_LINE_BYTES`, so that its length shows it.
    """


class HasFileno(Protocol):
    """An open file."""

    def fileno(self) -> int:
        """The file descriptor."""
        ...


def encode(value: object) -> bytes:
    """*value* as compact JSON with sorted keys: equal values give equal bytes. Floats
    must be finite.
    """
    data = _ENCODER.encode(value)
    # The encoder leaves up to a third of its buffer unused, and a large text keeps that
    # as long as it lives.
    return data if len(data) < _LARGE_BYTES else bytes(memoryview(data))


encode_in_order: Final[Callable[[object], bytes]] = _IN_ORDER.encode
"""A value as compact JSON with its keys in their own order. Lone surrogates raise
`UnicodeEncodeError`.
"""


def decode(data: bytes) -> Any:
    """The JSON value in *data*; NaN, lone surrogates, bad UTF-8 and too deep nesting
    raise `InvalidJson`.

    Of a repeated key, the last value counts.
    """
    try:
        value = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(_why(data, error)) from error
    # The number of brackets is fast to count and never below the depth, so most lines
    # are spared the walk.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(value):
        raise InvalidJson(f"nested more than {MAX_DEPTH} levels deep")
    return value


def spelt(data: bytes) -> object:
    """The JSON text *data* as a value that `encode` writes as it stands."""
    return msgspec.Raw(data)


def raw_members(data: bytes) -> dict[str, bytes]:
    """The members of a JSON object with each value's own text, so that `1.50` stays
    `1.50`.
    """
    return {name: bytes(raw) for name, raw in _MEMBERS.decode(data).items()}


def compact(data: bytes) -> bytes:
    """The JSON value in *data* without white space between its parts, each spelt as it
    is there.
    """
    return msgspec.json.format(data, indent=-1)


def chosen_members(data: bytes, names: Container[str]) -> bytes:
    """The members *names* of a JSON object as one compact object, in their own order,
    each value spelt as it is there.
    """
    chosen = {
        name: msgspec.Raw(compact(bytes(raw)))
        for name, raw in _MEMBERS.decode(data).items()
        if name in names
    }
    return _IN_ORDER.encode(chosen)


def read_lines(path: Path) -> Iterator[InputLine]:
    """Every line of *path* that is not blank."""
    try:
        with path.open("rb", buffering=_CHUNK) as file:
            yield from _split(file)
    except OSError as error:
        raise unreadable(path, error) from error


def read_at(file: int | HasFileno, offset: int, length: int) -> bytes:
    """The *length* bytes at *offset*, without moving the file's position: safe from any
    thread.
    """
    descriptor = file if isinstance(file, int) else file.fileno()
    # `pread` may return fewer bytes than requested, on network file systems in
    # particular.
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise ClaudebatchError(
                "E300",
                f"the input ends before byte {offset + length}: it changed while it was being read",
                fix="leave the input alone during a run, then run the same command again",
            )
        data += more
    return data


def unreadable(path: Path, error: OSError) -> ClaudebatchError:
    """*error*, met at *path*, as a fault that the user can mend."""
    if isinstance(error, FileNotFoundError):
        return ClaudebatchError(
            "E301", f"{path} does not exist", fix="check the name and the folder"
        )
    if isinstance(error, PermissionError):
        return ClaudebatchError(
            "E302",
            f"{path} is not readable: permission denied",
            fix="give yourself read permission (chmod u+r)",
        )
    fault = os_fault(error)
    return ClaudebatchError(
        "E303",
        f"{path} cannot be read: {fault.reason}",
        fix=fault.fix,
        exit_code=ExitCode.LOCAL_IO,
    )


def _split(file: BinaryIO) -> Iterator[InputLine]:
    offset = len(BOM) if file.read(len(BOM)) == BOM else 0
    file.seek(offset)
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 2):
        number += 1
        # Files from Windows end their lines with CR LF.
        data = raw[:-1] if raw.endswith(b"\n") else raw
        data = data[:-1] if data.endswith(b"\r") else data
        if len(data) > MAX_LINE_BYTES:
            data = data[: MAX_LINE_BYTES + 1]
            yield InputLine(number, offset, len(data), data)
            offset += len(raw) + (0 if raw.endswith(b"\n") else _skip_line(file))
            continue
        if data and not data.isspace():
            yield InputLine(number, offset, len(data), data)
        offset += len(raw)


def _skip_line(file: BinaryIO) -> int:
    """Read to the next line in chunks; returns the number of bytes skipped."""
    # A file without any line end may be larger than the memory.
    skipped = 0
    while chunk := file.readline(_CHUNK):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _why(data: bytes, error: Exception) -> str:
    """The fault of *data*; the parser's own message often names only a symptom."""
    if isinstance(error, RecursionError):
        return f"nested more than {MAX_DEPTH} levels deep"
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return f"not valid UTF-8 at byte {bad.start + 1}"
    if isinstance(error, msgspec.ValidationError):
        return "not valid JSON: a number in it is too large"
    if _LONE_SURROGATE.search(data) and _has_lone_surrogate(data):
        return "not valid JSON: it contains half of a surrogate pair, which is not a character"
    if _NOT_A_NUMBER.search(data):
        return "not valid JSON: NaN and Infinity are not JSON numbers"
    return _parser_words(str(error))


def _has_lone_surrogate(data: bytes) -> bool:
    pairs_gone = re.sub(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", b"", data)
    return _LONE_SURROGATE.search(pairs_gone) is not None


def _parser_words(text: str) -> str:
    if "truncated" in text:
        return "not valid JSON: it ends in the middle of a value"
    where = re.search(r"^JSON is malformed: (.*) \(byte (\d+)\)$", text)
    if where is None:
        return f"not valid JSON: {text}"
    # The parser counts bytes from 0, but from 1 for trailing characters.
    past = 0 if where[1] == "trailing characters" else 1
    return f"not valid JSON: {where[1]} at byte {int(where[2]) + past}"
