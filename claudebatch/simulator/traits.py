"""The parameters that each model accepts, and its default behaviour.

Kept apart from the product's own model catalogue on purpose: the simulator shows where
that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Traits:
    """One model's behaviour. The defaults are those of the newest models."""

    thinks: bool = True
    """Whether an empty thinking block comes first when the request says nothing of
    thinking.
    """
    thinking: frozenset[str] = frozenset({"adaptive"})
    """Accepted values of `thinking.type`."""
    efforts: frozenset[str] = frozenset({"low", "medium", "high", "xhigh", "max"})
    """Accepted values of `output_config.effort`."""
    effort_capped: bool = False
    """Whether thinking less than adaptively is refused together with an effort above
    high.
    """
    prefill: bool = False
    forced_tools: bool = False
    sampling: bool = False
    """Whether other than default sampling parameters are accepted under the API version
    of 2023.
    """
    context_tokens: int = 1_000_000
    output_tokens: int = 128_000
    cacheable_tokens: int = 512
    """Tokens of the shortest prefix in the prompt cache."""
    bytes_per_token: float = 2.6
    tool_tokens: tuple[int, int] = (290, 410)
    """Hidden input tokens of a request with tools: tool_choice auto or none, any or
    tool.
    """
    geo: str = "global"
    system_turns: bool = True
    """Whether system messages may stand within a conversation."""
    fast: bool = False
    refused_tools: frozenset[str] = frozenset()


NEWEST = Traits()
_SWITCHABLE = frozenset({"adaptive", "disabled"})
_4_8 = Traits(thinks=False, thinking=_SWITCHABLE, forced_tools=True, cacheable_tokens=1024)
# Its fast mode ended on 2026-11-30.
_4_7 = replace(_4_8, cacheable_tokens=2048, tool_tokens=(675, 804), system_turns=False)
_4_6 = replace(
    _4_8,
    efforts=frozenset({"low", "medium", "high", "max"}),
    system_turns=False,
    thinking=_SWITCHABLE | {"enabled"},
    sampling=True,
    bytes_per_token=3.3,
    tool_tokens=(497, 589),
)
_4_5 = replace(
    _4_6,
    thinking=frozenset({"enabled", "disabled"}),
    tool_tokens=(496, 588),
    prefill=True,
    context_tokens=200_000,
    output_tokens=64_000,
    geo="not_available",
)
_SONNET_4_5 = replace(_4_5, efforts=frozenset())
_HAIKU_4_5 = replace(_SONNET_4_5, cacheable_tokens=4096)
_OPUS_4_5 = replace(_4_5, cacheable_tokens=4096, efforts=frozenset({"low", "medium", "high"}))
_FAST = replace(NEWEST, fast=True)
# The computer tool of 2025 has ended with these; the toolset of 2026 took its place.
_NO_OLD_COMPUTER = frozenset({"computer_20251124"})

# From the documentation of each model and recorded refusals. A model that is too
# tolerant here would pass a rehearsal and fail every row at the API.
MODELS: dict[str, Traits] = {
    "claude-fable-5-2": replace(_FAST, refused_tools=_NO_OLD_COMPUTER),
    "claude-mythos-5-2": replace(_FAST, refused_tools=_NO_OLD_COMPUTER),
    "claude-haiku-5-5": replace(
        NEWEST, thinking=_SWITCHABLE, forced_tools=True, effort_capped=True
    ),
    "claude-sonnet-5-5": replace(
        NEWEST,
        thinking=frozenset({"adaptive", "between_tools"}),
        effort_capped=True,
        refused_tools=_NO_OLD_COMPUTER,
    ),
    "claude-opus-5-5": _FAST,
    "claude-fable-5-1": NEWEST,
    "claude-mythos-5-1": NEWEST,
    "claude-opus-5": replace(_FAST, thinking=_SWITCHABLE, forced_tools=True, effort_capped=True),
    "claude-sonnet-5": replace(
        NEWEST,
        system_turns=False,
        thinking=_SWITCHABLE,
        forced_tools=True,
        cacheable_tokens=1024,
        tool_tokens=(354, 474),
    ),
    "claude-fable-5": replace(NEWEST, forced_tools=True),
    "claude-mythos-5": replace(NEWEST, forced_tools=True),
    "claude-opus-4-8": _4_8,
    "claude-opus-4-7": _4_7,
    "claude-opus-4-6": replace(_4_6, cacheable_tokens=4096),
    "claude-sonnet-4-6": _4_6,
    "claude-haiku-4-5": _HAIKU_4_5,
    "claude-haiku-4-5-20251001": _HAIKU_4_5,
    "claude-opus-4-5": _OPUS_4_5,
    "claude-opus-4-5-20251101": _OPUS_4_5,
    "claude-sonnet-4-5": _SONNET_4_5,
    "claude-sonnet-4-5-20250929": _SONNET_4_5,
}
