"""The expected tokens of one block of a request."""

from __future__ import annotations

from typing import Any

from claudebatch.core.jsonl import encode
from claudebatch.models.catalog import ModelFacts
from claudebatch.models.tokens.attachments import Attachments
from claudebatch.models.tokens.text import text_tokens

# Bytes of JSON around its text, as `{"text":"","type":"text"}` has them.
_FRAME_BYTES = 25


def block_tokens(block: Any, facts: ModelFacts) -> float:
    """Expected tokens of *block*, a text or an object, at the model of *facts*."""
    if isinstance(block, str):
        return text_tokens(block.encode(), 0, facts.tokenizer)
    data = encode(block)
    if b'"image"' not in data and b'"document"' not in data:
        return text_tokens(data, _FRAME_BYTES, facts.tokenizer)
    attached = Attachments({"messages": [{"content": [block]}]}, facts)
    return attached.tokens + text_tokens(
        data, _FRAME_BYTES + attached.base64_bytes, facts.tokenizer
    )
