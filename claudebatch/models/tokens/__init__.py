"""How many tokens a request takes, told offline: what to expect, and what it cannot
pass.

`measure` gives both. The expected numbers steer the pace and the estimate; the bounds
steer the budget, so they are true upper bounds or the request is named by
`unbounded_tools`.
"""

from claudebatch.models.tokens.size import expected_input, measure
from claudebatch.models.tokens.text import token_ratio
from claudebatch.models.tokens.tools import unbounded_tools

__all__ = ["expected_input", "measure", "token_ratio", "unbounded_tools"]
