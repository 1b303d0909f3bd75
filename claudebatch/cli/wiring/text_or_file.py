"""`--system` and `--template`: a text, or with `@` before it the name of a file."""

from __future__ import annotations

from pathlib import Path

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.os_faults import os_fault

_MARK = "@"
_JINJA = ".j2"
# The API takes requests of 32 MB; a device without an end would fill the memory.
_MOST_BYTES = 32_000_000


def system_prompt(given: str | None) -> str | None:
    """The system prompt that `-s` means: see `text_or_file`."""
    return text_or_file(given, "-s")


def text_or_file(given: str | None, option: str) -> str | None:
    """The text that *option* means: `@NAME` is the content of the file NAME, `@@…` a
    text that begins with one `@`. Raises `ClaudebatchError`.
    """
    if given is None or not given.startswith(_MARK):
        return given
    if given.startswith(_MARK * 2):
        return given[1:]
    return _read(given[1:], option)


def jinja_file(given: str | None) -> str | None:
    """The name of the file of Jinja2 that *given* means; None for every other text."""
    text = given or ""
    file = text.startswith(_MARK) and not text.startswith(_MARK * 2) and text.endswith(_JINJA)
    return text[1:] if file else None


def _read(name: str, option: str) -> str:
    place = f"{option} {_MARK}{name}"
    literal = f"a text that begins with {_MARK} has two of them: {option} '{_MARK * 2}…'"
    if not name:
        raise ClaudebatchError(
            "E031", f"{place} needs a file name", fix=f"write {place}NAME; {literal}"
        )
    try:
        # Not `Path.read_text`: a pipe (-s @<(…)) has no size to be checked first.
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ClaudebatchError("E032", f"{place}: no such file", fix=literal) from error
    except OSError as error:
        fault = os_fault(error)
        raise ClaudebatchError("E033", f"{place}: {fault.reason}", fix=fault.fix) from error
    if len(data) > _MOST_BYTES:
        raise ClaudebatchError(
            "E034",
            f"{place} is larger than 32 MB, which is more than the API takes",
            fix="shorten it",
        )
    try:
        # The BOM and the last line end are the editor's, not the author's.
        text = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ClaudebatchError(
            "E035",
            f"{place} is not UTF-8 (byte {error.start + 1})",
            fix="save it as UTF-8",
        ) from error
    if not text.strip():
        raise ClaudebatchError(
            "E036", f"{place} is empty", fix=f'write something in it ({option} "" is an empty text)'
        )
    return text
