"""Images and documents that a row names: read from below one folder, known by
their first bytes, and put before the words of the row's last turn.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from claudebatch.core.errors import BadRow, Problem
from claudebatch.core.jsonl import STDIN
from claudebatch.core.os_faults import os_fault
from claudebatch.inputs.problems import shown
from claudebatch.models.api_rules.sources import image_type
from claudebatch.models.tokens.images import image_size

Kind: TypeAlias = Literal["image", "document"]

_MARK = "@"
# Fields of JSON lines that may say `@path` without being named by the command.
_MARKED: Mapping[str, Kind] = {
    **dict.fromkeys(("image", "images"), "image"),
    **dict.fromkeys(("document", "documents"), "document"),
}
_NAMES = frozenset(_MARKED)
# In base64 that is the 32 MB of the API's largest body.
_MOST_BYTES = 24_000_000
_MOST_PIXELS = 8_000
_URLS = ("https://", "http://")
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class FileColumns:
    """The fields of rows that name files to be sent along."""

    images: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    root: str | None = None
    """The folder below which all files lie; None: that of the input file."""

    @property
    def named(self) -> bool:
        """Whether the command names any."""
        return bool(self.images or self.documents)

    def folder(self, input_name: str) -> Path:
        """The folder below which the files of the rows of *input_name* lie."""
        if self.root is not None:
            return Path(self.root)
        return Path() if input_name == STDIN else Path(input_name).parent


class NamedFile(NamedTuple):
    """A file as a row names it."""

    kind: Kind
    column: str
    place: str
    """A path or an address."""


def named_files(value: Any, columns: FileColumns, *, marked: bool) -> list[NamedFile]:
    """The files that the row *value* names, images first; *marked*: also those of
    fields that say `@path`. Raises `BadRow` for a value that names none.
    """
    if not isinstance(value, dict):
        return []
    # Most rows of most inputs name none, and that is known at a glance.
    if not (columns.named or (marked and not _NAMES.isdisjoint(value))):
        return []
    chosen: dict[str, Kind] = {
        **dict.fromkeys(columns.documents, "document"),
        **dict.fromkeys(columns.images, "image"),
    }
    found = [
        NamedFile(kind, name, place.removeprefix(_MARK))
        for name, kind in chosen.items()
        for place in _places(name, value.get(name))
    ]
    for name, kind in _MARKED.items() if marked else ():
        # Without the mark it is a field like any other, unless the command names it.
        if name not in chosen and _is_marked(value.get(name)):
            places = _places(name, value[name])
            found += [NamedFile(kind, name, place.removeprefix(_MARK)) for place in places]
    return sorted(found, key=lambda file: file.kind, reverse=True)


def without_files(fields: dict[str, Any], columns: FileColumns) -> dict[str, Any]:
    """*fields* of a row without those that name files: they are no stray fields."""
    names = {*columns.images, *columns.documents}
    names |= {name for name in _MARKED if _is_marked(fields.get(name))}
    return {name: it for name, it in fields.items() if name not in names}


def _is_marked(value: Any) -> bool:
    """Whether every path of a field says `@path`."""
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(isinstance(one, str) and one[:1] == _MARK for one in listed)


def _places(name: str, value: Any) -> Iterator[str]:
    """The paths in a field: a text, or a list of them; an empty one is none."""
    for place in value if isinstance(value, list) else [value]:
        if isinstance(place, str):
            if place.strip():
                yield place.strip()
        elif place is not None:
            fix = "write a path or an address, or a list of them"
            raise BadRow(Problem("E383", f'"{name}" is {shown(place)}, which names no file', fix))


def with_files(
    messages: list[dict[str, Any]], files: list[NamedFile], folder: Path
) -> list[dict[str, Any]]:
    """*messages* with the *files* before the words of the last user turn. Raises
    `BadRow` with what is wrong about each.
    """
    blocks: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            blocks.append(_block(file, folder))
        except BadRow as error:
            problems += error.problems
    if problems:
        raise BadRow(*problems)
    last = max((n for n, turn in enumerate(messages) if turn["role"] == "user"), default=None)
    if last is None:
        reason = f'"{files[0].column}" names a file, and no turn is the user\'s'
        raise BadRow(Problem("E384", reason, "end with a user message"))
    turn = messages[last]
    content = turn["content"]
    words = [{"type": "text", "text": content}] if isinstance(content, str) else content
    # Results of tools stand first in their turn.
    results = sum(block.get("type") == "tool_result" for block in words)
    turn = {**turn, "content": [*words[:results], *blocks, *words[results:]]}
    return [*messages[:last], turn, *messages[last + 1 :]]


def _block(file: NamedFile, folder: Path) -> dict[str, Any]:
    if file.place.lower().startswith(_URLS):
        return {"type": file.kind, "source": {"type": "url", "url": file.place}}
    data = _read(file, folder)
    media_type = image_type(data)
    if file.kind == "image":
        if media_type is None:
            fix = "the API reads no other images; --document COLUMN sends PDF and text"
            raise BadRow(Problem("E385", _told(file, "is not a JPEG, PNG, GIF or WebP"), fix))
        return {"type": "image", "source": _encoded(file, data, media_type)}
    if media_type is not None:
        raise BadRow(
            Problem("E386", _told(file, "is an image"), f"send it with --image {file.column}")
        )
    if data.startswith(b"%PDF-"):
        return {"type": "document", "source": _encoded(file, data, "application/pdf")}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "the API reads no other documents: convert it"
        raise BadRow(
            Problem("E387", _told(file, "is neither a PDF nor text in UTF-8"), fix)
        ) from error
    return {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
    }


def _encoded(file: NamedFile, data: bytes, media_type: str) -> dict[str, str]:
    text = b64encode(data).decode()
    size = image_size(text)
    if size is not None and max(size.width, size.height) > _MOST_PIXELS:
        reason = f"has {size.width} x {size.height} pixels"
        raise BadRow(
            Problem("E388", _told(file, reason), f"the API takes {_MOST_PIXELS:,}: scale it down")
        )
    return {"type": "base64", "media_type": media_type, "data": text}


def _read(file: NamedFile, folder: Path) -> bytes:
    """The bytes of *file*. Raises `BadRow`."""
    try:
        root, real = os.path.realpath(folder), os.path.realpath(folder / file.place)
    except (OSError, ValueError) as error:
        raise BadRow(
            Problem("E389", _told(file, "is no path"), "write the name of a file")
        ) from error
    # After all links and dots: a row must not reach what lies elsewhere.
    if os.path.commonpath((root, real)) != root:
        reason = f"lies outside {folder}/" if str(folder) != "." else "lies outside this folder"
        raise BadRow(
            Problem(
                "E390",
                _told(file, reason),
                "--files-root DIR says below which folder files may lie",
            )
        )
    try:
        data = _content(real)
    except FileNotFoundError as error:
        fix = f"paths begin at {folder}/: correct it, or say --files-root DIR"
        raise BadRow(Problem("E391", _told(file, "does not exist"), fix)) from error
    except OSError as error:
        fault = os_fault(error)
        raise BadRow(Problem("E392", _told(file, fault.reason), fault.fix)) from error
    if data is None:
        raise BadRow(Problem("E393", _told(file, "is no regular file"), "name a file"))
    if len(data) > _MOST_BYTES:
        megabytes = _MOST_BYTES // 1_000_000
        raise BadRow(
            Problem(
                "E394", _told(file, f"is larger than {megabytes} MB"), "the API takes 32 MB in all"
            )
        )
    if not data:
        raise BadRow(Problem("E395", _told(file, "is empty"), "correct the path, or leave it out"))
    return data


def _content(real: str) -> bytes | None:
    """What a file begins with, one byte more than is allowed; None for what is no
    regular file.
    """
    descriptor = os.open(real, _FLAGS)
    try:
        # A pipe would wait for ever, a device has no end.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.read(_MOST_BYTES + 1)
    finally:
        os.close(descriptor)


def _told(file: NamedFile, reason: str) -> str:
    return f'"{file.column}": {shown(file.place)} {reason}'
