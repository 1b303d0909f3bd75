"""`claudebatch cache why`: why a row is answered out of the response cache, or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.cache_options import OneObject, cache_folder, price_of, settings_of
from claudebatch.cli.dates import unix_now
from claudebatch.cli.run_flags import RUN_ONLY, RunFlags
from claudebatch.cli.typer_command import typer_command
from claudebatch.cli.wiring.run_arguments import config_flags, run_options
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.reports import CacheWhy, RunLine
from claudebatch.layers.response_cache.entries import CacheReader, reading
from claudebatch.layers.response_cache.nearest import CacheQuestion, explained, question_of
from claudebatch.storage.journal.records import AnswerSource
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.journal.row_lookup import FoundRow, find_row
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.ui import format as fmt
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.cache_why_text import render_why, why_json
from claudebatch.ui.terminal import Terminal

# Older runs are named with --in.
_RUNS_SEARCHED = 50
# What changes no request.
_WITHOUT = RUN_ONLY | {
    *("output", "budget", "tag", "concurrency", "count_rows", "simulate", "fresh"),
    *("retry_failed", "retry_cut", "redo", "no_cache", "fail_on_empty", "verbose"),
    "refresh_cache",
    *("schema_retries", "extract", "limit", "sample", "seed", "rows", "id", "where"),
    *("via", "batch", "deadline", "on_bad_row"),
}
_WHICH = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE:LINE|ID [INPUT]",
        help="A line of an input; or the id of a row, of INPUT or of an earlier run.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyFlags(RunFlags):
    """Those of `run` that change a request, and where to look for an id."""

    within: Annotated[
        str | None,
        typer.Option(
            "--in", metavar="RUN", help="The run or results file in which to look for the id."
        ),
    ] = None


@typer_command(
    WhyFlags,
    without=_WITHOUT,
    instead={
        "inputs": _WHICH,
        "json": OneObject,
    },
)
def why(flags: WhyFlags) -> None:
    """Say why a row is answered out of the response cache, or is not.

    A line of a file, or a row of INPUT, is asked for as `run` would with the same
    options and configuration. An id alone is looked for in earlier runs.

    Examples:

        claudebatch cache why prompts.jsonl:17 -m haiku

        claudebatch cache why review-17 reviews.csv -t 'Classify: {review}'

        claudebatch cache why review-17
    """
    now = unix_now()
    found = list(_answers(flags, now))
    if flags.json:
        sys.stdout.write(json_line(why_json(found)))
        return
    terminal = Terminal(sys.stdout, environment(), must_write=True)
    for number, one in enumerate(found):
        terminal.tell([*([""] if number else []), *render_why(one, now=now)])


def _answers(flags: WhyFlags, now: float) -> Iterator[CacheWhy]:
    which, *inputs = flags.inputs
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.cache_questions import file_line, questions  # noqa: PLC0415

    settings = settings_of(flags.config)
    line = file_line(which)
    with reading(cache_folder(), worth=price_of(settings)) as cache:
        if line is None and not inputs:
            yield _of_run(cache, which, flags.within, now)
            return
        if flags.within is not None:
            raise BadValue("E806", "--in is for an id without an input: leave one of them out")
        asked = replace(flags, inputs=[line.file] if line else inputs, id=None if line else which)
        found = questions(
            run_options(asked),
            config_flags(asked),
            config=flags.config,
            at_line=line.line if line else None,
        )
        for question in found:
            if not settings.cache.enabled:
                reason = "the response cache is switched off (cache.enabled)"
                yield CacheWhy(question.row, question.where, question.key, "no cache", reason)
            else:
                yield _explained(cache, question, now)


def _explained(
    cache: CacheReader | None, question: CacheQuestion, now: float, before: float | None = None
) -> CacheWhy:
    if cache is None:
        return CacheWhy(
            question.row, question.where, question.key, "no cache", "the response cache is empty"
        )
    return explained(cache, question, now=now, before=before)


def _of_run(cache: CacheReader | None, id: str, within: str | None, now: float) -> CacheWhy:
    run, row = _row_of_run(id, within)
    where = f"run {run.run}"
    # A run without the cache makes no keys.
    if not row.key:
        return CacheWhy(id, where, "", "no cache", "it was asked with --no-cache")
    question = CacheQuestion(id, where, row.key, None, None)
    if cache is not None:
        question = question_of(cache, question)
    asked_then = row.source is AnswerSource.API and row.ok and row.sent_ms is not None
    found, became = _explained(cache, question, now), _became(row)
    if asked_then and row.sent_ms is not None and found.kind == "hit":
        # It is there now since this run asked: the question is why it had to.
        found = _explained(cache, question, now, before=row.sent_ms / 1000)
        became += ", and kept since; as things stood before:"
    return replace(found, asked=became)


def _became(row: FoundRow) -> str:
    if row.source is None:
        return "it has no answer yet"
    if row.source is AnswerSource.CACHE:
        return f"answered out of the response cache, which saved {fmt.money(row.saved)}"
    if row.source is AnswerSource.DUPLICATE:
        return "it shared the request of an equal row"
    if not row.ok:
        return "it failed, and failures are not kept"
    return f"asked{'' if row.cost is None else f' for {fmt.money(row.cost)}'}"


def _row_of_run(id: str, within: str | None) -> tuple[RunLine, FoundRow]:
    register = RunRegister(Paths.from_environment(environment()).ledger)
    # The newest first: people ask about the run that they have just paid for.
    runs = [register.find(within)] if within else register.runs()[:_RUNS_SEARCHED]
    for run in runs:
        row = find_row(Path(run.folder) / JOURNAL, id) if run.folder else None
        if row is not None:
            return run, row
    # A word that is neither is mostly a slip in the name of a file.
    searched = within or f"the newest {len(runs)} runs"
    raise ClaudebatchError(
        "E804",
        f'no row of {searched} has the id "{id}", and it is no FILE:LINE',
        fix="give the input after it, or the run with --in",
    )
