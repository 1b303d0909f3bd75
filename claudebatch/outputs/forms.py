"""The forms that results can have, told by a file's suffix or by a name, and what each
needs to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.typos import meant

JSON_LINES: Final = "jsonl"
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    JSON_LINES: (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet", ".pq"),
    "sqlite": (".db", ".sqlite", ".sqlite3"),
    "markdown": (".md", ".markdown"),
    "text": (".txt",),
    # Their files are JSON lines of another shape: no suffix tells them.
    "anthropic-batch": (),
    "openai-batch": (),
}
_BY_SUFFIX = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_WITHOUT_COLUMNS = frozenset({"anthropic-batch", "openai-batch"})
_INSTALL = "pip install 'claudebatch[parquet]'"
_BINARY = frozenset({"parquet", "sqlite"})

FORMATS: Final = tuple(_SUFFIXES)
"""The names of all formats."""


@dataclass(frozen=True, slots=True)
class OutputForm:
    """A format, and how its bytes are compressed."""

    format: str = JSON_LINES
    compression: str = ""
    """A suffix, such as `.gz`; empty: not at all."""

    @property
    def name(self) -> str:
        """As `form_of` takes it: `csv`, `jsonl.gz`."""
        return self.format + self.compression

    @property
    def grows(self) -> bool:
        """Whether lines can be appended while a run goes on; any other form is written
        whole.
        """
        return self.format == JSON_LINES and not self.compression

    @property
    def has_columns(self) -> bool:
        """Whether columns can be chosen."""
        return self.format not in _WITHOUT_COLUMNS

    @property
    def is_binary(self) -> bool:
        """Whether a terminal cannot show it."""
        return bool(self.compression) or self.format in _BINARY

    def require(self) -> None:
        """Raise `ClaudebatchError` where a package that writes this form is missing."""
        if self.format == "parquet" and find_spec("pyarrow") is None:
            raise ClaudebatchError(
                "E650", "Parquet is written by pyarrow, which is not installed", fix=_INSTALL
            )
        if self.compression == ".zst" and find_spec("pyarrow") is None:
            raise ClaudebatchError(
                "E651", ".zst is written by pyarrow, which is not installed", fix=_INSTALL
            )


def form_of(path: Path | None, name: str | None = None) -> OutputForm:
    """The form of results in the file *path* (None: standard output); *name* wins over
    its suffix, and JSON lines over one that says nothing.

    Raises `ClaudebatchError` for a name that there is not.
    """
    stem, compression = _uncompressed(path.name if path is not None else "")
    if name is None:
        return OutputForm(_BY_SUFFIX.get(Path(stem).suffix.lower(), JSON_LINES), compression)
    known, named_compression = _uncompressed(name)
    if known not in _SUFFIXES:
        near = meant(known, FORMATS)
        raise ClaudebatchError(
            "E652",
            f'there is no output format "{name}"',
            fix=f'did you mean "{near}"?' if near else f"one of {', '.join(FORMATS)}",
        )
    return OutputForm(known, named_compression or compression)


def _uncompressed(name: str) -> tuple[str, str]:
    for suffix in _COMPRESSED:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], suffix
    return name, ""
