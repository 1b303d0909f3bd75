"""Real files of kinds that are not JSON lines, and lines that are not JSON, each made
here byte by byte.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROWS = b'{"prompt": "one"}\n{"prompt": "two"}\n'
TEXT = ROWS.decode()


def _archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        facts = tarfile.TarInfo("in.jsonl")
        facts.size = len(ROWS)
        archive.addfile(facts, io.BytesIO(ROWS))
    return made.getvalue()


def _database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.db"
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE asked (id INTEGER, words TEXT)")
        database.executemany("INSERT INTO asked VALUES (?, ?)", [(1, "one"), (2, "two\nlines")])
        database.commit()
        database.close()
        return path.read_bytes()


def _zstd(data: bytes) -> bytes:
    """*data* as one raw block of a zstd frame: no package writes it for us."""
    header = b"\x28\xb5\x2f\xfd" + b"\x20" + bytes((len(data),))
    return header + struct.pack("<I", len(data) << 3 | 1)[:3] + data


_TYPES = b'<?xml version="1.0"?><Types/>'
_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)

FILES: dict[str, tuple[str, bytes]] = {
    "a Word document": (
        "in.docx",
        _archive(**{"[Content_Types].xml": _TYPES, "word/document.xml": b"<document/>"}),
    ),
    "an archive (zip)": ("in.zip", _archive(**{"in.jsonl": ROWS})),
    "a PDF": ("in.pdf", _PDF),
    "an archive (tar)": ("in.tar", _tar()),
    "an image": ("in.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    "an SQLite database": ("in.db", _database()),
    "UTF-32, not UTF-8": ("in.jsonl", TEXT.encode("utf-32")),
    "UTF-16, not UTF-8": ("in.jsonl", TEXT.encode("utf-16-be")),
    "one list of messages over several lines": (
        "in.json",
        b'[\n  {"role": "user", "content": "one"}\n]\n',
    ),
    "text whose lines end in CR alone": ("in.jsonl", ROWS.replace(b"\n", b"\r")),
}
"""By their names in the table: how the file is called, and its bytes."""

READ: dict[str, tuple[str, bytes]] = {
    "a JSON array": (
        "in.json",
        b'\xef\xbb\xbf \n[{"prompt": "one"}, {"prompt": "two"}]',
    ),
    "one object that holds all requests": (
        "in.json",
        b'{"requests": [\n {"custom_id": "a", "params": {"messages": '
        b'[{"role": "user", "content": "one"}]}}\n]}\n',
    ),
    "indented JSON": ("in.jsonl", b'{\n  "prompt": "one"\n}\n{\n "prompt": "two"}'),
    "a TSV table": ("in.tsv", b"id\tprompt\n1\tone\n2\ttwo\n"),
    "a CSV table": (
        "in.csv",
        b'\xef\xbb\xbfid,prompt,label\n1,"a ""b"", c",pos\n2,"two\nlines",neg\n',
    ),
}
"""Files of other formats that are read as they are."""

PACKED: dict[str, bytes] = {
    ".gz": gzip.compress(ROWS),
    ".bz2": bz2.compress(ROWS),
    ".xz": lzma.compress(ROWS),
    ".zst": _zstd(ROWS),
}

LINES: dict[str, bytes] = {
    "byte order mark": ROWS.replace(b"\n", b"\n\xef\xbb\xbf", 1),
    "looks like Windows-1252": '{"prompt": "“caf\xe9”"}\n'.encode("cp1252"),
    "looks like Latin-1": '{"prompt": "caf\xe9 \xe4\xf6"}\n'.encode("latin-1"),
    "a Python dict": b"{'prompt': 'a \"b\"', 'max_tokens': None}\n",
    "curly quotes": "{“prompt”: “one”}\n".encode(),
    "a comma follows": ROWS.replace(b"\n", b",\n"),
    "several JSON values": b'{"prompt": "one"}{"prompt": "two"}\n',
}
"""Files with lines that are not JSON and have a recipe, by words of their reasons."""

LINES_WITHOUT_RECIPE: dict[str, bytes] = {
    "not valid UTF-8 at byte 13": b'{"prompt": "\xed\xa0\x80\xff"}\n',
    "names without quotes": b'{prompt: "one"}\n',
    "nested more than": b"[" * 300 + b"]" * 300,
    "too large": b'{"max_tokens": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"prompt": "\\ud800"}',
    "NaN": b'{"prompt": "a", "metadata": {"x": NaN}}',
    "ends in the middle": b'{"prompt": "a"',
    "not JSON": b"Summarise this.",
}
