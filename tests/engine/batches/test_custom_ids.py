"""What proves whose a batch is."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from claudebatch.engine.batches.custom_ids import custom_id, new_nonce, parse_custom_id

# The API's own rule.
ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@given(st.binary(min_size=0, max_size=64), st.integers(1, 10**14 - 1), st.integers(0, 2**32))
def test_an_id_is_allowed_and_tells_its_parts(digest: bytes, attempt: int, seed: int) -> None:
    nonce = new_nonce(random.Random(seed))
    text = custom_id(nonce, digest, attempt)
    assert ALLOWED.fullmatch(text)
    found = parse_custom_id(text)
    assert found is not None
    assert (found.nonce, found.attempt) == (nonce, attempt)
    assert digest.hex().startswith(found.digest)


@given(st.text(max_size=70))
def test_the_ids_of_others_are_none_of_ours(text: str) -> None:
    found = parse_custom_id(text)
    assert found is None or custom_id(found.nonce, bytes.fromhex(found.digest), found.attempt)


def test_ids_that_only_look_alike_are_none_of_ours() -> None:
    for text in ("", "row-1", "0123456789abcdef", "0123456789ABCDEF-00-1", "0123456789abcdef-00-x"):
        assert parse_custom_id(text) is None
