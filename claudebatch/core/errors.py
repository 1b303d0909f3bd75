"""Every error that claudebatch raises on purpose, with the facts that its callers
decide on.

Three families:

* `ClaudebatchError`: a fault that the user can fix; carries the exit code and the fix.
* `AttemptError`: one HTTP attempt went wrong; carries whether it may be retried, when,
  and whether it may be billed.
* `StopRun`: no further row can succeed either; carries the reason and the exit code of
  the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from claudebatch.core.limit_headers import Limits


class ExitCode(IntEnum):
    """The process's exit codes, as `--help` and the README publish them."""

    # Scripts compare these numbers: a code keeps its meaning, and the worst of several
    # is the highest. From 128 on they are a shell's own: 128 and the number of the
    # signal.
    OK = 0
    ROWS_FAILED = 1
    USAGE = 2
    BUDGET = 3
    AUTH = 4
    UNAVAILABLE = 5
    LOCAL_IO = 6
    LOCKED = 7
    INTERNAL = 70
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class ClaudebatchError(Exception):
    """A fault that the user can fix. *id* is its name for good (docs/messages.md), such
    as E017; *fix* is the sentence that says what helps.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self, id: str, message: str, *, fix: str | None = None, exit_code: ExitCode | None = None
    ) -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.fix = fix
        if exit_code is not None:
            self.exit_code = exit_code


class ConfigError(ClaudebatchError):
    """The configuration cannot be used; nothing was sent."""

    others: tuple[ConfigError, ...] = ()
    """Further faults, found along with this one."""


def all_at_once(found: Sequence[ConfigError]) -> ConfigError:
    """The first of *found*, with all others: a configuration is fixed in one go."""
    first, *others = [one for error in found for one in (error, *error.others)]
    first.others = tuple(others)
    return first


class CredentialError(ClaudebatchError):
    """No credential, or one that is refused."""

    exit_code = ExitCode.AUTH


class LockedError(ClaudebatchError):
    """Another live run holds the output."""

    exit_code = ExitCode.LOCKED


class StorageError(ClaudebatchError):
    """One of our files cannot be read or written."""

    exit_code = ExitCode.LOCAL_IO


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one input line, in the words that are shown."""

    id: str
    """Its name for good, such as E330: docs/messages.md lists all."""
    reason: str
    fix: str
    recipe: str | None = None
    """A filter that fixes the whole file, where there is one."""


class BadRow(Exception):
    """An input line that will not be sent, with every problem found on it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(p.reason for p in problems))
        self.problems = problems


class AttemptError(Exception):
    """One attempt failed.

    retryable      another attempt at the same model may succeed
    may_be_billed  the API may have done the work although no answer came
    retry_after    seconds the API asked us to wait, None when it did not say
    unavailable    the model (not the row) is at fault: counts for the breaker, and a
                   fallback may help
    may_be_rows    though *unavailable*: single rows draw such failures as well
    most_attempts  so many attempts at most, however many others get; None: as usual
    limits         what the headers of the API's refusal say; None: it was no answer of
                   the API's to the request itself
    """

    def __init__(
        self,
        message: str,
        *,
        type: str,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        may_be_billed: bool = False,
        retry_after: float | None = None,
        unavailable: bool = False,
        may_be_rows: bool = False,
        most_attempts: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.may_be_billed = may_be_billed
        self.retry_after = retry_after
        self.unavailable = unavailable
        self.may_be_rows = may_be_rows
        self.most_attempts = most_attempts
        self.limits = limits
        self.attempts = 1
        """Number of attempts for this call; raised by the retry layer."""
        self.handed_over = False
        """The retry layer would try again, but another model of the chain may be
        quicker.
        """
        self.simulated = False
        """A simulator was asked: nothing was billed."""


LimitKind = Literal["rate", "ramp", "concurrency"]


class RateLimited(AttemptError):
    """A 429 that passes: the whole pool waits, and the attempt does not count, unless
    the row meets one after the other while others are answered.

    kind  rate: a limit per minute; ramp: usage grew too fast; concurrency: too many
          requests in flight
    bare  its headers show no limit of the account that is nearly used up
    """

    def __init__(
        self, message: str, *, kind: LimitKind = "rate", bare: bool = True, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.kind: LimitKind = kind
        self.bare = bare
        self.pauses_pool = kind != "concurrency"
        """Whether the pool waits out `retry_after`, for all its rows at once; told by
        the rate limit layer.

        Of any other error, of a 429 about requests in flight, and of one that came
        alone among answers, the row that met it waits.
        """


class NotServed(AttemptError):
    """This model cannot serve this row (retired, too long for its window); another
    model may.
    """


class PathFault(AttemptError):
    """Something else answers in the API's place (a portal, a proxy, another server):
    every row would get the same, so no row fails for it.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, retryable=True, unavailable=True, **facts)


class Blocked(AttemptError):
    """Something before the API refuses this request: a firewall that dislikes the
    prompt, unless others get the same and none is answered.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        # Once more, because some firewalls also refuse what comes too fast.
        super().__init__(message, type="blocked", retryable=True, most_attempts=2, **facts)


class BatchNotFound(AttemptError):
    """The API does not know this batch, or has no results of it; of a batch that is
    alive it may say so for minutes.
    """


class BatchTooLarge(AttemptError):
    """A batch with more bytes than the API takes at once: nothing was made."""


class CircuitOpen(AttemptError):
    """The pool's breaker is open; nothing was sent, and the API asked for no wait."""

    def __init__(
        self, pool: str, *, probe_in_s: float, open_for_s: float, unproven: bool = False
    ) -> None:
        super().__init__(
            f"{pool} keeps failing; the next try is in {probe_in_s:.0f} s",
            type="circuit_open",
            retryable=True,
            unavailable=True,
        )
        self.pool = pool
        self.probe_in_s = probe_in_s
        """Seconds until a probe may go."""
        self.open_for_s = open_for_s
        """Seconds since the pool last served anything."""
        self.unproven = unproven
        """It has served nothing in this session: it may be out, or the first rows may
        be such that always fail.
        """


# Not an `AttemptError`: no layer may take it for the fault of one row and try again.
class StopRun(Exception):
    """The whole run must stop: rows in flight finish, nothing new is sent."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, id: str, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.fix = fix


class AccountRefused(StopRun):
    """The API refuses the account, not the row: key, permission, billing, spend
    limit.
    """

    exit_code = ExitCode.AUTH


class CommandRefused(StopRun):
    """The API refuses what every row has in common: the address, the model, a
    parameter.
    """

    exit_code = ExitCode.USAGE


class Unreachable(StopRun):
    """Nothing has ever answered, and no further try can end otherwise: an address, a
    proxy or a certificate is wrong.
    """

    exit_code = ExitCode.USAGE


class ApiUnavailable(StopRun):
    """No model of the chain has answered for longer than the longest outage the run
    accepts.
    """

    exit_code = ExitCode.UNAVAILABLE


class PoolUnavailable(ApiUnavailable):
    """One pool lets nobody in while others do: only its own rows stay to be done."""


class SpendStopped(StopRun):
    """Spend has left its usual level, and the user wants the run to stop then."""

    exit_code = ExitCode.BUDGET


class JournalFailed(StopRun):
    """The journal cannot be written: nothing may be sent that is not written down
    first.
    """

    exit_code = ExitCode.LOCAL_IO


class OutputFailed(StopRun):
    """The results cannot be written: the journal keeps what comes in, and nothing new
    is sent.
    """

    exit_code = ExitCode.LOCAL_IO


class ReaderLeft(OutputFailed):
    """The reader of the results has left, as `head` does: nothing to complain of."""


# Neither family: the row is not at fault and the run may go on, with smaller rows.
class BudgetExhausted(Exception):
    """This row's worst case can never fit under a cap; the row stays to be done."""

    def __init__(
        self,
        message: str,
        *,
        worst: int = 0,
        needed: int = 0,
        left: int = 0,
        limit: int = 0,
        cap: str = "run",
        fix: str = "",
    ) -> None:
        super().__init__(message)
        self.limit = limit
        """The cap, in pico-dollars."""
        self.worst = worst
        """The most, in pico-dollars, that the row's next request can cost."""
        self.needed = needed
        """The smallest cap, in pico-dollars, that this row would fit under."""
        self.left = left
        """Pico-dollars that are left of the cap; below 0 where more was spent before
        the cap was lowered.
        """
        self.cap = cap
        """Its name: the run's own, or that of a day, a month or a tag."""
        self.fix = fix
        """The way to go on, if the cap is not the run's own."""


class Draining(Exception):
    """Raised out of every wait once the run is being stopped; the row stays to be
    done.
    """
