"""Requests without output, which only fill the prompt cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem


def pre_warming(params: Mapping[str, Any]) -> Iterator[Problem]:
    """What the API refuses beside `max_tokens` 0."""
    if params.get("max_tokens") != 0:
        return
    config, choice = params.get("output_config"), params.get("tool_choice")
    thinking = params.get("thinking")
    clashes = {
        '"output_config.format"': type(config) is dict and config.get("format") is not None,
        'a forced "tool_choice"': type(choice) is dict and choice.get("type") in ("any", "tool"),
        '"thinking" of type enabled': type(thinking) is dict and thinking.get("type") == "enabled",
    }
    for name, there in clashes.items():
        if there:
            yield Problem(
                "E409", f'"max_tokens" is 0 beside {name}', "remove it: nothing is answered"
            )
