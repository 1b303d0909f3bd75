"""What the API takes in a request, known before anything is sent.

`data/request_types.json` holds the parameter types of the official SDK, read from it at
build time (`python -m tests.models.api_rules.read_sdk`), so that no SDK is imported to
check a line. Documented rules that no type can say have a module for each theme.

Callers outside use the names of this file, and `wording`.
"""

from claudebatch.models.api_rules.betas import BETA_OF, beta_fix, beta_names
from claudebatch.models.api_rules.documented_rules import broken_rules
from claudebatch.models.api_rules.texts import LONGEST_TITLE, LONGEST_USER_ID
from claudebatch.models.api_rules.type_faults import broken_types, request_types
from claudebatch.models.api_rules.walk import AS_SENT, Names

__all__ = [
    "AS_SENT",
    "BETA_OF",
    "LONGEST_TITLE",
    "LONGEST_USER_ID",
    "Names",
    "beta_fix",
    "beta_names",
    "broken_rules",
    "broken_types",
    "request_types",
]
