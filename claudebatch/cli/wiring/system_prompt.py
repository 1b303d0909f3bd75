"""`--system`: a text, or with `@` before it the name of a file that holds one."""

from __future__ import annotations

from pathlib import Path

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.os_faults import os_fault

_MARK = "@"
# The API takes requests of 32 MB; a device without an end would fill the memory.
_MOST_BYTES = 32_000_000
_LITERAL = f"a text that begins with {_MARK} is written with two of them: -s '{_MARK * 2}…'"


def system_prompt(given: str | None) -> str | None:
    """The system prompt that the option *given* means: `@NAME` is the file NAME, `@@…`
    a text that begins with one `@`. Raises `ClaudebatchError`.
    """
    if given is None or not given.startswith(_MARK):
        return given
    if given.startswith(_MARK * 2):
        return given[1:]
    return _read(given[1:])


def _read(name: str) -> str:
    if not name:
        raise ClaudebatchError(
            "E031", f"-s {_MARK} needs a file name", fix=f"write -s {_MARK}NAME; {_LITERAL}"
        )
    try:
        # Not `Path.read_text`: a pipe (-s @<(…)) has no size to be checked first.
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ClaudebatchError("E032", f"-s {_MARK}{name}: no such file", fix=_LITERAL) from error
    except OSError as error:
        fault = os_fault(error)
        raise ClaudebatchError(
            "E033", f"-s {_MARK}{name}: {fault.reason}", fix=fault.fix
        ) from error
    if len(data) > _MOST_BYTES:
        raise ClaudebatchError(
            "E034",
            f"-s {_MARK}{name} is larger than 32 MB, which is more than the API takes",
            fix="shorten it",
        )
    try:
        # The BOM and the last line end are the editor's, not the author's.
        text = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ClaudebatchError(
            "E035",
            f"-s {_MARK}{name} is not UTF-8 (byte {error.start + 1})",
            fix="save it as UTF-8",
        ) from error
    if not text.strip():
        raise ClaudebatchError(
            "E036", f"-s {_MARK}{name} is empty", fix='-s "" means no system prompt'
        )
    return text
