"""The tokens that tools add to a request: hidden prompts, and the loop of a server
tool, which reads the whole prompt again.

The API itself runs web search, web fetch, code execution and tool search in a loop
within one request. Every round counts the prompt again, together with all results so
far. Their size is unknown beforehand, so a round is bounded by the whole context
window. Only `max_uses` bounds the number of rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claudebatch.models.catalog import ModelFacts

UNLIMITED_USES = 100
"""Used for a missing `max_uses`, and no bound: `unbounded_tools` names such tools, for
a cap to refuse.
"""

# Anthropic's own tools that the caller runs. Unknown types count as server tools, the
# more expensive kind, so that a bound is never too low.
_CLIENT_TYPES = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
_CLIENT_TOOL_TOKENS = 700
_CLIENT_TOOL_BOUND = 8_000
# More than twice the largest hidden tool prompt on record (804); those of the 5.5
# models are not published.
_OVERHEAD_BOUND = 2_000
# A usual round of search results or a fetched page.
_SERVER_TOOL_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class ToolSize:
    """The addition of a request's tools to its input."""

    tokens: int = 0
    bound: int = 0
    rounds: int = 1
    """The most readings of the prompt: 1 without server tools."""
    web_searches: int = 0


NO_TOOLS = ToolSize()


def tool_size(params: Mapping[str, Any], facts: ModelFacts) -> ToolSize:
    """The size of `tools` and `tool_choice`."""
    tools = [tool for tool in params.get("tools") or () if isinstance(tool, dict)]
    if not tools:
        return NO_TOOLS
    client = sum(1 for tool in tools if str(tool.get("type", "")).startswith(_CLIENT_TYPES))
    server = [tool for tool in tools if _is_server_tool(tool)]
    choice = params.get("tool_choice")
    forced = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    overhead = facts.forced_tool_overhead if forced else facts.tool_overhead
    return ToolSize(
        tokens=overhead + client * _CLIENT_TOOL_TOKENS + len(server) * _SERVER_TOOL_TOKENS,
        bound=max(_OVERHEAD_BOUND, overhead) + client * _CLIENT_TOOL_BOUND,
        rounds=1 + sum(_uses(tool) for tool in server),
        web_searches=sum(
            _uses(tool) for tool in server if str(tool["type"]).startswith("web_search")
        ),
    )


def unbounded_tools(params: Mapping[str, Any]) -> list[str]:
    """The names of server tools without a bound: under a cap they need a `max_uses`."""
    tools: Sequence[Any] = params.get("tools") or ()
    return [
        str(tool.get("name") or tool["type"])
        for tool in tools
        if isinstance(tool, dict) and _is_server_tool(tool) and _max_uses(tool) is None
    ]


def has_server_tools(params: Mapping[str, Any]) -> bool:
    """Whether the API itself runs one of the tools; unknown types count as such."""
    return any(
        isinstance(tool, dict) and _is_server_tool(tool) for tool in params.get("tools") or ()
    )


def _is_server_tool(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    return kind is not None and kind != "custom" and not str(kind).startswith(_CLIENT_TYPES)


def _uses(tool: Mapping[str, Any]) -> int:
    uses = _max_uses(tool)
    return UNLIMITED_USES if uses is None else uses


def _max_uses(tool: Mapping[str, Any]) -> int | None:
    uses = tool.get("max_uses")
    return uses if type(uses) is int and uses >= 0 else None
