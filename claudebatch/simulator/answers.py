"""Answers: valid Messages with text and usage derived from the request alone, so that a
repeated rehearsal gives the same results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claudebatch.core.domain import BILLED_KINDS, Usage
from claudebatch.simulator import wire
from claudebatch.simulator.count_input import forces_tool
from claudebatch.simulator.directives import Directives
from claudebatch.simulator.promptcache import CacheUse
from claudebatch.simulator.schemas import instance_of
from claudebatch.simulator.traits import Traits

SHORTEST, LONGEST = 60, 400
"""Output tokens of an ordinary answer."""
CHARACTERS_PER_TOKEN = 3
LONGEST_TEXT = 20_000
"""Characters of the longest text. `usage` still counts all tokens; a rehearsal with
`max_tokens` in the hundred thousands would otherwise move gigabytes.
"""
QUOTED = 48
REFUSAL_TOKENS, EMPTY_TOKENS = 5, 9

# No closed object has such a member.
_UNFIT = {"simulated: does not fit": None}
_FILLER = (
    "This sentence only fills the space that a real answer would take, and is the same for every "
    "prompt of "
    "this length. Nobody thought about your question; the tokens are counted as if somebody had. "
)
_FILLING = _FILLER * (LONGEST_TEXT // len(_FILLER) + 1)


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A Messages request after reading, checks and counting."""

    body: wire.Body
    model: str
    traits: Traits
    digest: bytes
    """Hash of the canonical body without `stream`: equal questions have equal hashes.
    """
    directives: Directives
    input_tokens: int
    """All input tokens, cached or not."""
    cache: CacheUse
    started: float
    owner: str = ""
    """Whose prompt cache it uses."""

    @property
    def stream(self) -> bool:
        """Whether the client wants server-sent events."""
        return bool(self.body.get("stream"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A Message and its billed usage."""

    message: wire.Body
    usage: Usage


@dataclass(frozen=True, slots=True)
class _Ending:
    content: list[wire.Body]
    stop_reason: str
    output_tokens: int
    stop_sequence: str | None = None
    stop_details: wire.Body | None = None


def compose(asked: ParsedRequest, number: int, *, use_all: bool, invalid: bool = False) -> Answer:
    """The answer to *asked*, as the *number*-th of this simulator; *use_all* spends all
    of `max_tokens`, an *invalid* one does not fit the schema that is asked for.
    """
    ending = _ending(asked, use_all=use_all, invalid=invalid)
    thinking = _thinking(asked, ending)
    usage = Usage(
        input_tokens=max(
            0,
            asked.input_tokens - asked.cache.read - asked.cache.written_5m - asked.cache.written_1h,
        ),
        output_tokens=ending.output_tokens,
        ephemeral_5m_input_tokens=asked.cache.written_5m,
        ephemeral_1h_input_tokens=asked.cache.written_1h,
        cache_read_input_tokens=asked.cache.read,
        inference_geo=asked.body.get("inference_geo") or asked.traits.geo,
        speed=asked.body.get("speed"),
    )
    message: wire.Body = {
        "model": asked.model,
        # The number makes ids differ between two answers to one question: equal ids
        # would hide a request that was paid twice.
        "id": f"msg_sim_{asked.digest.hex()[:12]}{number:010x}",
        "type": "message",
        "role": "assistant",
        "content": [*thinking, *ending.content],
        "stop_reason": ending.stop_reason,
        "stop_sequence": ending.stop_sequence,
        "stop_details": ending.stop_details,
        "usage": usage_json(usage, ending.output_tokens // 5 if thinking else 0),
    }
    return Answer(message, usage)


def usage_json(usage: Usage, thinking_tokens: int) -> wire.Body:
    """*usage* under the API's names, in the API's order."""
    counted: wire.Body = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation": {
            kind.name: getattr(usage, kind.name)
            for kind in BILLED_KINDS
            if kind.group == "cache_creation"
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": thinking_tokens},
        "service_tier": "standard",
        "inference_geo": usage.inference_geo,
    }
    if usage.speed is not None:
        counted["speed"] = usage.speed
    return counted


def _ending(asked: ParsedRequest, *, use_all: bool, invalid: bool) -> _Ending:
    limit: int = asked.body["max_tokens"]
    if asked.directives.refusal:
        return _Ending([], "refusal", min(REFUSAL_TOKENS, limit), stop_details=_REFUSAL)
    # `max_tokens: 0` only fills the prompt cache: the API answers without content, and
    # bills no output.
    if limit == 0:
        return _Ending([], "max_tokens", 0)
    if asked.directives.empty:
        return _Ending([], "end_turn", min(EMPTY_TOKENS, limit))
    wanted = _wanted(asked, limit)
    if use_all or asked.directives.max_tokens or wanted > limit:
        return _Ending([_text_block(asked, limit)], "max_tokens", limit)
    return _complete(asked, wanted, invalid=invalid)


def _wanted(asked: ParsedRequest, limit: int) -> int:
    if asked.directives.tokens is not None:
        return max(1, asked.directives.tokens)
    # From the digest: lengths vary like real ones, and yet repeat with the question.
    return SHORTEST + int.from_bytes(asked.digest[:4], "big") % (LONGEST - SHORTEST + 1)


def _complete(asked: ParsedRequest, tokens: int, *, invalid: bool) -> _Ending:
    """An answer that is complete within max_tokens."""
    if forces_tool(asked.body) and asked.body.get("tools"):
        return _Ending([_tool_block(asked, invalid=invalid)], "tool_use", tokens)
    output_format = (asked.body.get("output_config") or {}).get("format")
    if isinstance(output_format, dict) and output_format.get("type") == "json_schema":
        instance = _UNFIT if invalid else instance_of(output_format.get("schema"))
        value = wire.encode(instance).decode()
        return _Ending([{"type": "text", "text": value}], "end_turn", tokens)
    block = _text_block(asked, tokens)
    stop = _first_stop(block["text"], asked.body.get("stop_sequences") or ())
    if stop is None:
        return _Ending([block], "end_turn", tokens)
    # The API leaves the stop sequence itself out of the text.
    before = block["text"][: block["text"].find(stop)]
    produced = max(1, min(tokens, len(before) // CHARACTERS_PER_TOKEN))
    return _Ending(
        [{"type": "text", "text": before}] if before else [],
        "stop_sequence",
        produced,
        stop_sequence=stop,
    )


def _first_stop(text: str, stops: Any) -> str | None:
    places = [(text.find(stop), stop) for stop in stops if stop in text]
    return min(places)[1] if places else None


def _text_block(asked: ParsedRequest, tokens: int) -> wire.Body:
    start = f"Simulated answer {asked.digest.hex()[:8]} to “{_question(asked.body)}”. "
    length = min(tokens * CHARACTERS_PER_TOKEN, LONGEST_TEXT)
    return {"type": "text", "text": start + _FILLING[: max(0, length - len(start))]}


def _question(body: wire.Body) -> str:
    """The first words of the last message."""
    content = body["messages"][-1]["content"]
    if isinstance(content, list):
        content = next(
            (block["text"] for block in content if block["type"] == "text"), content[0]["type"]
        )
    words = " ".join(content[: 2 * QUOTED].split())
    return words if len(words) <= QUOTED else words[:QUOTED] + "…"


def _tool_block(asked: ParsedRequest, *, invalid: bool) -> wire.Body:
    tools = asked.body["tools"]
    wanted = asked.body["tool_choice"].get("name", tools[0].get("name"))
    schema = next((tool.get("input_schema") for tool in tools if tool.get("name") == wanted), None)
    value = _UNFIT if invalid else instance_of(schema)
    identity = f"toolu_sim_{asked.digest.hex()[:20]}"
    return {
        "type": "tool_use",
        "id": identity,
        "name": wanted,
        "input": value if isinstance(value, dict) else {},
    }


def _thinking(asked: ParsedRequest, ending: _Ending) -> list[wire.Body]:
    """The empty thinking block at the start of a thinking model's answer, unless the
    answer has no content.
    """
    request = asked.body.get("thinking")
    # Newer models think unless they are told not to: clients must expect this block.
    on = asked.traits.thinks if request is None else request.get("type") != "disabled"
    if not on or not ending.content:
        return []
    return [{"type": "thinking", "thinking": "", "signature": f"c2ltdWxhdGVk{asked.digest.hex()}"}]


_REFUSAL: wire.Body = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "Refused because the prompt asked the simulator to refuse.",
}
