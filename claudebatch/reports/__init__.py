"""What a run, an estimate, the ledger and the cache say of themselves, as plain data for any display."""

from claudebatch.reports.cache import CacheStats
from claudebatch.reports.estimate import Basis, Elsewhere, Estimate, EstimateLine
from claudebatch.reports.run import Bound, RunSummary
from claudebatch.reports.runs import RunDetails, RunLine, RunState, UnknownAttempt
from claudebatch.reports.spend import SpendLine, spend_sum

__all__ = [
    "Basis",
    "Bound",
    "CacheStats",
    "Elsewhere",
    "Estimate",
    "EstimateLine",
    "RunDetails",
    "RunLine",
    "RunState",
    "RunSummary",
    "SpendLine",
    "UnknownAttempt",
    "spend_sum",
]
