"""The ids of requests in a batch: what proves, in its results, whose batch it is.

The API tells nothing else of what a batch was made for: it has no name and no
metadata, and its requests cannot be read again.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

_DIGEST_CHARACTERS = 32
# The API's own rule: at most 64 letters, digits, _ and -.
_FORM = re.compile(r"([0-9a-f]{16})-([0-9a-f]{0,32})-([0-9]{1,14})")


class CustomId(NamedTuple):
    """The parts of a custom_id of ours."""

    nonce: str
    digest: str
    """The beginning of the row's digest, in hexadecimal."""
    attempt: int
    """The attempt's number in the run's journal."""


def new_nonce(rng: random.Random) -> str:
    """16 hexadecimal digits that no other batch has: of 2**32 batches, two have the
    same with a chance of one half.
    """
    return rng.randbytes(8).hex()


def custom_id(nonce: str, digest: bytes, attempt: int) -> str:
    """The custom_id of the row with *digest* in the batch of *nonce*."""
    return f"{nonce}-{digest.hex()[:_DIGEST_CHARACTERS]}-{attempt}"


def parse_custom_id(text: str) -> CustomId | None:
    """The parts of *text*; None where it is none of ours."""
    found = _FORM.fullmatch(text)
    return None if found is None else CustomId(found[1], found[2], int(found[3]))
