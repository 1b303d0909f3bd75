"""The results of an ended batch become outcomes and result lines, while they come.

Groups of some hundreds are written down in one transaction each. Lines that come twice,
because a download broke and began anew, find their attempts ended and settle nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch
from claudebatch.clients.batch_results import BatchResult
from claudebatch.core.domain import Failure, Reply, Route
from claudebatch.core.errors import StopRun
from claudebatch.core.events import AttemptFinished, RowFinished
from claudebatch.core.notice import Notice
from claudebatch.core.result_lines import answer_head, failed_head, place
from claudebatch.engine.batches.answer_judge import JudgedAnswer
from claudebatch.engine.batches.attach import ATTACHED, name_of
from claudebatch.engine.batches.custom_ids import parse_custom_id
from claudebatch.engine.batches.doubts import NothingProved, NotOurs, ResultsIncomplete
from claudebatch.engine.batches.holds import BatchHolds
from claudebatch.engine.batches.outcomes import NOT_SENT, BatchOutcome
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal import NUMBER_ID, AttemptState
from claudebatch.storage.journal.batch_members import (
    BatchMember,
    followers,
    members,
    next_members,
    tries_in_batches,
)
from claudebatch.storage.journal.batches import BatchRow, note_proved
from claudebatch.storage.journal.named_rows import attempts_of_names
from claudebatch.storage.journal.records import (
    NOT_FREE,
    AnswerSource,
    FreeAnswer,
    ResultRecord,
    utc_day,
)
from claudebatch.storage.journal.roads import go_live, lead_no_more
from claudebatch.storage.journal.row_index import asked_as

_GROUP = 500
# So many must lack a row before it is believed to be missing.
_DOWNLOADS = 3


@dataclass(slots=True)
class Collected:
    """What a batch has brought so far."""

    answered: int = 0
    failed: int = 0
    again: int = 0
    stop: StopRun | None = None


@dataclass(slots=True)
class _Step:
    """What one group of results asks for besides."""

    live: list[int] = field(default_factory=list)
    """Rows that are sent at once from now on."""
    kept: dict[str, bytes] = field(default_factory=dict)
    """Answers for the response cache, by key."""


class BatchCollector:
    """Takes in the results of one batch after the other."""

    def __init__(self, parts: BatchParts, holds: BatchHolds) -> None:
        self._parts = parts
        self._holds = holds
        # Mutable: how many rows are to be sent at once from now on, by all batches; and
        # how often the results of each batch lacked rows.
        self.gone_live = 0
        self._lacking: Counter[int] = Counter()

    async def collect(self, client: BatchClient, row: BatchRow, batch: Batch) -> Collected:
        """Download and write down all results of *batch*, which has ended. Raises
        `NotOurs`, `ResultsIncomplete`, `NothingProved` and what the client raises: then
        the rest is collected another time.
        """
        found = Collected()
        if batch.simulated and not self._parts.simulated:
            # Before the first of its answers: they must not pass for real ones.
            await self._parts.journal.read(lambda _: self._parts.note_simulator())
        proved, group = row.proved, list[BatchResult]()
        try:
            async with aclosing(client.results(batch.id)) as results:
                async for result in results:
                    # A line that cannot be read tells nothing, of whose it is neither.
                    if not result.custom_id:
                        continue
                    if not proved:
                        await self._prove(row, result)
                        proved = True
                    group.append(result)
                    if len(group) >= _GROUP:
                        await self._take_in(row, batch, group, found)
                        group = []
        finally:
            # What has come is paid for, even where the rest is missing.
            if proved:
                await self._take_in(row, batch, group, found)
        if await self._next(row, 0):
            # Believed at once, answers that were paid for would be lost: a proxy that
            # cuts a download may end it as if it were whole.
            self._lacking[row.batch] += 1
            if self._lacking[row.batch] < _DOWNLOADS:
                raise ResultsIncomplete
            if not proved:
                # Of a batch that is another's, our rows would count as answered.
                raise NothingProved
        await self._take_missing(row, batch, found)
        return found

    async def give_up(self, row: BatchRow, *, sent: bool, why: str) -> Collected:
        """End every row of *row* that has no outcome: *sent*, they may be billed."""
        found, after = Collected(), 0
        read = self._parts.outcomes
        while some := await self._next(row, after):
            after = some[-1].intent.attempt
            outcomes = [
                read.unknown(member.intent, why, 0) if sent else read.not_sent(member.intent)
                for member in some
            ]
            # Only noted: whether they are asked again is another session's matter.
            await self._write(row, some, outcomes, found, keep_pending=True)
        return found

    async def _prove(self, row: BatchRow, result: BatchResult) -> None:
        parsed = parse_custom_id(result.custom_id)
        if parsed is None or parsed.nonce != row.nonce:
            raise NotOurs(None if parsed is None else parsed.nonce)
        await self._parts.journal.read(partial(note_proved, batch=row.batch))

    async def _take_in(
        self, row: BatchRow, batch: Batch, group: Sequence[BatchResult], found: Collected
    ) -> None:
        by_attempt = await self._by_attempt(row, group)
        here = await self._parts.journal.read(
            partial(members, batch=row.batch, attempts=list(by_attempt))
        )
        latency_ms = _duration_ms(batch)
        outcomes = [
            self._parts.outcomes.read(
                member.intent,
                by_attempt[member.intent.attempt],
                latency_ms=latency_ms,
                simulated=batch.simulated,
            )
            for member in here
        ]
        await self._write(row, here, outcomes, found)

    async def _by_attempt(
        self, row: BatchRow, group: Sequence[BatchResult]
    ) -> dict[int, BatchResult]:
        by_attempt: dict[int, BatchResult] = {}
        # Each row has one line; of two, an answer that is billed is the better one.
        group = sorted(group, key=lambda result: result.kind != "succeeded")
        if row.nonce == ATTACHED:
            by_name: dict[str, BatchResult] = {}
            for result in group:
                by_name.setdefault(name_of(result.custom_id), result)
            attempts = await self._parts.journal.read(
                partial(attempts_of_names, batch=row.batch, names=list(by_name))
            )
            return {attempt: by_name[name] for name, attempt in attempts.items()}
        for result in group:
            parsed = parse_custom_id(result.custom_id)
            # A line that names nobody is no row's: those without one are told below.
            if parsed is not None and parsed.nonce == row.nonce:
                by_attempt.setdefault(parsed.attempt, result)
        return by_attempt

    async def _take_missing(self, row: BatchRow, batch: Batch, found: Collected) -> None:
        """Rows of which the results say nothing may be billed."""
        # The API promises one line for each request. What it leaves out may have been
        # answered all the same, so it is neither free nor to be paid for again unseen.
        after, missing = 0, 0
        while some := await self._next(row, after):
            after, missing = some[-1].intent.attempt, missing + len(some)
            read = self._parts.outcomes
            outcomes = [read.unknown(member.intent, "no result", 0) for member in some]
            await self._write(row, some, outcomes, found)
        if missing:
            self._parts.emit(
                Notice(
                    "W081",
                    f"the results of {batch.id} lack {missing:,} of its rows: they count as maybe "
                    f"billed; please report it",
                )
            )

    async def _next(self, row: BatchRow, after: int) -> list[BatchMember]:
        return await self._parts.journal.read(
            partial(next_members, batch=row.batch, after=after, count=_GROUP)
        )

    async def _write(
        self,
        row: BatchRow,
        here: Sequence[BatchMember],
        outcomes: Sequence[BatchOutcome],
        found: Collected,
        *,
        keep_pending: bool = False,
    ) -> None:
        tries = await self._tries(here, outcomes)
        step = _Step()
        for member, outcome in zip(here, outcomes, strict=True):
            self._parts.journal.settle(outcome.record)
            self._holds.spent(row.batch, _gone(outcome), outcome.record.intent.day)
            if outcome.record.http.error != NOT_SENT:
                self._tell(outcome)
            if outcome.stop is not None:
                found.stop = found.stop or outcome.stop
            elif self._is_here(member) and not keep_pending:
                tried = tries.get(member.intent.row, 0) + 1
                # Rows whose lines are gone keep what was paid, and have no result.
                await self._finish(member, outcome, tried, step, found)
        # Lines that come twice must find their attempts ended; rows that are asked on
        # at once must find their answers.
        await self._parts.journal.flush()
        keys = [member.key for member in here if member.key]
        await self._parts.journal.read(partial(lead_no_more, keys=keys))
        await self._ask_as_now(here, outcomes, step)
        if step.live:
            self.gone_live += len(step.live)
            await self._parts.journal.read(partial(go_live, rows=step.live))
        if step.kept and self._parts.cache is not None:
            await self._parts.cache.put_many(step.kept)

    async def _ask_as_now(
        self, here: Sequence[BatchMember], outcomes: Sequence[BatchOutcome], step: _Step
    ) -> None:
        """Rows that are to be asked again are asked with the settings of this session,
        which are others: their keys in the index must be those.
        """
        make_key, again = self._parts.key, set(step.live)
        if make_key is None:
            return
        found: list[tuple[str, str, bytes, int]] = []
        for member, outcome in zip(here, outcomes, strict=True):
            if outcome.reply is not None and member.intent.row not in again:
                continue
            call = self._parts.rows.call(member.ref, self._parts.rows.line(member.ref))
            if call is not None:
                key = bytes.fromhex(make_key(call.prompt, call.body))
                found.append((call.model, call.route.rule, key, call.row))
        await self._parts.journal.read(partial(asked_as, rows=found))

    async def _finish(
        self,
        member: BatchMember,
        outcome: BatchOutcome,
        tried: int,
        step: _Step,
        found: Collected,
    ) -> None:
        """The row's result, or another way to one; *tried*: by so many batches."""
        row = member.intent.row
        if outcome.reply is not None:
            await self._answered(member, outcome.reply, step, found)
        elif outcome.elsewhere and self._parts.judge.has_fallback(member.intent.model):
            step.live.append(row)
        elif outcome.again and tried < self._parts.settings.tries:
            found.again += 1
        elif outcome.again and self._parts.settings.via == "auto":
            step.live.append(row)
        else:
            found.failed += 1
            await self._fail(member, outcome, tried)

    async def _tries(
        self, here: Sequence[BatchMember], outcomes: Sequence[BatchOutcome]
    ) -> dict[int, int]:
        """How often earlier batches brought those rows back that have no answer now."""
        # Not of those that are answered: nearly all are, and it takes a look-up each.
        rows = [
            member.intent.row
            for member, outcome in zip(here, outcomes, strict=True)
            if outcome.reply is None
        ]
        known = await self._parts.journal.read(partial(tries_in_batches, rows=rows))
        return {row: known.get(row, 0) for row in rows}

    async def _answered(
        self, member: BatchMember, reply: Reply, step: _Step, found: Collected
    ) -> None:
        judged = self._parts.judge.judge(member, reply)
        if judged is None:
            # Its line was edited meanwhile: what was paid stays with what was asked.
            return
        if judged.goes_on:
            found.again += 1
            step.live.append(member.intent.row)
            self._parts.judge.goes_on(member, judged, await self._followers(member))
            return
        found.answered += 1
        await self._answer(member, judged, step.kept)

    async def _answer(
        self, member: BatchMember, judged: JudgedAnswer, kept: dict[str, bytes]
    ) -> None:
        reply = judged.reply
        await self._finish_answered(member, judged, NOT_FREE)
        if member.key and self._parts.cache is not None:
            # What somebody else's batch was asked nobody knows for sure.
            kept = {} if member.intent.rule == ATTACHED else kept
            key, unkept = member.key.hex(), self._parts.unkept(reply)
            if self._parts.notes is not None:
                self._parts.notes.answered(key, None, reply, unkept=unkept)
            if not unkept:
                kept[key] = reply.message
            # As of equal rows that are sent at once: one request, one bill.
            shared = replace(reply, source="duplicate", cost=0, cost_known=True, attempts=0)
            for other in await self._followers(member):
                free = FreeAnswer(
                    AnswerSource.DUPLICATE,
                    # A made-up answer would not have cost anything either.
                    0 if reply.simulated and not self._parts.simulated else reply.cost,
                    utc_day(self._parts.wall_ms()),
                    other.intent.model,
                    other.intent.rule,
                )
                # The request is the same; what is looked for in its answer may differ.
                own = self._parts.judge.judge(other, shared)
                if own is not None:
                    await self._finish_answered(other, own, free)

    async def _finish_answered(
        self, member: BatchMember, judged: JudgedAnswer, free: FreeAnswer
    ) -> None:
        reply, intent = judged.reply, member.intent
        first = answer_head(
            intent.id,
            Route(intent.model, intent.rule),
            reply,
            ended=judged.ended,
            reading=judged.reading,
            number_id=member.own == NUMBER_ID,
            simulated=self._parts.simulated,
        )
        await self._parts.journal.finish(
            ResultRecord(
                intent.row,
                int(judged.ended),
                first,
                reply.message,
                reply.attempt_id,
                free=free,
                place=self._place(member),
            )
        )
        self._parts.emit(
            RowFinished(
                intent.id,
                reply.model,
                reply.source,
                True,
                latency_ms=reply.latency_ms,
                saved=free.saved,
                via="batch",
            )
        )

    async def _fail(self, member: BatchMember, outcome: BatchOutcome, attempts: int) -> None:
        failure = outcome.failure or Failure("unknown", "")
        # Equal rows would be refused alike; what may pass is asked for them, too.
        others = [] if outcome.again else await self._followers(member)
        for one in (member, *others):
            intent = one.intent
            first = failed_head(
                intent.id,
                Route(intent.model, intent.rule),
                intent.model,
                failure,
                attempts=attempts if one is member else 0,
                latency_ms=outcome.record.http.latency_ms,
                via="batch",
                number_id=one.own == NUMBER_ID,
                simulated=self._parts.simulated,
            )
            await self._parts.journal.finish(
                ResultRecord(intent.row, 0, first, place=self._place(one))
            )
            self._parts.emit(
                RowFinished(
                    intent.id,
                    intent.model,
                    "api",
                    False,
                    failure.type,
                    message=failure.message,
                    via="batch",
                )
            )

    async def _followers(self, member: BatchMember) -> list[BatchMember]:
        if not member.key or self._parts.cache is None:
            return []
        wanted = self._parts.wanted
        return await self._parts.journal.read(partial(followers, of=member, wanted=wanted))

    def _is_here(self, member: BatchMember) -> bool:
        # A row beyond `--limit` may be of a file that is not given this time: the next
        # session that has it shows the answer.
        return member.live and member.source < len(self._parts.names)

    def _place(self, member: BatchMember) -> bytes:
        return place(member.line, self._parts.names[member.source], member.columns)

    def _tell(self, outcome: BatchOutcome) -> None:
        record, reply = outcome.record, outcome.reply
        unknown = record.state == AttemptState.UNKNOWN
        self._parts.emit(
            AttemptFinished(
                record.intent.model,
                "batches",
                usage=reply.usage if reply is not None else None,
                cost=record.intent.worst if unknown else record.price.cost,
                error=record.http.error,
                unknown=unknown,
                reply=reply,
                attempt=record.attempt,
                latency_ms=record.http.latency_ms,
                request_id=record.http.request_id,
                via="batch",
                id=record.intent.id,
                expected=self._parts.expect(record.intent) if reply is not None else 0,
            )
        )


def _gone(outcome: BatchOutcome) -> int:
    record = outcome.record
    if record.state == AttemptState.UNKNOWN:
        return record.intent.worst
    return record.price.cost


def _duration_ms(batch: Batch) -> int:
    if batch.ended_at is None:
        return 0
    return max(0, round((batch.ended_at - batch.created_at).total_seconds() * 1000))
