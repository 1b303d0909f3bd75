"""Reports of a run, an estimate, the ledger and the cache, as plain data for any
display.
"""

from claudebatch.core.reports.cache_stats import (
    CachedPair,
    CacheEntries,
    CacheEntry,
    CacheGroup,
    CacheStats,
    CacheYield,
)
from claudebatch.core.reports.deadline_plan import DeadlinePlan, PlanPart
from claudebatch.core.reports.estimate_report import (
    Basis,
    Elsewhere,
    Estimate,
    EstimateLine,
    PromptCacheUse,
)
from claudebatch.core.reports.run_report import Bound, RunSummary
from claudebatch.core.reports.runs import RunDetails, RunLine, RunState, UnknownAttempt
from claudebatch.core.reports.sample_report import RestOfRun, SampledAnswer
from claudebatch.core.reports.shape_line import ShapeLine
from claudebatch.core.reports.spend import SpendLine, spend_sum
from claudebatch.core.reports.ways_to_send import BatchTimes, Way
from claudebatch.core.reports.why_report import CacheWhy, FieldChange

__all__ = [
    "Basis",
    "BatchTimes",
    "Bound",
    "CacheEntries",
    "CacheEntry",
    "CacheGroup",
    "CacheStats",
    "CacheWhy",
    "CacheYield",
    "CachedPair",
    "DeadlinePlan",
    "Elsewhere",
    "Estimate",
    "EstimateLine",
    "FieldChange",
    "PlanPart",
    "PromptCacheUse",
    "RestOfRun",
    "RunDetails",
    "RunLine",
    "RunState",
    "RunSummary",
    "SampledAnswer",
    "ShapeLine",
    "SpendLine",
    "UnknownAttempt",
    "Way",
    "spend_sum",
]
