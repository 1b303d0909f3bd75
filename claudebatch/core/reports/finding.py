"""A finding of `doctor`, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; *fix* is the advice if it failed."""

    name: str
    state: Literal["ok", "note", "warning", "failure"]
    text: str
    fix: str | None = None
    exit_code: ExitCode = ExitCode.OK
    """Of a failure: the code with which a run would end for it."""
