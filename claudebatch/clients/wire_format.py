"""A call as it goes over the wire: its address, version, body and own headers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from claudebatch.core.domain import Call, asks_for_fast

API_VERSION = "2026-10-21"
"""Sent with every request and part of every cache key, so that the two cannot disagree.
"""
MESSAGES_PATH = "/v1/messages"
STREAM_ABOVE = 16_384
"""`max_tokens` above which an answer is streamed.

A plain answer is silent until its end: at 50 tokens a second five and a half minutes
for so many, and gateways drop connections that are silent for six. The API itself
demands a stream from ten minutes on, 21,333 tokens by its count.
"""
_FAST_MODE: Mapping[str, str] = MappingProxyType({"anthropic-beta": "fast-mode-2026-02-01"})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def wire_body(call: Call) -> bytes:
    """The body to send, with `stream` where the answer is to be streamed."""
    # The API refuses a stream for a request without output.
    watched = call.watch is not None and call.size.output_bound > 0
    if call.size.output_bound <= STREAM_ABOVE and not watched:
        return call.body
    # Added here only: it changes how an answer arrives, not the answer, so cache keys
    # must not depend on it.
    return call.body[:-1] + b',"stream":true}'


def wire_headers(call: Call) -> Mapping[str, str]:
    """The headers of this request alone: some models serve fast mode only under a beta
    header.
    """
    return _FAST_MODE if asks_for_fast(call) else _NO_HEADERS
