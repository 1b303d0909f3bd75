"""The summary of a session: its state before it, and after its results are in their
final form.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Any, NamedTuple

from claudebatch.core.domain import Call, Pico, PromptSavings, Usage, to_usd, usd_text
from claudebatch.core.endings import ANSWER_ENDINGS, Ending
from claudebatch.core.errors import (
    BudgetExhausted,
    ExitCode,
    OutputFailed,
    ReaderLeft,
    SpendStopped,
    StorageError,
)
from claudebatch.core.notice import Notice
from claudebatch.core.reports import RestOfRun, RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import RunSnapshot
from claudebatch.engine.engine import Ended
from claudebatch.engine.expected_cost import ExpectedCost
from claudebatch.engine.more_room import MoreRoom
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.sample import SampleReview
from claudebatch.engine.session_output import Lines, SessionOutput
from claudebatch.layers.budget.run_budget import left_of
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal.batches import open_batches, rows_with_api
from claudebatch.storage.journal.failure_report import failures_of
from claudebatch.storage.journal.queries import Totals, billed_after, last_attempt, totals

# Rows of the input.
_ROWS = "SELECT count(*) FROM rows WHERE live AND position < ?"
# An answer counts before a failure, and a later answer before an earlier one.
_ENDINGS = (
    "SELECT ok, count(*) FROM (SELECT x.ok, max((x.ok > 0) * (1 << 60) + x.n) FROM results x"
    " JOIN rows r ON r.row = x.row WHERE r.live AND r.position < ? GROUP BY x.row) GROUP BY ok"
)
# As a shell reports a program that a signal has ended: 128 and its number.
_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HANGUP,
}
_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "kill (SIGTERM)",
    signal.SIGHUP: "its closed terminal (SIGHUP)",
}


class _End(NamedTuple):
    """How the session ended, and what helps."""

    code: ExitCode
    id: str | None
    reason: str | None
    follow: str | None


class SummaryBuilder:
    """Notes the state of the run before the session, and compares at the end."""

    def __init__(
        self,
        options: RunOptions,
        run: OpenRun,
        run_setup: RunSetup,
        *,
        stats: RunStats,
        expected: ExpectedCost,
        more_room: MoreRoom,
        weigh: Callable[[Call], Pico],
        started: float,
    ) -> None:
        self._options = options
        self._run = run
        self._output = SessionOutput(options, run)
        self._stats = stats
        self._expected = expected
        self._more_room = more_room
        self._weigh = weigh
        self._review = SampleReview(options, run, run_setup)
        self._started = started
        self._caches = run_setup.settings.cache.enabled
        budget = run_setup.settings.budget
        self.cap = budget.cap
        self._overshoot = budget.overshoot
        self._prices = run_setup.prices
        self._spent_before = totals(run.folder.journal).spent
        self._first_after = last_attempt(run.folder.journal)
        self.rows, endings, failed = self._rows()
        ok = sum(endings.values()) - (endings["cut_off"] if options.retry_cut else 0)
        self.finished_before = (
            ok - endings.get("invalid", 0) if options.retry_failed else ok + failed
        )

    def prepare_output(self, emit: Callable[[Notice], None]) -> Lines:
        """The output, mended until it holds exactly what the journal holds."""
        return self._output.prepare(emit, pending=self.finished_before < self.rows)

    def sum_up(
        self, ended: Ended, caught: signal.Signals | None, *, simulated: bool, now: float
    ) -> RunSummary:
        """Put the output in its final form and sum up the run. Raises the error of a
        worker that crashed.
        """
        self._finish_output(ended)
        rows, endings, failed = self._rows()
        succeeded, spent = sum(endings.values()), totals(self._run.folder.journal)
        pending = rows - succeeded - failed
        lacking = failed + endings.get("invalid", 0)
        not_ok = self._not_ok(lacking, failed + succeeded - endings["complete"])
        said, counts = failures_of(self._run.folder.journal, self._end), self._stats.snapshot(now)
        left = self._detached(ended, caught)
        end = self._how_it_ended(
            ended,
            caught,
            unsent=pending - (self._with_api() if left else 0),
            failed=(lacking, not_ok, said.retryable + lacking - failed),
            left=self._left(spent),
        )
        summary = RunSummary(
            run_id=self._run.run_id,
            exit_code=end.code,
            rows=rows,
            succeeded=succeeded,
            failed=failed,
            finished_before=self.finished_before,
            pending=pending,
            removed=self._run.removed,
            **self._money(spent),
            expected_now=self._expected.so_far,
            cap=self.cap,
            wall_s=now - self._started,
            **_of_session(counts),
            prompt_cache=self._prompt_savings(counts.usage),
            output=str(self._run.output) if self._run.output is not None else "-",
            stop_reason=end.reason,
            stop_id=end.id,
            reader_left=isinstance(ended.stop, ReaderLeft),
            lines_left_out=self._run.bad_rows,
            failures_accepted=bool(lacking) and self._options.accepts(not_ok),
            next_command=end.follow,
            failure_examples=said.examples,
            endings=endings,
            simulated=simulated,
            overshoot=self._overshoot,
        )
        return self._with_batches(summary, spent) if spent.rows_in_batches else summary

    def _money(self, spent: Totals) -> dict[str, Any]:
        """The fields of a summary that the journal's totals have."""
        return {
            "spent_now": spent.spent - self._spent_before,
            "spent": spent.spent,
            "unknown": spent.unknown,
            "unknown_attempts": spent.unknown_attempts,
            "cost_known": spent.cost_known,
        }

    def _prompt_savings(self, usage: Usage) -> PromptSavings:
        # Most runs cache nothing: their attempts need not be looked through.
        if not (usage.cache_read_input_tokens or usage.cache_creation_input_tokens):
            return PromptSavings()
        answers = billed_after(self._run.folder.journal, self._first_after)
        saved = self._prices.prompt_savings
        parts = (saved(a.model, a.usage, a.cost, prewarms=a.prewarms) for a in answers)
        return sum(parts, PromptSavings())

    def _how_it_ended(
        self,
        ended: Ended,
        caught: signal.Signals | None,
        *,
        unsent: int,
        failed: tuple[int, int, int],
        left: Pico,
    ) -> _End:
        """*failed*: rows; rows and lines without an answer as it was wanted; and rows
        that may be answered when they are asked again. *left*: of the cap.
        """
        rows, not_ok, retryable = failed
        code = self._exit_code(ended, caught, pending=unsent, failed=not_ok)
        stop_id, reason = _stop_reason(ended, caught, unsent, left, self._hint)
        return _End(
            code, stop_id, reason, self._next_command(code, ended, (unsent, rows, retryable))
        )

    def _detached(self, ended: Ended, caught: signal.Signals | None) -> bool:
        """Whether the session ended before its batches because it was told to."""
        return self._options.detach and ended.stop is None and caught is None

    def _with_api(self) -> int:
        # Equal rows wait for the answer of the one that is in a batch.
        shared = self._caches and not self._options.no_cache
        return rows_with_api(self._run.folder.journal, self._end, shared=shared)

    def _with_batches(self, summary: RunSummary, spent: Totals) -> RunSummary:
        """*summary*, and what goes on by itself."""
        # What is with the API comes first: whatever else is to be done comes after it.
        follow = summary.next_command if summary.stop_reason else shlex.join(self._again())
        return replace(
            summary,
            in_batches=spent.rows_in_batches,
            open_batches=len(open_batches(self._run.folder.journal)),
            held=spent.in_batches,
            next_command=follow,
        )

    def rest(self, pending: int) -> RestOfRun | None:
        """The rows beside a sample, once none of its own is *pending*."""
        if pending or not self._options.selection.sample:
            return None
        return self._review.rest(self._weigh)

    def _not_ok(self, lacking: int, incomplete: int) -> int:
        """Rows and lines that have no answer as the user wants it: those that are
        *lacking*, or under --strict-endings all that are *incomplete*.
        """
        return (incomplete if self._options.strict_endings else lacking) + self._run.bad_rows

    def _left(self, spent: Totals) -> Pico:
        return (self.cap or 0) - spent.spent - spent.unknown - spent.in_batches

    def _hint(self, left: Pico) -> str:
        """What would make *left* of the cap enough for more rows."""
        # Where holds are less than worst cases, `max_tokens` decides nothing.
        room = None if self._overshoot else self._more_room.hint(left)
        if room is None:
            return ""
        rows = "1 more row" if room.rows == 1 else f"{room.rows:,} more rows"
        return f"; --max-tokens {room.max_tokens} would let about {rows} fit"

    @property
    def _end(self) -> int:
        return 2**62 if self._options.limit is None else self._options.limit

    def _rows(self) -> tuple[int, dict[str, int], int]:
        """The number of all rows, of answered rows by their ending, and of failed
        rows.
        """
        journal = self._run.folder.journal
        (rows,) = journal.execute(_ROWS, (self._end,)).fetchone()
        found = dict(journal.execute(_ENDINGS, (self._end,)).fetchall())
        endings = {end.label: found.get(end, 0) for end in ANSWER_ENDINGS}
        # Most runs want no form of their answers.
        if Ending.INVALID in found:
            endings[Ending.INVALID.label] = found[Ending.INVALID]
        return rows, endings, found.get(0, 0)

    def _finish_output(self, ended: Ended) -> None:
        if ended.crashed is not None:
            # Whatever it was: what has been answered is to be found.
            with suppress(StorageError):
                self._output.save()
            raise ended.crashed
        try:
            self._output.finish()
        except StorageError as error:
            if not self._output.is_table:
                raise
            # Nothing is lost, and the summary says what there is: the journal has it.
            ended.stop = ended.stop or OutputFailed(error.id, error.message, fix=error.fix)

    def _exit_code(
        self, ended: Ended, caught: signal.Signals | None, *, pending: int, failed: int
    ) -> ExitCode:
        _forget_late_stop(ended, pending)
        # Several may apply: the highest is the worst, and a script must see that one.
        codes = [ExitCode.OK]
        if pending or not self._options.accepts(failed):
            codes.append(ExitCode.ROWS_FAILED)
        if ended.over_budget is not None and pending:
            codes.append(ExitCode.BUDGET)
        if ended.stop is not None:
            codes.append(ended.stop.exit_code)
        if caught is not None and pending:
            codes.append(_CODES[caught])
        return max(codes)

    def _reads_table(self, what: str) -> str:
        # Out of the journal, whatever the form of the file is.
        export = ("claudebatch", "export", str(self._run.output), "-o", "-")
        if what == ".text":
            return shlex.join((*export, "--output-format", "text"))
        lines = shlex.join((*export, "--output-format", "jsonl"))
        return f"{lines} | {shlex.join(('jq', '-c', what))}"

    def _next_command(self, code: ExitCode, ended: Ended, left: tuple[int, int, int]) -> str | None:
        pending, failed, retryable = left
        again = self._again()
        if self._options.selection.sample and not (pending or failed or self._options.simulate):
            return shlex.join(_without(_without(again, "--sample"), "--seed"))
        if self._options.collect and pending:
            return shlex.join(again)
        if code in (ExitCode.OK, ExitCode.ROWS_FAILED) and not failed and not pending:
            if code is ExitCode.ROWS_FAILED and self._options.strict_endings:
                return self._reads('select(.ending != "complete") | {id, ending}')
            if not self._options.simulate:
                return self._reads(".text")
            return shlex.join(argument for argument in again if argument != "--simulate")
        if code is ExitCode.ROWS_FAILED and self._options.unknown != "retry":
            return shlex.join(_without(again, "--unknown"))
        if code in (ExitCode.OK, ExitCode.ROWS_FAILED) and failed and not retryable:
            # The same request would be refused again.
            return self._reads('select(.status == "failed") | {id, error}')
        if code in (ExitCode.OK, ExitCode.ROWS_FAILED):
            return shlex.join(
                [*again, *(() if self._options.retry_failed else ("--retry-failed",))]
            )
        if code is ExitCode.BUDGET and _of_run(ended.over_budget) and self.cap is not None:
            # Twice the cap, or what the next request needs: one that is too small again
            # would only stop once more.
            enough = max(self.cap * 2, ended.over_budget.needed if ended.over_budget else 0)
            return shlex.join([*_without(again, "--budget"), "--budget", str(_in_cents(enough))])
        return shlex.join(again)

    def _again(self) -> list[str]:
        # Never --fresh: it would ask and pay for everything again.
        gone = ("--fresh", "--detach", "--collect", "--retry-batches")
        # Nor --attach: the batch is one of the run by now.
        command = _without(list(self._options.command), "--attach")
        return [argument for argument in command if argument not in gone]

    def _reads(self, what: str) -> str | None:
        """The command that shows *what* of the results; None where they lie in no
        file.
        """
        if self._run.output is None:
            return None
        if self._output.is_table:
            return self._reads_table(what)
        raw = ("-r",) if what == ".text" else ("-c",)
        return shlex.join(("jq", *raw, what, str(self._run.output)))


def _of_session(counts: RunSnapshot) -> dict[str, Any]:
    """The fields of a summary that the session's own counter has."""
    return {
        "answered_now": counts.answered,
        "by_batch_now": counts.by_batch,
        "cached_now": counts.cached,
        "shared_now": counts.shared,
        "saved": counts.saved,
        "usage": counts.usage,
        "requests": counts.requests,
        "retries": counts.retries,
        "prewarms": counts.prewarms,
        "p50_ms": counts.p50_ms,
        "p95_ms": counts.p95_ms,
        "bound_by": counts.bound_by,
        "failures": counts.failures,
    }


def _forget_late_stop(ended: Ended, pending: int) -> None:
    """Drop a stop by the spend monitor that came with the last row."""
    # Nothing was left to stop: exit 3 would be wrong for a run that has all its
    # answers.
    if isinstance(ended.stop, SpendStopped) and not pending:
        ended.stop = None


def _stop_reason(
    ended: Ended,
    caught: signal.Signals | None,
    pending: int,
    left: Pico,
    hint: Callable[[Pico], str],
) -> tuple[str | None, str | None]:
    """The id of what stopped the run, if it has one, and its words."""
    if (stop := ended.stop) is not None:
        return stop.id, f"{stop.message} ({stop.fix})" if stop.fix else stop.message
    if caught is not None and pending:
        return None, f"stopped by {_SIGNALS[caught]}"
    if _of_run(ended.over_budget) and ended.refused_worsts is not None:
        # As it stands now: the first row that did not fit was refused long before the
        # end.
        low, high = (usd_text(worst) for worst in ended.refused_worsts)
        most = f", the most expensive ${high}" if high != low else ""
        return "E730", (
            f"the cap is reached: {left_of('the cap', left)}, and the cheapest row left may "
            f"cost ${low}{most}{hint(left)}"
        )
    if (over := ended.over_budget) is not None:
        return "E731", f"the cap is reached: {over}{f' ({over.fix})' if over.fix else ''}"
    return None, None


def _of_run(over: BudgetExhausted | None) -> bool:
    """Whether a larger cap of the run's own lets it go on."""
    return over is not None and over.cap == "run"


def _without(arguments: list[str], option: str) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and argument != option and not argument.startswith(option + "="):
            kept.append(argument)
        skip = not skip and argument == option
    return kept


def _in_cents(amount: Pico) -> Decimal:
    return to_usd(amount).quantize(Decimal("0.01"), rounding=ROUND_UP)
