"""Builds the call of a prompt: the route's model, the request's bytes, its size and its
deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from claudebatch.core.domain import Call, Prompt
from claudebatch.core.jsonl import encode
from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens import expected_input, measure
from claudebatch.routing.forced_answer import formed
from claudebatch.routing.remap import remap
from claudebatch.routing.router import Router
from claudebatch.routing.schema_order import ORDERED, in_schema_order


def request_body(model: str, params: Mapping[str, Any]) -> bytes:
    """The request as canonical JSON: equal requests have equal bytes, in any order of
    their fields.
    """
    # These bytes are the cache key and the duplicates' key: a field in another order
    # must not be paid for twice.
    if not ORDERED.isdisjoint(params):
        params = in_schema_order(params)
    return encode({**params, "model": model})


def token_estimator(catalog: Catalog, model: str) -> Callable[[Prompt], int]:
    """The measure of routing rules: tokens of one *model*, so that a limit means the
    same in each rule.
    """
    facts = catalog.facts(model)
    return lambda prompt: expected_input(
        prompt.params, request_body(facts.id, prompt.params), facts
    )


class CallBuilder:
    """Makes the calls of a run. Pure: the same prompt gives the same call."""

    def __init__(
        self,
        catalog: Catalog,
        router: Router,
        *,
        expected_output: int | None = None,
        deadline: Callable[[int], float],
    ) -> None:
        """*deadline*: seconds for an attempt, by its `max_tokens`."""
        self._catalog = catalog
        self._router = router
        self._expected_output = expected_output
        self._deadline = deadline

    def first(self, row: int, prompt: Prompt) -> Call:
        """The call to the model that *prompt* is routed to."""
        route = self._router.route(prompt)
        model = route.model
        facts = self._catalog.facts(model)
        params = formed(prompt.params, facts)
        body = request_body(model, params)
        size = measure(params, body, facts, expected_output=self._expected_output)
        return Call(
            row=row,
            prompt=prompt,
            route=route,
            model=model,
            body=body,
            size=size,
            deadline_s=self._deadline(size.output_bound),
        )

    def hop(self, call: Call, model: str) -> Call:
        """*call* for another *model*; raises `NotServed` where that model cannot serve
        it.
        """
        # From the prompt, not from the call's body: a second reroute must not inherit
        # the losses of the first translation.
        facts = self._catalog.facts(model)
        params = remap(call.prompt.params, facts)
        body = request_body(model, params)
        size = measure(params, body, facts, expected_output=self._expected_output)
        return replace(
            call, model=model, body=body, size=size, deadline_s=self._deadline(size.output_bound)
        )

    def instead(self, call: Call, params: Mapping[str, Any]) -> Call:
        """*call* to the same model with other *params*; raises `NotServed`."""
        facts = self._catalog.facts(call.model)
        # As its first request: one to the model of its route is sent as it is.
        rerouted = call.model != call.route.model
        params = remap(params, facts) if rerouted else formed(params, facts)
        body = request_body(call.model, params)
        size = measure(params, body, facts, expected_output=self._expected_output)
        return replace(call, body=body, size=size)
