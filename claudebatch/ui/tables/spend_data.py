"""Spend for programs: JSON, and CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from claudebatch.core.reports import SpendLine, spend_sum
from claudebatch.ui.format import usd_string

# What a spreadsheet takes for the beginning of a formula, or for the end of the cell
# before.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def spend_json(
    lines: Sequence[SpendLine], title: str, *, simulated: bool = False
) -> dict[str, Any]:
    """`by`, one object per line and the total; dollars as exact decimal strings."""
    total = spend_fields(spend_sum(lines))
    return {
        "by": title,
        "simulated": simulated,
        "lines": [spend_fields(line) for line in lines],
        "total": total,
    }


def spend_csv(lines: Sequence[SpendLine], *, raw: bool) -> str:
    """A header and one record per line; texts that a spreadsheet would calculate begin
    with `'`, but for *raw*.
    """
    out = io.StringIO()
    # With a shorter line end, Python before 3.13 leaves a carriage return in a text
    # unquoted.
    writer = csv.DictWriter(out, tuple(spend_fields(spend_sum(()))), lineterminator="\r\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {key: value if raw else harmless(value) for key, value in spend_fields(line).items()}
        )
    return out.getvalue()


def harmless(value: object) -> object:
    """*value* as a spreadsheet will show it and not calculate it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def spend_fields(line: SpendLine) -> dict[str, Any]:
    """The fields of *line*; dollars as exact decimal strings."""
    return {
        "label": line.label,
        "requests": line.attempts,
        "answers": line.answers,
        **line.usage.reported(),
        "spent_usd": usd_string(line.spent),
        "unknown_usd": usd_string(line.unknown),
        "unknown_requests": line.unknown_attempts,
        "held_usd": usd_string(line.held),
        "held_by_batches_usd": usd_string(line.in_batches),
        "unpriced_answers": line.unpriced,
        "cached_rows": line.cached,
        "shared_rows": line.shared,
        "saved_by_cache_usd": usd_string(line.saved_cache),
        "saved_by_routing_usd": usd_string(line.saved_routing),
        "saved_by_prompt_cache_usd": usd_string(line.saved_prompt),
        "prompt_cache_writes_usd": usd_string(line.prompt_writes),
        "complete_answers": line.complete,
        "cut_off_answers": line.cut_off,
        "refused_answers": line.refused,
        "empty_answers": line.empty,
        "unclassified_answers": line.unclassified,
        "note": line.note,
    }
