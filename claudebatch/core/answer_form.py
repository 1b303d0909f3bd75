"""The form that a row's answer is wanted in: a JSON schema of its request, or what is
to be found in its prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from claudebatch.core.frozen import value

ANSWER_TOOL: Final = "structured_answer"
"""The tool that a model is forced to call where it takes no schema for its text."""


def schema_of(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema that the answer to a request with *params* has to fit, if there is
    one.
    """
    if "output_config" not in params:
        return None
    config = params["output_config"]
    wanted = config.get("format") if isinstance(config, dict) else None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    schema = wanted.get("schema")
    return schema if isinstance(schema, dict) else None


def with_schema(params: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """*params*, whose answer has to fit *schema*."""
    config = params.get("output_config") or {}
    return {
        **params,
        "output_config": {**config, "format": {"type": "json_schema", "schema": schema}},
    }


@value
class AnswerReading:
    """What an answer holds of the form that was wanted."""

    value: bytes | None = None
    """As compact JSON; None: there is none."""
    fault: str = ""
    """Why there is none, where the answer is whole; empty: there is one, or the answer
    was refused or cut off.
    """


@value
class UnfitAnswers:
    """The answers of a row that came whole and did not fit its schema."""

    last: bytes
    """The message of the last one."""
    fault: str
    """Why that one does not fit."""
    times: int
    cost: int = 0
    """Of all of them, in pico-dollars."""
    cost_known: bool = True
