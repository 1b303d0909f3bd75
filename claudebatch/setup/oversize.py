"""Requests that are too large for the API, or for every model that could answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.domain import Route
from claudebatch.core.errors import Problem
from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens import expected_input
from claudebatch.models.tokens.attachments import Attachments
from claudebatch.routing.request import request_body

MOST_BYTES = 32 * 1024 * 1024
"""The API's limit of a body, the same for everybody: above it, its edge answers 413."""

# The estimate is right within a third: only what is certainly too long is refused.
_CERTAIN = 1.5


class Oversize:
    """Measures only what could be too large: nearly all lines are far from it."""

    def __init__(self, catalog: Catalog, system: str | None) -> None:
        self._catalog = catalog
        # A token is a byte or more, and the defaults add to every line.
        added = len((system or "").encode())
        self.surely_fit = min(facts.context_window for facts in catalog) - added
        """A line of no more bytes is not too large, whatever it asks."""

    def problems(self, params: Mapping[str, Any], route: Route) -> Iterator[Problem]:
        """What is too large about a request."""
        body = request_body(route.model, params)
        if len(body) > MOST_BYTES:
            yield Problem(
                "E451",
                f"the request has {len(body) / 2**20:.1f} MB, the API takes {MOST_BYTES >> 20}",
                "shorten it, or send large files by file_id",
            )
            return
        # A fallback with a longer window may answer what the first model cannot read.
        chain = (route.model, *route.fallbacks)
        # Nobody knows what a model reads that has no facts.
        if not all(map(self._catalog.known, chain)):
            return
        models = [self._catalog.facts(model) for model in chain]
        widest = max(models, key=lambda facts: facts.context_window)
        if len(body) <= widest.context_window:
            return
        # The pages of a PDF are a guess by its bytes: only text is certain.
        tokens = expected_input(params, body, widest) - Attachments(params, widest).tokens
        if tokens > widest.context_window * _CERTAIN:
            yield Problem(
                "E452",
                f"the prompt has some {tokens:,} tokens of text, {widest.id} reads "
                f"{widest.context_window:,}",
                "shorten it, or split it",
            )
