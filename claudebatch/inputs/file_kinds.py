"""Kinds of files that are not JSON lines, one row each: how it is recognised, what is
said, and the command that makes JSON lines of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import STDIN
from claudebatch.inputs.file_start import FileStart
from claudebatch.inputs.recipes import PLACEHOLDER, command

_Recipe: TypeAlias = str | Callable[[FileStart], str]

_COLUMN = f"put the name of the column with the prompts in place of {PLACEHOLDER}"
_CONVERT = "make JSON lines of it"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file that is not JSON lines."""

    name: str
    """What the file is, after "… is"."""
    recognise: Callable[[FileStart], bool]
    recipe: _Recipe
    """The command that mends it: see `recipes.command`."""
    fix: str = _CONVERT
    text: bool = False
    """Whether it may be meant under --text, where every line is a prompt."""

    def says(self, start: FileStart) -> str:
        """What the file is, with the columns of a table."""
        if not self.text or start.table is None:
            return self.name
        return f"{self.name} (columns {', '.join(start.table[1])})"


def _begins(*magic: bytes) -> Callable[[FileStart], bool]:
    return lambda start: start.first.startswith(magic)


def _zip_with(*names: bytes) -> Callable[[FileStart], bool]:
    """A ZIP archive that holds a member of one of *names*."""
    return lambda start: (
        start.first.startswith(b"PK\x03\x04")
        and any(name in start.last or name in start.first[:200] for name in names)
    )


def _sqlite(start: FileStart) -> str:
    # The text of the table's definition stands in the first page.
    found = re.search(rb"CREATE TABLE [\"'`\[]?(\w+)", start.first, re.IGNORECASE)
    query = "SELECT COLUMN AS prompt FROM TABLE"
    if found is not None:
        query = query.replace("TABLE", found[1].decode(errors="replace"))
    return f"sqlite3 -json {{path}} '{query}' | jq -c '.[]' > {{out}}"


def _image(start: FileStart) -> str:
    names = {b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp"}
    kind = names.get(start.first[:4], "jpeg")
    source = f'{{type: "base64", media_type: "image/{kind}", data: gsub("\\n"; "")}}'
    content = f'[{{type: "image", source: {source}}}, {{type: "text", text: "QUESTION"}}]'
    message = f'{{messages: [{{role: "user", content: {content}}}]}}'
    return f"base64 {{path}} | jq -Rsc '{message}' > {{out}}"


FILE_KINDS: tuple[FileKind, ...] = (
    FileKind(
        "a Word document",
        _zip_with(b"word/"),
        "pandoc -t plain --wrap=none {path} | jq -Rsc '{prompt: .}' > {out}",
        "make one prompt of its text (with pandoc)",
    ),
    FileKind(
        "an archive (zip)",
        _begins(b"PK\x03\x04"),
        "unzip {path}",
        "unpack it and name the files in it",
    ),
    FileKind(
        "a PDF",
        _begins(b"%PDF-"),
        "pdftotext {path} - | jq -Rsc '{prompt: .}' > {out}",
        "make one prompt of its text (with pdftotext)",
    ),
    FileKind(
        "an archive (tar)",
        lambda start: start.first[257:262] == b"ustar",
        "tar -xf {path}",
        "unpack it and name the files in it",
    ),
    FileKind(
        "an image",
        lambda start: (
            start.first.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8"))
            or (start.first[:4] == b"RIFF" and start.first[8:12] == b"WEBP")
        ),
        _image,
        "make a prompt of it, with your question in place of QUESTION",
    ),
    FileKind(
        "an SQLite database",
        _begins(b"SQLite format 3\x00"),
        _sqlite,
        f"select the prompts, and {_COLUMN}",
    ),
    FileKind(
        "UTF-32, not UTF-8", lambda start: start.is_utf32, "iconv -f UTF-32 -t UTF-8", "convert it"
    ),
    FileKind(
        "UTF-16, not UTF-8",
        lambda start: start.utf16 is not None,
        lambda start: f"iconv -f {start.utf16} -t UTF-8",
        "convert it",
    ),
    FileKind(
        "one list of messages over several lines",
        lambda start: start.is_conversation,
        "jq -c .",
        "write the conversation on one line",
        text=True,
    ),
    FileKind(
        "text whose lines end in CR alone",
        lambda start: start.has_cr_only,
        "tr '\\r' '\\n'",
        "convert the line ends",
        text=True,
    ),
)
"""In the order in which they are tried: an archive of a known kind before all archives.
"""


def check_kind(start: FileStart, name: str, *, text: bool = False) -> None:
    """Raise `ClaudebatchError` for a file, called *name*, that begins with *start* and
    is of a kind that is not read.

    *text*: lines are plain prompts, which may begin with a bracket.
    """
    kind = recognised(start, text=text)
    if kind is not None:
        raise _refusal(kind, start, name)


def recognised(start: FileStart, *, text: bool) -> FileKind | None:
    """The kind of the file that begins with *start*; None for JSON lines, and for what
    is decided line by line.
    """
    return next(
        (kind for kind in FILE_KINDS if not (text and kind.text) and kind.recognise(start)), None
    )


def _refusal(kind: FileKind, start: FileStart, name: str) -> ClaudebatchError:
    recipe = kind.recipe if isinstance(kind.recipe, str) else kind.recipe(start)
    fix = f"{kind.fix}, and {_COLUMN}" if PLACEHOLDER in recipe and kind.text else kind.fix
    if name == STDIN and "{path}" not in recipe:
        fix += "; pipe it through this first"
    return ClaudebatchError(
        "E304", f"{name} is {kind.says(start)}", fix=f"{fix}:\n{command(recipe, name)}"
    )
