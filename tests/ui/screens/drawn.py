"""Every screen that is no error, drawn anew: a name and its text for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from claudebatch.core.reports import RunDetails
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.estimate.known_models import known_models
from claudebatch.ui.live.frame import live_frame, plain_line
from claudebatch.ui.live.plan_text import plan_news
from claudebatch.ui.tables.batch_tables import render_batch, render_batches
from claudebatch.ui.tables.cache_entry_tables import render_entries, render_pair
from claudebatch.ui.tables.cache_tables import render_cache
from claudebatch.ui.tables.cache_why_text import render_why
from claudebatch.ui.tables.doctor_findings import render_findings
from claudebatch.ui.tables.estimate_tables import render_estimate
from claudebatch.ui.tables.model_tables import render_models
from claudebatch.ui.tables.run_summary import final_line, summary_lines
from claudebatch.ui.tables.runs_tables import render_run, render_runs
from claudebatch.ui.tables.spend_tables import render_spend
from claudebatch.ui.terminal import broken
from tests.support.settings import settings_of
from tests.ui.screens import samples
from tests.ui.screens.session import PAGE, page, recorded, steady
from tests.ui.screens.typed import TODAY, Typist, typist

FOLDER = Path(__file__).parent
WIDTHS = (40, 60, 80, 0)
"""Columns of the terminal; 0: a pipe, which takes any line."""
_COMMANDS = (
    "",
    "run",
    "estimate",
    "models",
    "spend",
    "doctor",
    "simulate",
    "runs",
    "runs list",
    "runs show",
    "runs check",
    "runs rebuild",
    "runs settle",
    "runs purge",
    "batches",
    "batches list",
    "batches show",
    "batches collect",
    "batches cancel",
    "batches delete",
    "cache",
    "cache ls",
    "cache show",
    "cache why",
    "cache prune",
    "cache verify",
    "cache export",
    "cache import",
    "cache stats",
    "cache path",
    "cache clear",
    "help",
)


def drawn() -> dict[str, str]:
    """The text of each file in this folder."""
    found = {}
    for width in WIDTHS:
        name = f"{width or 'pipe'}.txt"
        tables = ((title, _told(lines, width)) for title, lines in _tables(width))
        found[f"tables-{name}"] = _screens(tables)
        found[f"summary-{name}"] = _screens(_summaries(width))
        if width:
            found[f"display-{name}"] = _screens(_display(width))
    found["progress-lines.txt"] = _screens(_progress_lines())
    with tempfile.TemporaryDirectory() as folder, typist(Path(folder)) as user:
        found["help-80.txt"] = _screens(_help(user))
        found["questions-80.txt"] = _screens(_questions(user))
    return found


def written() -> dict[Path, str]:
    """All snapshots: those of this folder, and the page of the first session."""
    return {
        **{FOLDER / name: text for name, text in drawn().items()},
        PAGE: page(recorded()),
    }


def _told(lines: Iterable[str], width: int) -> list[str]:
    return [part for line in lines for part in (broken(line, width) if width else [line])]


def _screens(screens: Iterable[tuple[str, Iterable[str]]]) -> str:
    parts = ("\n".join([f"=== {title}", *lines]) for title, lines in screens)
    return "\n\n".join(parts) + "\n"


def _moments(moments: Iterable[samples.Moment]) -> Iterator[tuple[str, float, RunStats]]:
    clock = [0.0]
    stats = RunStats(lambda: clock[0], usual_batch_s=2400.0)
    for title, at, events in moments:
        start = clock[0]
        for number, event in enumerate(events):
            # Spread over the time there is; what is waited for is waited for now.
            waits = type(event).__name__ in ("Waiting", "Retrying")
            clock[0] = at if waits else start + (at - start) * (number + 1) / len(events)
            stats(event)
        clock[0] = at
        yield title, at, stats


def _display(width: int) -> Iterator[tuple[str, list[str]]]:
    for moments in (samples.RUN, samples.RESUMED, samples.BATCHES):
        for title, at, stats in _moments(moments):
            rows = live_frame(stats.snapshot(at), {}, width=width)
            yield title, ["".join(span.text for span in row) for row in rows]


def _progress_lines() -> Iterator[tuple[str, list[str]]]:
    for moments in (samples.RUN, samples.RESUMED, samples.BATCHES):
        for title, at, stats in _moments(moments):
            yield title, [plain_line(stats.snapshot(at), {})]


def _summaries(width: int) -> Iterator[tuple[str, list[str]]]:
    for title, summary in samples.SUMMARIES.items():
        yield title, [text for line in summary_lines(summary) for text in line.shown(width)]
        if not width:
            yield f"{title}, with -q", [final_line(summary)]


def _tables(width: int) -> Iterator[tuple[str, Iterable[str]]]:
    settings = settings_of()
    yield "spend", render_spend(samples.SPENDS, "run", width=width)
    yield "spend --by day", render_spend(samples.DAYS, "day", width=width)
    yield "spend, of nothing", render_spend((), "run", width=width)
    yield "runs list", render_runs(samples.RUNS, width=width)
    yield "runs show", render_run(samples.DETAILS, width=width)
    yield "batches list --account", render_batches(samples.BATCH_LINES, width=width)
    for number, line in enumerate((samples.BATCH_LINES[0], samples.BATCH_LINES[2]), 1):
        yield f"batches show, {number}", render_batch(line)
    waiting = samples.run_line(
        replace(samples.SPENT, held=123 * samples.CENT, in_batches=123 * samples.CENT),
        state="in batches",
        succeeded=0,
        open_batches=2,
    )
    yield "a plan for a deadline", [*plan_news(samples.PLAN), *plan_news(samples.LATER)]
    yield "spend, of batches", render_spend((waiting.spend,), "run", width=width)
    yield "runs show, of batches", render_run(RunDetails(waiting, (), ()), width=width)
    yield "estimate", render_estimate(samples.ESTIMATE, width=width)
    yield "estimate -v", render_estimate(samples.ESTIMATE, width=width, details=True)
    yield "models", render_models(known_models(settings, None, at=TODAY), width=width)
    one = known_models(settings, samples.OPUS, at=TODAY)
    yield "models NAME", render_models(one, width=width)
    yield "cache ls", render_entries(samples.CACHED, now=samples.NOW, width=width)
    yield "cache show", render_pair(samples.CACHED_PAIR, now=samples.NOW)
    for title, why in samples.WHYS.items():
        yield f"cache why, {title}", [*render_why(why, now=samples.NOW)]
    yield "cache stats", render_cache(samples.CACHE, width=width)
    yield "doctor", render_findings(samples.FINDINGS, width=width)


def _help(user: Typist) -> Iterator[tuple[str, list[str]]]:
    for command in _COMMANDS:
        typed = f"claudebatch {command} -h".replace("  ", " ")
        yield typed, user.types(typed).splitlines()


def _questions(user: Typist) -> Iterator[tuple[str, list[str]]]:
    (user.work / "few.jsonl").write_text('"One?"\n"Two?"\n')
    (user.work / "asks.yaml").write_text("confirm_above: 0.001\n")
    for command, answers in (
        ("claudebatch run few.jsonl -c asks.yaml", "y\n"),
        ("claudebatch cache clear", "n\n"),
        ("claudebatch runs purge few.results.jsonl", "n\n"),
    ):
        yield command, steady(user.types(command, answers=answers)).splitlines()
