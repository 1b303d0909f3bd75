"""The findings of `doctor`, as lines and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports.finding import Finding
from claudebatch.ui.wrapping import wrapped

# A failure stands out without colour, too.
_MARK = {"ok": "ok", "note": "note", "warning": "warn", "failure": "FAIL"}


def render_findings(findings: Sequence[Finding], *, width: int = 0) -> Iterator[str]:
    """One line a finding, its fix below it, and the sum of it all; none wider than
    *width* columns (0: any).
    """
    names = max((len(found.name) for found in findings), default=0)
    for found in findings:
        first = f"{_MARK[found.state]:<4}  {found.name:<{names}}  "
        yield from wrapped(found.text, width, first=first, indent=" " * len(first))
        # The fix of what is in order would read as a demand.
        if found.fix and found.state != "ok":
            yield from wrapped(found.fix, width, first="      hint: ", indent=" " * 12)
    failures = sum(found.state == "failure" for found in findings)
    warnings = sum(found.state == "warning" for found in findings)
    yield ""
    # Warnings beside a failure are not worth a sentence: first things first.
    if failures:
        yield f"{counted(failures, 'problem')} to fix before you can run"
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
