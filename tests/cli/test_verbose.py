"""`-v` says which files a run uses, where settings come from, and every retry and wait."""

from __future__ import annotations

import sys

from claudebatch.cli.display import Show, make_display
from claudebatch.events import Retrying, Waiting


def told(capsys, show: Show) -> str:
    display = make_display(show, {"TERM": "dumb"}, {}, now=lambda: 0.0, results_on_stdout=False)
    display(Retrying("claude-haiku-5-5", "overloaded_error", 2, 1.5))
    display(Waiting("haiku-5.5", "input tokens per minute", 12.0))
    display.stop()
    assert sys.stdout is not None
    return capsys.readouterr().err


def test_verbose_tells_every_retry_and_wait(capsys):
    said = told(capsys, Show(verbose=1))
    assert "claude-haiku-5-5: overloaded_error, attempt 2; again in 1.5 s" in said
    assert "haiku-5.5: waits 12.0 s: input tokens per minute" in said


def test_without_verbose_retries_are_only_counted(capsys):
    assert "again in" not in told(capsys, Show())
