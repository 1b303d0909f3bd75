"""The input tokens of a request, derived from its bytes, so that equal requests always
have the same count.
"""

from __future__ import annotations

from typing import Any

from claudebatch.simulator import wire
from claudebatch.simulator.traits import Traits

FRAME_BYTES = 20
"""Bytes for the frame around a prompt: about eight tokens."""
# Fixed weights: neither images nor documents are decoded here, and a rehearsal needs
# the same count for the same request, not the right one.
IMAGE_BYTES = 4_000
DOCUMENT_BYTES = 12_000


def count_input(body: wire.Body, traits: Traits) -> int:
    """Every input token of a request, cached or not."""
    weight = FRAME_BYTES + weigh(body.get("system"))
    for message in body["messages"]:
        weight += weigh(message["content"])
    tools = body.get("tools")
    hidden = 0
    if tools:
        weight += sum(len(wire.encode(tool)) for tool in tools)
        hidden = traits.tool_tokens[forces_tool(body)]
    output_format = (body.get("output_config") or {}).get("format")
    if output_format:
        weight += len(wire.encode(output_format))
    return hidden + tokens_of(weight, traits)


def tokens_of(weight: int, traits: Traits) -> int:
    """The tokens of *weight* bytes."""
    return int(weight / traits.bytes_per_token)


def forces_tool(body: wire.Body) -> bool:
    """Whether the request forces the model to call a tool."""
    choice = body.get("tool_choice")
    return isinstance(choice, dict) and choice.get("type") in ("any", "tool")


def weigh(content: Any) -> int:
    """The bytes of text in a content string, a block, or a list of blocks."""
    if isinstance(content, str):
        # Bytes, because text beyond ASCII costs more tokens for a character.
        return len(content) if content.isascii() else len(content.encode())
    if isinstance(content, list):
        return sum(weigh(block) for block in content)
    return _weigh_block(content) if isinstance(content, dict) else 0


def _weigh_block(block: wire.Body) -> int:
    match block.get("type"):
        case "text":
            return weigh(block.get("text"))
        case "thinking":
            return weigh(block.get("thinking"))
        case "tool_result":
            return weigh(block.get("content"))
        case "image":
            return IMAGE_BYTES
        case "document":
            return _weigh_document(block.get("source"))
    return len(wire.encode(block))


def _weigh_document(source: Any) -> int:
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        return weigh(source.get("data") or source.get("content"))
    return DOCUMENT_BYTES
