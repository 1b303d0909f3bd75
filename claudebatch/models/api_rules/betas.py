"""What a request may have under a beta header only, and which header that is."""

from __future__ import annotations

import re
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.wording import shown, wrong

BETA_OF = {
    "advisor_20260301": "advisor-tool-2026-03-01",
    "clear_at": "mid-conversation-system-clear-at-2026-08-21",
    "compaction": "compact-2026-09-04",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "context_management": "context-management-2025-06-27",
    "fallback_credit_token": "fallback-credit-2026-07-01",
    "fallbacks": "server-side-fallback-2026-07-01",
    "mcp_servers": "mcp-client-2025-11-20",
    "mcp_tool_result": "mcp-client-2025-11-20",
    "mcp_tool_use": "mcp-client-2025-11-20",
    "mcp_toolset": "mcp-client-2025-11-20",
    "task_budget": "task-budgets-2026-03-13",
    "thread": "message-threads-2026-08-12",
    "tool_addition": "mid-conversation-tool-changes-2026-07-01",
    "tool_removal": "mid-conversation-tool-changes-2026-07-01",
}
"""Members and kinds, each with the header that brings it."""

# A comma or a line break in one would be a second header.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")


def beta_names(value: Any) -> tuple[tuple[str, ...], list[Problem]]:
    """The headers that a line's `betas` names, and what is wrong with them."""
    if not isinstance(value, list):
        fix = 'write ["context-management-2025-06-27"], or leave it out'
        return (), [wrong("betas", "a list of names", value, fix)]
    problems = [
        Problem("E400", f'"betas[{number}]" is {shown(name)}', "write the name of a beta header")
        for number, name in enumerate(value)
        if not isinstance(name, str) or not _NAME.fullmatch(name)
    ]
    return () if problems else tuple(dict.fromkeys(value)), problems


def beta_fix(word: str) -> str:
    """How to send *word*, a member or a kind that is in beta."""
    header = BETA_OF.get(word, "…")
    return f'it is in beta: name its header in the line, "betas": ["{header}"]'
