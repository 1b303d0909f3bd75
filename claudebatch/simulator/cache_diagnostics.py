"""Where a request departs from an earlier one, for requests that ask with
`diagnostics.previous_message_id` why the prompt cache missed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from claudebatch.simulator import wire
from claudebatch.simulator.answers import ParsedRequest
from claudebatch.simulator.count_input import tokens_of, weigh
from claudebatch.simulator.prefixes import blocks, without_marks

# Of a rehearsal with a million of them; the API forgets after a while, too.
MAX_FINGERPRINTS = 10_000
_TURNS_COMPARED = 1_000
# Parameters beside model, tools, system prompt and messages that change the prompt.
_OTHERS = ("tool_choice", "thinking", "output_config", "context_management")


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    model: str
    tools: bytes
    system: bytes
    turns: tuple[bytes, ...]
    others: bytes


class CacheDiagnostics:
    """Remembers a fingerprint of each request that asks, under the id of its answer."""

    def __init__(self) -> None:
        # The oldest first; changed by `compare` only. Of an owner: others' requests are
        # not found.
        self._kept: OrderedDict[tuple[str, str], _Fingerprint] = OrderedDict()

    def compare(self, asked: ParsedRequest, message_id: str) -> wire.Body | None:
        """The answer's `diagnostics`: None where there is nothing to compare with, or
        nothing differs before the end of the earlier request.
        """
        now = _fingerprint(asked.body)
        self._kept[asked.owner, message_id] = now
        while len(self._kept) > MAX_FINGERPRINTS:
            self._kept.popitem(last=False)
        previous = (asked.body["diagnostics"] or {}).get("previous_message_id")
        if previous is None:
            return None
        before = self._kept.get((asked.owner, previous))
        if before is None:
            return {"cache_miss_reason": {"type": "previous_message_not_found"}}
        return _reason(before, now, asked)


def _reason(before: _Fingerprint, now: _Fingerprint, asked: ParsedRequest) -> wire.Body | None:
    parts = _weights(asked.body)
    if before.model != now.model:
        return _missed("model_changed", sum(parts), asked)
    if before.tools != now.tools:
        return _missed("tools_changed", sum(parts), asked)
    if before.system != now.system:
        return _missed("system_changed", sum(parts[1:]), asked)
    # After the system prompt: the API names such a change only where all else is equal.
    if before.others != now.others:
        return {"cache_miss_reason": {"type": "unavailable"}}
    for number, turn in enumerate(before.turns):
        if number >= len(now.turns) or now.turns[number] != turn:
            return _missed("messages_changed", sum(parts[2 + number :]), asked)
    return None


def _missed(kind: str, weight: int, asked: ParsedRequest) -> wire.Body:
    tokens = tokens_of(weight, asked.traits)
    return {"cache_miss_reason": {"type": kind, "cache_missed_input_tokens": tokens}}


def _weights(body: wire.Body) -> list[int]:
    """The bytes of tools, system prompt, and each message."""
    tools = sum(len(wire.encode(tool)) for tool in body.get("tools") or ())
    return [tools, weigh(body.get("system")), *(weigh(one["content"]) for one in body["messages"])]


def _fingerprint(body: wire.Body) -> _Fingerprint:
    turns = (
        [one["role"], [without_marks(block) for block in blocks(one["content"])]]
        for one in body["messages"][:_TURNS_COMPARED]
    )
    return _Fingerprint(
        model=body["model"],
        tools=_digest([without_marks(tool) for tool in body.get("tools") or ()]),
        system=_digest([without_marks(block) for block in blocks(body.get("system") or ())]),
        turns=tuple(_digest(turn) for turn in turns),
        others=_digest([body.get(name) for name in _OTHERS]),
    )


def _digest(value: Any) -> bytes:
    return wire.digest(wire.canonical(value))
