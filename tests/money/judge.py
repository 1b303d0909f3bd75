"""A simulated API whose bill is the published price list, added up apart from anything
that the program computes.
"""

from __future__ import annotations

from typing import Any

from claudebatch.core.domain import Pico, Usage
from tests.e2e.served import Served
from tests.models.prices.published import PUBLISHED, dollars


class Judge(Served):
    """Bills every request that it works on by the published table; a model that is not
    in it, nothing.
    """

    def __init__(self, **settings: Any) -> None:
        # Mutable: what was billed, in the order of the requests. Before the thread of
        # the server starts.
        self.billed: list[tuple[str, Usage, Pico]] = []
        super().__init__(**settings)

    def _bill(self, model: str, usage: Usage) -> Pico:
        if model not in PUBLISHED:
            return 0
        exact = dollars(model, as_the_api_writes(usage)) * 10**12
        pico = int(exact)
        assert pico == exact, (
            "every published price, halved and a tenth dearer, is a whole number of pico-dollars"
        )
        self.billed.append((model, usage, pico))
        return pico


def as_the_api_writes(usage: Usage) -> dict[str, Any]:
    """*usage* as the JSON of an answer has it."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.ephemeral_5m_input_tokens,
            "ephemeral_1h_input_tokens": usage.ephemeral_1h_input_tokens,
        },
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "server_tool_use": {"web_search_requests": usage.web_search_requests},
        "service_tier": usage.service_tier,
        "inference_geo": usage.inference_geo,
        "speed": usage.speed,
    }


# As the ledger's table has them, and not from the program's own table of kinds.
_COLUMNS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_write_5m_tokens": "ephemeral_5m_input_tokens",
    "cache_write_1h_tokens": "ephemeral_1h_input_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "web_searches": "web_search_requests",
    "geo": "inference_geo",
    "speed": "speed",
    "tier": "service_tier",
}
COUNTED = ", ".join(_COLUMNS)
"""The columns of the ledger that tell the usage of an attempt."""


def usage_of(*counted: Any) -> Usage:
    """The usage that the columns `COUNTED` tell."""
    return Usage(**dict(zip(_COLUMNS.values(), counted, strict=True)))
