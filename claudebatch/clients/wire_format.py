"""A call as it goes over the wire: its address, version, body and own headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
BETA_HEADER = "anthropic-beta"
_FAST_MODE = "fast-mode-2026-02-01"
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


def wire_headers(call: Call, everywhere: Sequence[str] = ()) -> Mapping[str, str]:
    """The headers of this request alone: its betas, joined with those that the user
    sends *everywhere*. Some models serve fast mode only under one.
    """
    own = (*call.prompt.betas, _FAST_MODE) if asks_for_fast(call) else call.prompt.betas
    if not own:
        return _NO_HEADERS
    # A header of the request replaces the client's of the same name.
    return {BETA_HEADER: ",".join(dict.fromkeys((*everywhere, *own)))}


def names_of(header: str) -> tuple[str, ...]:
    """The betas that a header names."""
    return tuple(name for part in header.split(",") if (name := part.strip()))
