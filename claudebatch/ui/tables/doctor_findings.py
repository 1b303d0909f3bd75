"""The findings of `doctor`, as lines and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.reports.finding import Finding
from claudebatch.ui.format import counted
from claudebatch.ui.tables.table import table

# A failure stands out without colour, too.
_MARK = {"ok": "ok", "note": "note", "warning": "warn", "failure": "FAIL"}


def render_findings(findings: Sequence[Finding]) -> Iterator[str]:
    """One line a finding, its fix below it, and the sum of it all."""
    lines = table(
        "<<<", ("", "", ""), [(_MARK[found.state], found.name, found.text) for found in findings]
    )[1:]
    for line, found in zip(lines, findings, strict=True):
        yield line
        # The fix of what is in order would read as a demand.
        if found.fix and found.state != "ok":
            yield f"      hint: {found.fix}"
    failures = sum(found.state == "failure" for found in findings)
    warnings = sum(found.state == "warning" for found in findings)
    yield ""
    # Warnings beside a failure are not worth a sentence: first things first.
    if failures:
        yield f"{counted(failures, 'thing')} must be mended before a run"
    elif warnings:
        yield f"ready to run, with {counted(warnings, 'warning')}"
    else:
        yield "ready to run"


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings with the exit code that goes with them."""
    return {
        "findings": [
            {"name": found.name, "state": found.state, "text": found.text, "fix": found.fix}
            for found in findings
        ],
        "exit_code": int(max((found.exit_code for found in findings), default=0)),
    }
