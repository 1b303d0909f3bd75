"""What keeps the cost of a request from having an upper bound, which a cap needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import Problem
from claudebatch.models.prices import PriceBook
from claudebatch.models.tokens import unbounded_tools

# Each makes the API ask a model again, or another one, within one request.
_ASKS_AGAIN = ("compaction", "fallbacks")
_FIX = "remove it, or run without a budget"


def uncappable(prompt: Prompt, model: str, prices: PriceBook) -> tuple[Problem, ...]:
    """The members of *prompt*, sent to *model*, without a bound on their cost."""
    params = prompt.params
    # Most rows have none of these: they are not looked at twice.
    if not ("tools" in params or "speed" in params or prompt.betas):
        return ()
    return (
        *_tools(params),
        *_unpriced_speed(params, model, prices),
        *(_betas(params) if prompt.betas else ()),
    )


def _tools(params: Mapping[str, Any]) -> Iterator[Problem]:
    for name in unbounded_tools(params):
        # The tools of a server elsewhere know no such member.
        fix = _FIX if name == "mcp_toolset" else 'give it "max_uses"'
        yield Problem("E453", f'with a budget, the tool "{name}" needs a limit on its uses', fix)


def _unpriced_speed(params: Mapping[str, Any], model: str, prices: PriceBook) -> Iterator[Problem]:
    if params.get("speed") == "fast" and prices.knows(model) and not prices.knows_fast(model):
        yield Problem(
            "E454",
            f"with a budget, fast mode of {model} needs a price, and none is known",
            f'remove "speed", or add prices.{model}.fast to the configuration',
        )


def _betas(params: Mapping[str, Any]) -> Iterator[Problem]:
    for name in _ASKS_AGAIN:
        if params.get(name) is not None:
            yield Problem(
                "E455", f'with a budget, "{name}" is refused: its cost has no upper limit', _FIX
            )
    context = params.get("context_management")
    edits = context.get("edits") if isinstance(context, dict) else None
    for edit in edits if isinstance(edits, list) else ():
        if isinstance(edit, dict) and str(edit.get("type")).startswith("compact"):
            reason = (
                'with a budget, "context_management" that compacts is refused: its cost '
                "has no upper limit"
            )
            yield Problem("E456", reason, _FIX)
