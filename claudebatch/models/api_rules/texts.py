"""Texts that the API refuses for being empty or too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.walk import Placed

LONGEST_TITLE = 500
LONGEST_USER_ID = 512


def empty_blocks(placed: Sequence[Placed]) -> Iterator[Problem]:
    """Text blocks without text. What a tool gives back may be white space."""
    for where, _, block, inner in placed:
        text = block.get("text")
        if block.get("type") != "text" or type(text) is not str:
            continue
        if not text or (text.isspace() and not inner):
            what = "empty" if not text else "nothing but white space"
            yield Problem(
                "E414",
                f'"{where}.text" is {what}',
                "the API refuses empty text: write some, or remove the block",
            )


def titles(placed: Sequence[Placed]) -> Iterator[Problem]:
    """Titles of documents that are empty or too long."""
    for where, _, block, _ in placed:
        title = block.get("title")
        if block.get("type") != "document" or type(title) is not str:
            continue
        if not 0 < len(title) <= LONGEST_TITLE:
            yield Problem(
                "E415",
                f'"{where}.title" has {len(title)} characters',
                f"give it 1 to {LONGEST_TITLE}, or leave it out",
            )


def stop_sequences(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Stop sequences that are nothing but white space."""
    for number, text in enumerate(params.get("stop_sequences") or ()):
        if type(text) is str and text.isspace():
            yield Problem(
                "E416",
                f'"stop_sequences[{number}]" is nothing but white space',
                "the API refuses it: name a text, or remove it",
            )


def user_id(params: Mapping[str, Any]) -> Iterator[Problem]:
    """A `user_id` that is too long."""
    own = (params.get("metadata") or {}).get("user_id")
    if type(own) is str and len(own) > LONGEST_USER_ID:
        yield Problem(
            "E417",
            f'"metadata.user_id" has {len(own)} characters',
            f"the API takes {LONGEST_USER_ID}: send a shorter one, a hash for example",
        )
