"""Chooses the model of each prompt: its own, else the command's, else that of the first
matching rule, else the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from claudebatch.core.domain import Prompt, Route
from claudebatch.routing.prompt_view import PromptView
from claudebatch.routing.rules import Rule


class Router:
    """Decides every route, purely.

    The most specific choice wins: a line with its own model keeps it even under
    `--model` (*override*), because the author of the line knew the prompt. Rules apply
    only without either.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        default_model: str,
        *,
        fallbacks: Mapping[str, Sequence[str]],
        override: str | None = None,
        estimate_tokens: Callable[[Prompt], int],
        resolve: Callable[[str], str] = str,
    ) -> None:
        """All models but those of lines are full names; *resolve* makes those so."""
        self._fallbacks = {model: _chain(model, chain) for model, chain in fallbacks.items()}
        self._estimate = estimate_tokens
        self._resolve = resolve
        # Routes are made once: a million prompts share a handful of them.
        self._rules = tuple((rule.when, self._to(rule.model, rule.name)) for rule in rules)
        self._default = self._to(default_model, "default")
        self._override = None if override is None else self._to(override, "--model")

    @property
    def models(self) -> tuple[str, ...]:
        """Every model of rules, default, override and fallback chains, each once."""
        routes = [
            *(route for _, route in self._rules),
            self._default,
            *([self._override] if self._override else []),
        ]
        # Chains too: their prices and limits must be known before the first row needs
        # them.
        chains = (model for pair in self._fallbacks.items() for model in (pair[0], *pair[1]))
        return tuple(dict.fromkeys((*(route.model for route in routes), *chains)))

    @property
    def first_choices(self) -> tuple[str, ...]:
        """The models of routes, without those of fallback chains alone, each once."""
        if self._override is not None:
            return (self._override.model,)
        return tuple(
            dict.fromkeys((*(route.model for _, route in self._rules), self._default.model))
        )

    def route(self, prompt: Prompt) -> Route:
        """The route of *prompt*. Its tokens are estimated at most once, and only for a
        rule with a condition on them.
        """
        if prompt.model is not None:
            return self._to(self._resolve(prompt.model), "line")
        if self._override is not None:
            return self._override
        if self._rules:
            view = PromptView(prompt, self._estimate)
            for when, route in self._rules:
                if when(view):
                    return route
        return self._default

    def _to(self, model: str, rule: str) -> Route:
        return Route(model, rule, self._fallbacks.get(model, ()))


def _chain(model: str, fallbacks: Sequence[str]) -> tuple[str, ...]:
    # A model that follows itself would be asked again right after it was given up.
    return tuple(dict.fromkeys(other for other in fallbacks if other != model))
