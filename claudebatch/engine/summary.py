"""The two ends of a session: an output file that agrees with the journal, and the
summary.
"""

from __future__ import annotations

import shlex
import signal
import sqlite3
from collections.abc import Callable, Iterable
from decimal import ROUND_UP, Decimal
from typing import Protocol

from claudebatch.core.domain import Pico, to_usd, usd_text
from claudebatch.core.endings import Ending
from claudebatch.core.errors import (
    BudgetExhausted,
    ExitCode,
    ReaderLeft,
    SpendStopped,
    StorageError,
)
from claudebatch.core.notice import Notice
from claudebatch.core.os_faults import os_fault
from claudebatch.core.plurals import counted
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.engine.engine import Ended
from claudebatch.engine.expected_cost import ExpectedCost
from claudebatch.engine.more_room import MoreRoom
from claudebatch.engine.open_run import OpenRun
from claudebatch.layers.budget.run_budget import left_of
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal.failure_report import failures_of
from claudebatch.storage.journal.queries import Totals, drop_superseded, result_lines, totals
from claudebatch.storage.results_file import FileOutput, OutputRepair, StreamOutput, mend

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


class Lines(Protocol):
    """The destination of result lines while the run goes on."""

    def append(self, lines: list[bytes]) -> None:
        """Write whole lines."""
        ...

    def close(self) -> None:
        """Make them durable."""
        ...


class _Held:
    """Lines that wait in the journal until they can be written in the input's order."""

    def append(self, lines: list[bytes]) -> None:
        pass

    def close(self) -> None:
        pass


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
        started: float,
    ) -> None:
        self._options = options
        self._run = run
        self._stats = stats
        self._expected = expected
        self._more_room = more_room
        self._started = started
        budget = run_setup.settings.budget
        self.cap = budget.cap
        self._overshoot = budget.overshoot
        self._spent_before = totals(run.folder.journal).spent
        self.rows, endings, failed = self._rows()
        ok = sum(endings.values()) - (endings["cut_off"] if options.retry_cut else 0)
        self.finished_before = ok if options.retry_failed else ok + failed

    def prepare_output(self, emit: Callable[[Notice], None]) -> Lines:
        """The output, mended until it holds exactly what the journal holds."""
        journal, path, folder = self._run.folder.journal, self._run.output, self._run.folder
        pending = self.finished_before < self.rows
        if folder.meta("stale"):
            # A session with --retry-failed died before it could: both results of a row
            # would stay in the file.
            drop_superseded(journal)
        if path is None:
            folder.note(stale=self._options.asks_again)
            return self._standard_output(journal)
        in_order = bool(folder.meta("ordered"))
        # New lines go to the end, so the file must be in order of arrival while rows
        # are pending; a file in the input's order is written anew.
        stale = bool(folder.meta("stale")) or self._run.changed_output or (in_order and pending)
        if stale and in_order and pending:
            in_order = False
        # Before the file is touched: a crash in between must find the note, or a
        # half-written file would pass for one that a user has edited.
        folder.note(stale=stale, ordered=in_order)
        repair = mend(path, result_lines(journal, ordered=in_order), rewrite=stale)
        if repair.set_aside is not None:
            # The file was moved aside: the journal is written anew, whole.
            mend(path, result_lines(journal, ordered=in_order), rewrite=True)
        _report_repair(repair, str(path), emit, stale=stale)
        folder.note(stale=self._options.asks_again)
        return FileOutput(path)

    def sum_up(
        self, ended: Ended, caught: signal.Signals | None, *, simulated: bool, now: float
    ) -> RunSummary:
        """Put the output in its final form and sum up the run. Raises the error of a
        worker that crashed.
        """
        self._finish_output(ended.crashed)
        rows, endings, failed = self._rows()
        succeeded, spent = sum(endings.values()), totals(self._run.folder.journal)
        pending = rows - succeeded - failed
        _forget_late_stop(ended, pending)
        not_ok = self._not_ok(failed, succeeded - endings["complete"])
        code = self._exit_code(ended, caught, pending=pending, failed=not_ok)
        stop_id, reason = _stop_reason(ended, caught, pending, self._left(spent), self._hint)
        said, counts = failures_of(self._run.folder.journal, self._end), self._stats.snapshot(now)
        follow = self._next_command(code, ended, (pending, failed, said.retryable))
        return RunSummary(
            run_id=self._run.run_id,
            exit_code=code,
            rows=rows,
            succeeded=succeeded,
            failed=failed,
            finished_before=self.finished_before,
            answered_now=counts.answered,
            cached_now=counts.cached,
            shared_now=counts.shared,
            pending=pending,
            removed=self._run.removed,
            spent_now=spent.spent - self._spent_before,
            spent=spent.spent,
            expected_now=self._expected.so_far,
            unknown=spent.unknown,
            unknown_attempts=spent.unknown_attempts,
            cap=self.cap,
            saved=counts.saved,
            usage=counts.usage,
            requests=counts.requests,
            retries=counts.retries,
            p50_ms=counts.p50_ms,
            p95_ms=counts.p95_ms,
            wall_s=now - self._started,
            bound_by=counts.bound_by,
            output=str(self._run.output) if self._run.output is not None else "-",
            stop_reason=reason,
            stop_id=stop_id,
            reader_left=isinstance(ended.stop, ReaderLeft),
            lines_left_out=self._run.bad_rows,
            failures_accepted=bool(failed) and self._options.accepts(not_ok),
            next_command=follow,
            failures=counts.failures,
            failure_examples=said.examples,
            endings=endings,
            simulated=simulated,
            cost_known=spent.cost_known,
            overshoot=self._overshoot,
        )

    def _not_ok(self, failed: int, incomplete: int) -> int:
        """Rows and lines that have no answer as the user wants it."""
        strictly = incomplete if self._options.strict_endings else 0
        return failed + strictly + self._run.bad_rows

    def _left(self, spent: Totals) -> Pico:
        return (self.cap or 0) - spent.spent - spent.unknown

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
        return rows, {end.label: found.get(end, 0) for end in Ending}, found.get(0, 0)

    def _standard_output(self, journal: sqlite3.Connection) -> Lines:
        if self._options.ordered:
            return _Held()
        return _to_standard_output(result_lines(journal, ordered=False))

    def _finish_output(self, crash: BaseException | None) -> None:
        if crash is not None:
            raise crash
        folder, path = self._run.folder, self._run.output
        superseded = drop_superseded(folder.journal) if self._options.asks_again else 0
        if path is None:
            folder.note(stale=False)
            if self._options.ordered:
                _to_standard_output(result_lines(folder.journal, ordered=True))
        elif self._options.ordered or superseded:
            # Until the file is whole again, the next session must write it anew, not
            # compare it.
            folder.note(stale=True)
            mend(path, result_lines(folder.journal, ordered=self._options.ordered), rewrite=True)
            folder.note(stale=False, ordered=self._options.ordered)
        else:
            folder.note(stale=False)

    def _exit_code(
        self, ended: Ended, caught: signal.Signals | None, *, pending: int, failed: int
    ) -> ExitCode:
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

    def _next_command(self, code: ExitCode, ended: Ended, left: tuple[int, int, int]) -> str | None:
        pending, failed, retryable = left
        # Never --fresh: it would ask and pay for everything again.
        again = [argument for argument in self._options.command if argument != "--fresh"]
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

    def _reads(self, what: str) -> str | None:
        """The command that shows *what* of the results; None where they lie in no
        file.
        """
        if self._run.output is None:
            return None
        raw = ("-r",) if what == ".text" else ("-c",)
        return shlex.join(("jq", *raw, what, str(self._run.output)))


def _to_standard_output(lines: Iterable[bytes]) -> StreamOutput:
    output = StreamOutput()
    try:
        for line in lines:
            output.append([line])
    except OSError as error:
        raise StorageError(
            "E610",
            f"the results cannot be written: {os_fault(error).reason}",
            fix="run the same command again: nothing is lost",
        ) from error
    return output


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


def _report_repair(
    repair: OutputRepair, path: str, emit: Callable[[Notice], None], *, stale: bool
) -> None:
    if repair.set_aside is not None:
        emit(
            Notice(
                "W046",
                f"{path} was edited: your version is saved as {repair.set_aside}, and the "
                f"results are written again",
            )
        )
    elif repair.torn:
        emit(Notice("N047", f"{path} ended in an incomplete line; it was repaired"))
    elif repair.added and not stale:
        emit(
            Notice(
                "N048",
                f"{counted(repair.added, 'result was', 'results were')} missing from {path}: "
                f"added from the run's journal",
            )
        )
