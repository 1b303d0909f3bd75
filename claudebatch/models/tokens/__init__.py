"""The tokens of a request, computed offline: expected numbers and upper bounds.

`measure` gives both. The expected numbers serve the rate limiter and the estimate; the
bounds serve the budget, so they are true upper bounds, except for requests that
`unbounded_tools` names.
"""

from claudebatch.models.tokens.size import expected_input, measure
from claudebatch.models.tokens.text import token_ratio
from claudebatch.models.tokens.tools import unbounded_tools

__all__ = ["expected_input", "measure", "token_ratio", "unbounded_tools"]
