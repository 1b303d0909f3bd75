"""The expected tokens of UTF-8 text, from its bytes alone.

Anthropic publishes no tokenizer. The rates below were measured over English prose,
code, JSON, German, Russian, Arabic, Hindi, Chinese, Japanese and emoji; a count for one
language mix is usually within a quarter of the truth.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal
from unicodedata import is_normalized, normalize

# Between prose (3.1 and 4.3) and JSON (2.3 and 2.9).
_ASCII_PER_TOKEN = {"new": 2.8, "old": 3.7}
# ASCII letters of a text with accents: German, French, Polish.
_EUROPEAN_PER_TOKEN = {"new": 2.3, "old": 3.6}
# Bytes, not characters, where the script has two of them: counting lead bytes then
# needs no decoding.
_CYRILLIC_BYTES_PER_TOKEN = 5.4
_MIDDLE_EASTERN_BYTES_PER_TOKEN = 2.9
_THREE_BYTE_CHARS_PER_TOKEN = 1.05
_FOUR_BYTE_CHARS_PER_TOKEN = 0.4
# One accented letter in this many bytes makes a text European rather than English with
# a stray name in it.
_ACCENTED_SHARE = 200

_LATIN_LEADS = bytes(range(0xC2, 0xCC))
_CYRILLIC_LEADS = bytes(range(0xCC, 0xD6))
_MIDDLE_EASTERN_LEADS = bytes(range(0xD6, 0xE0))
_THREE_BYTE_LEADS = bytes(range(0xE0, 0xF0))
_FOUR_BYTE_LEADS = bytes(range(0xF0, 0xF8))


def token_ratio(known: Literal["old", "new"], wanted: Literal["old", "new"]) -> float:
    """Tokens of the tokenizer *wanted* per token of *known*, in English text."""
    return _ASCII_PER_TOKEN[known] / _ASCII_PER_TOKEN[wanted]


def text_tokens(text: bytes, not_text: int, tokenizer: Literal["old", "new"]) -> float:
    """Expected tokens of *text* without its *not_text* ASCII bytes, which are JSON
    structure or base64.
    """
    if text.isascii():
        return max(0, len(text) - not_text) / _ASCII_PER_TOKEN[tokenizer]
    return _mixed(text, not_text, tokenizer)


def longest(text: bytes) -> int:
    """The most bytes of *text* in any of Unicode's normal forms.

    The only tokenizer that Anthropic ever published normalised text to NFKC, where one
    character may become a phrase of eighteen. Whether the present ones do is not
    documented.
    """
    words = text.decode(errors="replace")
    if is_normalized("NFKC", words):
        return len(text)
    # Summed by character, without characters that would shrink: an upper bound for the
    # whole text in every form.
    return len(text) + sum(
        times * max(0, len(normalize("NFKD", char).encode()) - len(char.encode()))
        for char, times in Counter(words).items()
        if not char.isascii()
    )


def _mixed(text: bytes, not_text: int, tokenizer: Literal["old", "new"]) -> float:
    latin, cyrillic = _count(text, _LATIN_LEADS), _count(text, _CYRILLIC_LEADS)
    eastern, three = _count(text, _MIDDLE_EASTERN_LEADS), _count(text, _THREE_BYTE_LEADS)
    four = _count(text, _FOUR_BYTE_LEADS)
    ascii_bytes = len(text) - 2 * (latin + cyrillic + eastern) - 3 * three - 4 * four - not_text
    european = latin * _ACCENTED_SHARE > len(text)
    rate = (_EUROPEAN_PER_TOKEN if european else _ASCII_PER_TOKEN)[tokenizer]
    return (
        max(0, ascii_bytes + 2 * latin) / rate
        + 2 * cyrillic / _CYRILLIC_BYTES_PER_TOKEN
        + 2 * eastern / _MIDDLE_EASTERN_BYTES_PER_TOKEN
        + three / _THREE_BYTE_CHARS_PER_TOKEN
        + four / _FOUR_BYTE_CHARS_PER_TOKEN
    )


def _count(text: bytes, leads: bytes) -> int:
    """The number of characters that begin with one of *leads*."""
    # `translate` runs at memory speed; a loop in Python takes a hundred times as long.
    return len(text) - len(text.translate(None, leads))
