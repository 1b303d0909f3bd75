"""Reads the bytes of a request into a checked and counted one, or raises the API's
refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claudebatch.simulator import wire
from claudebatch.simulator.adversary import at_its_dearest, most_input
from claudebatch.simulator.answers import ParsedRequest
from claudebatch.simulator.checks import VERSIONS, check_for_model, check_length, check_shape
from claudebatch.simulator.count_input import count_input
from claudebatch.simulator.directives import read_directives
from claudebatch.simulator.http import Request
from claudebatch.simulator.promptcache import NO_CACHE, CacheUse, PromptCache
from claudebatch.simulator.refusals import RefusedRequest, bad
from claudebatch.simulator.traits import MODELS, NEWEST, Traits

REFUSED_KEY = "invalid"
_INVALID = 400
"""The only key that is refused, for tests of refused accounts."""


class RequestReader:
    """Reads requests as the API of 2026-10-21 does."""

    def __init__(
        self,
        *,
        seed: int,
        cache: PromptCache,
        known: Callable[[str], bool] | None,
        adversarial: bool = False,
    ) -> None:
        self._seed = seed
        self._adversarial = adversarial
        self._cache = cache
        self._known = known
        # Set from outside, by tests that inspect each decoded Messages body.
        self.on_request: Callable[[dict[str, Any]], None] | None = None

    def read(self, request: Request, now: float) -> ParsedRequest:
        """The question of a Messages request; raises `RefusedRequest`."""
        version = check_access(request)
        decoded = _decode(request.body)
        if self.on_request is not None and isinstance(decoded, dict):
            self.on_request(decoded)
        body = check_shape(decoded, betas=_betas(request))
        traits = self._traits(body["model"])
        check_for_model(body, traits, version)
        tokens = count_input(body, traits)
        check_length(tokens, traits)
        asked = ParsedRequest(
            body=body,
            model=body["model"],
            traits=traits,
            digest=self._digest(body),
            directives=read_directives(request.body),
            input_tokens=tokens,
            cache=self._cache_use(request, body, traits, now),
            started=now,
            owner=owner_of(request),
        )
        return at_its_dearest(asked) if self._adversarial else asked

    def count(self, request: Request) -> int:
        """The input tokens of a count_tokens request; raises `RefusedRequest`."""
        version = check_access(request)
        body = check_shape(_decode(request.body), counting=True, betas=_betas(request))
        traits = self._traits(body["model"])
        check_for_model(body, traits, version)
        # What is no valid request cannot be counted either; other errors come later.
        if read_directives(request.body).error == _INVALID:
            raise RefusedRequest(_INVALID)
        return most_input(body) if self._adversarial else count_input(body, traits)

    def _traits(self, model: str) -> Traits:
        traits = MODELS.get(model)
        # Models that the bundled catalogue knows and this table does not yet: a
        # rehearsal with a new model should not need a new simulator.
        if traits is None and self._known is not None and self._known(model):
            return NEWEST
        if traits is None:
            raise RefusedRequest(404, f"model: {model}")
        return traits

    def _digest(self, body: wire.Body) -> bytes:
        """The hash of the question without `stream`: streamed and plain requests have
        the same answer.
        """
        question = (
            {name: value for name, value in body.items() if name != "stream"}
            if "stream" in body
            else body
        )
        return wire.digest(wire.canonical(question), seed=self._seed)

    def _cache_use(self, request: Request, body: wire.Body, traits: Traits, now: float) -> CacheUse:
        # Most requests cache nothing: a search of their bytes saves the walk through
        # all blocks.
        if b'"cache_control"' not in request.body:
            return NO_CACHE
        return self._cache.use(body, traits, now, owner_of(request))


def owner_of(request: Request) -> str:
    """What tells the workspace of a request from others, without its key: caches are
    not shared between them. Beta headers count as well, for they change the prompt.
    """
    key = request.headers.get("authorization", "").encode()
    workspace = request.headers.get("anthropic-workspace-id", "")
    return f"{wire.digest(key).hex()} {workspace} {sorted(_betas(request))}"


def check_access(request: Request) -> str:
    """The API version of a request with a credential; raises a 401 or 400."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    # Checked before the body, as the API does: a wrong key is a 401 whatever the
    # request says.
    if kind.lower() != "bearer" or not key.strip():
        raise RefusedRequest(401, "Authorization header is required: Bearer, and the API key")
    if key.strip() == REFUSED_KEY:
        raise RefusedRequest(401)
    version = request.headers.get("anthropic-version")
    if version is None:
        raise bad("anthropic-version: header is required")
    if version not in VERSIONS:
        raise bad(f'anthropic-version: "{version}" is not a valid version')
    return version


def _betas(request: Request) -> tuple[str, ...]:
    names = request.headers.get("anthropic-beta", "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def list_models() -> wire.Body:
    """All models, on one page."""
    data = [describe_model(model) for model in MODELS]
    return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}


def describe_model(model: str) -> wire.Body:
    """The answer to `GET /v1/models/{id}`; raises a 404."""
    traits = MODELS.get(model)
    if traits is None:
        raise RefusedRequest(404, f"model: {model}")
    return {
        "type": "model",
        "id": model,
        "display_name": model.replace("-", " ").title() + " (simulated)",
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": traits.context_tokens,
        "max_tokens": traits.output_tokens,
    }


def _decode(data: bytes) -> Any:
    try:
        return wire.decode(data)
    except wire.NotJson as error:
        raise bad(f"The request body is not valid JSON: {error}") from error
