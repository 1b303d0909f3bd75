"""Kinds of lines that are not JSON, one row each: how they are recognised, what is
said, and the filter that mends the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import BOM, InvalidJson, decode

# Where Windows-1252 has quotes, dashes and the euro, Latin-1 has nothing.
_WINDOWS_ONLY = re.compile(rb"[\x80-\x9f]")
_LATIN = re.compile(rb"[\x80\x85\x91-\x97\x99\xa0-\xff]")
_LONG_RUN = re.compile(rb"[\x80-\xff]{4}")
_UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
_DICT = re.compile(rb"\s*(\[\s*)?\{\s*'|.*[\[:,]\s*(None|True|False)\s*[,}\]]", re.DOTALL)
_CURLY = re.compile(r"\s*(\[\s*)?\{\s*[“”„]")
_BARE_NAME = re.compile(rb"\s*\{\s*[A-Za-z_]\w*\s*:")
_TRAILING = re.compile(r"trailing characters at byte (\d+)")


@dataclass(frozen=True, slots=True)
class LineKind:
    """One kind of line that is not JSON."""

    recognise: Callable[[bytes, str], bool]
    """Given the line, and the decoder's complaint about it."""
    reason: str
    """`{}` is the decoder's complaint."""
    fix: str
    recipe: str | None = None


def _latin(data: bytes, complaint: str) -> bool:
    """Whether bytes that are not UTF-8 are single letters among ASCII."""
    if "UTF-8" not in complaint or _LONG_RUN.search(data) or _UTF8_LETTER.search(data):
        return False
    return all(_LATIN.match(bytes((byte,))) for byte in data if byte >= 0x80)


def _curly(data: bytes, complaint: str) -> bool:
    return "UTF-8" not in complaint and _CURLY.match(data.decode(errors="replace")) is not None


def _comma_after(data: bytes, complaint: str) -> bool:
    """Whether a whole value is followed by a comma."""
    bare = data.rstrip()
    if "trailing characters" not in complaint or not bare.endswith(b","):
        return False
    try:
        decode(bare[:-1])
    except InvalidJson:
        return False
    return True


def _several(data: bytes, complaint: str) -> bool:
    found = _TRAILING.search(complaint)
    return found is not None and data[int(found[1]) - 1 :].lstrip()[:1] in (b"{", b"[", b'"')


def _when(words: str) -> Callable[[bytes, str], bool]:
    return lambda data, complaint: words in complaint


LINE_KINDS: tuple[LineKind, ...] = (
    LineKind(
        lambda data, complaint: data.startswith(BOM),
        "the line begins with a byte order mark (BOM), as in files that were joined",
        "remove it",
        r"perl -pe 's/^(\xEF\xBB\xBF)+//'",
    ),
    LineKind(
        lambda data, complaint: _latin(data, complaint) and _WINDOWS_ONLY.search(data) is not None,
        "not UTF-8; it looks like Windows-1252",
        "convert the file, if it is",
        "iconv -f WINDOWS-1252 -t UTF-8",
    ),
    LineKind(
        _latin,
        "not UTF-8; it looks like Latin-1",
        "convert the file, if it is",
        "iconv -f ISO-8859-1 -t UTF-8",
    ),
    LineKind(_when("UTF-8"), "{}", "save the file as UTF-8"),
    LineKind(
        lambda data, complaint: "not valid JSON" in complaint and _DICT.match(data) is not None,
        "a Python dict, not JSON: its quotes are single, or it says None, True or False",
        "write it with json.dumps",
        "python3 -c 'import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) "
        "for line in sys.stdin if line.strip()]'",
    ),
    LineKind(
        _curly,
        "curly quotes (“ ”), not JSON",
        'write straight ones (")',
        "perl -CSD -Mutf8 -pe 's/[“”„]/\"/g'",
    ),
    LineKind(
        _comma_after,
        "a comma follows the value",
        "remove the commas at line ends",
        "sed 's/,[[:space:]]*$//'",
    ),
    LineKind(
        _several,
        "several JSON values on one line",
        "write each on its own line",
        "jq -c .",
    ),
    LineKind(
        lambda data, complaint: _BARE_NAME.match(data) is not None,
        "names without quotes, which are JavaScript or YAML and not JSON",
        "write the names in double quotes",
    ),
    LineKind(_when("nested"), "{}", "flatten it"),
    LineKind(_when("too large"), "{}", "write the number in quotes"),
    LineKind(_when("surrogate"), "{}", "write the whole character"),
    LineKind(_when("NaN"), "{}", "write null, or the word in quotes"),
    LineKind(
        lambda data, complaint: data.lstrip()[:1] in (b"{", b'"', b"["),
        "{}",
        "write one whole JSON value on the line",
    ),
    LineKind(
        lambda data, complaint: True,
        "not JSON",
        "write one JSON value per line, or use --text if each line is a plain prompt",
    ),
)
"""In the order in which they are tried; the last one is every line."""


def not_json(data: bytes, complaint: str) -> Problem:
    """What is wrong with the line *data*, about which the decoder says *complaint*."""
    kind = next(kind for kind in LINE_KINDS if kind.recognise(data, complaint))
    return Problem("E323", kind.reason.replace("{}", complaint), kind.fix, kind.recipe)
