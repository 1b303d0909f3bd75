"""Places where requests may be served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.wording import shown

# A test holds them against the SDK's own list for workspaces.
GEOGRAPHIES = ("global", "us")


def geography(params: Mapping[str, Any]) -> Iterator[Problem]:
    """An `inference_geo` that is none."""
    geo = params.get("inference_geo")
    if type(geo) is str and geo not in GEOGRAPHIES:
        yield Problem(
            "E408",
            f'"inference_geo" is {shown(geo)}',
            f"use one of {', '.join(GEOGRAPHIES)}, or leave it out",
        )
