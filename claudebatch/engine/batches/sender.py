"""Rows that can wait, to the Message Batches API and back: built, made, asked about,
collected.

One task does it, step by step. All that must last lies in the journal: a crash at any
point is taken up where it was, and the same command collects days later.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial

from claudebatch.clients.base_url import address_of
from claudebatch.clients.batch_protocol import MOST_LISTED, BatchClient
from claudebatch.clients.batch_records import Batch
from claudebatch.clients.batch_upload import of_file
from claudebatch.core.errors import (
    ApiUnavailable,
    AttemptError,
    BatchTooLarge,
    BudgetExhausted,
    Draining,
    StopRun,
)
from claudebatch.core.events import BatchChanged, BatchPhase
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.engine.batches.attach import Attacher
from claudebatch.engine.batches.build import BatchBuilder
from claudebatch.engine.batches.collect import BatchCollector, Collected
from claudebatch.engine.batches.deadline_keeper import DeadlineKeeper
from claudebatch.engine.batches.doubts import NothingProved, NotOurs, ResultsIncomplete
from claudebatch.engine.batches.find_orphans import OrphanFinder
from claudebatch.engine.batches.holds import BatchHolds
from claudebatch.engine.batches.made_twice import SecondBatches
from claudebatch.engine.batches.orphans import KEPT_S, ms
from claudebatch.engine.batches.outages import AskedBatches, BatchOutage
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.engine.batches.polls import Polls
from claudebatch.engine.batches.queue_room import QueueRoom
from claudebatch.engine.batches.set_aside import Doubt, SetAside
from claudebatch.engine.batches.to_make import ToMake
from claudebatch.engine.batches.upload_file import NAME, remove
from claudebatch.storage.journal.batch_places import BatchPlace, batch_places, note_place
from claudebatch.storage.journal.batches import (
    BatchRow,
    BatchState,
    held_by_batches,
    let_go,
    note_made,
    note_over,
    of_nonce,
    open_batches,
    own_batches,
)
from claudebatch.storage.journal.planned_rows import send_all_now

# So often a wait looks whether anything else is to be done.
_STEP_S = 5.0
# So long what does not fit under the cap waits for what others hold: live rows of this
# run, other runs.
_SHORT_S = 5.0


class BatchSender:
    """Sends the rows of the road `batch` until none is left, or none fits.

    `run` ends when every batch is collected; with `detach`, when every row that fits is
    sent. Rows that turn out to need another way are told by `changed`.
    """

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        self._holds = BatchHolds(parts.budget)
        self._builder = BatchBuilder(parts, self._holds)
        self._collector = BatchCollector(parts, self._holds)
        # Mutable: the client once it is needed; batches that are not collected, with
        # their polls; those of this session; those that the API does not show; where
        # each is; the one that is built and not yet made; whether others leave no room
        # in the queue; whether a deadline is kept without batches; and why the run
        # stops.
        self._client: BatchClient | None = None
        self._outage = BatchOutage(parts.max_outage_s)
        self._open: dict[int, BatchRow] = {}
        self._polls: dict[int, Polls] = {}
        self._orphans = OrphanFinder(parts)
        self._second = SecondBatches(parts)
        self._collected_here = False
        self._made_here: set[int] = set()
        self._aside = SetAside()
        self._places: dict[int, BatchPlace] = {}
        self._to_make: ToMake | None = None
        self.stop: StopRun | None = None
        self._may_build = True
        self._try_again = float("-inf")
        self._queue = QueueRoom(parts)
        self._crowded = False
        self._without = False
        self.keeper: DeadlineKeeper | None = None
        """Gives late batches up, where there is a deadline; to be set before `run`."""
        self.changed = asyncio.Event()
        """Set whenever rows went to the other road, and at the end."""
        self.moves = 0
        """How often there may be more for the other road."""
        self.ended = False

    @property
    def parts(self) -> BatchParts:
        """What it is made of."""
        return self._parts

    @property
    def over_budget(self) -> BudgetExhausted | None:
        """A row that can never fit under the cap, if there was one."""
        return self._holds.refused

    async def take_up(self) -> None:
        """Hold the money of batches that are on their way since earlier sessions. To be
        called once those that a crash left half built are undone, and before anything
        else is held.
        """
        journal = self._parts.journal
        remove(self._parts.folder / NAME)
        self._places = dict(await journal.read(batch_places))
        for row in await journal.read(open_batches):
            for day, worst in await journal.read(partial(held_by_batches, batch=row.batch)):
                await self._holds.adopt(row.batch, worst, day)
            place = self._places.get(row.batch, BatchPlace(self._parts.address))
            here = address_of(place.address) == self._parts.address
            if self._parts.simulated or (place.simulated and not here):
                # The simulator of that session is gone, with all that it knew.
                await self._never_made(row)
            elif here:
                self._follow(row)
                self._tell(row, "in progress" if row.id else "looked for")
            else:
                await self._leave_alone(row, place)
        await self._warn_of_others()

    async def _warn_of_others(self) -> None:
        """Of rows that another run has in a batch the cache knows nothing yet."""
        if self._parts.asked_elsewhere is None:
            return
        for run, rows in (await self._parts.journal.read(self._parts.asked_elsewhere)).items():
            self._parts.emit(
                Notice(
                    "W123",
                    f"{counted(rows, 'row asks', 'rows ask')} for what is in a batch of {run}: "
                    f"sent from here as well, it is paid for twice; `claudebatch batches collect "
                    f"{run}` brings the answers, and the cache gives them to this run",
                )
            )

    async def _leave_alone(self, row: BatchRow, place: BatchPlace) -> None:
        """*row* is at another address: here it would be looked for in vain."""
        made_ms = row.created_ms
        if made_ms is not None and self._parts.wall_ms() > made_ms + KEPT_S * 1000:
            await self._lost(row, "the API keeps results for 29 days")
            return
        self._parts.emit(
            Notice(
                "W120",
                f"{counted(row.requests, 'row is', 'rows are')} in a batch at "
                f"{place.address or 'the API itself'}, not at the address of this run: to "
                f"collect it, run the same command with that one",
            )
        )

    @property
    def in_flight(self) -> list[BatchRow]:
        """The batches that are not collected."""
        return list(self._open.values())

    async def run(self) -> None:
        """Send and collect; ends early where the run drains or must stop."""
        try:
            with suppress(Draining):
                await self._work()
                if self._outage.error is None:
                    await self._look_for_second_ones()
            await self._undo_waiting()
            # Nobody else is stopped by these: other rows may be of use.
            stops = (self._builder.kinds.stop(), self._outage.stop(), self._aside.stop())
            self.stop = self.stop or next(filter(None, stops), None)
        except StopRun as stop:
            await self._undo_waiting()
            self.stop = self.stop or stop
            self._parts.halt(stop)
        finally:
            self.ended = True
            self.changed.set()

    async def close(self) -> None:
        """Close the connections; batches go on by themselves."""
        remove(self._parts.folder / NAME)
        if self._client is not None:
            await self._client.close()

    async def _work(self) -> None:
        await self._attach()
        while True:
            self._parts.drain.check()
            # What has ended comes first: its money may let the next batch be built.
            await self._ask_due()
            if await self._is_away():
                return
            await self._give_up_late()
            if await self._submit():
                continue
            short = self._holds.short or self._crowded
            if self._to_make is None and self._nothing_left(short=short):
                return
            now = self._parts.now()
            if short and now >= self._try_again:
                # No batch of ours need end for that: left now, they would stay unsent.
                self._may_build, self._try_again = True, now + _SHORT_S
            due = [polls.due for polls in self._polls.values()]
            due += [self._try_again] if short else []
            due += [self._to_make.due] if self._to_make is not None else []
            due += [now + wait_s] if (wait_s := self._late_in()) is not None else []
            await self._parts.drain.sleep(max(0.0, min(min(due) - now, _STEP_S)))

    async def _is_away(self) -> bool:
        error = self._outage.error
        if error is None:
            return False
        if not await self._go_on_without(error) and self._to_make is not None:
            # More than a patience for answers: there is something to be sent.
            raise self._unavailable(error)
        return True

    async def _go_on_without(self, error: AttemptError) -> bool:
        """Whether rows that no batch has are sent at once: a deadline does not wait
        until batches can be made again.
        """
        if self.keeper is None or self._without:
            return False
        self._without = True
        await self._undo_waiting()
        await self._parts.journal.read(send_all_now)
        self._parts.emit(
            Notice(
                "W118",
                f"batches cannot be made or asked about ({error.message}): rows that are in none "
                f"are sent at once",
            )
        )
        self._tell_moved()
        return True

    async def _look_for_second_ones(self) -> None:
        # With the last batch: a list for each would be as many requests again.
        if self._collected_here:
            await self._second.look(self._connected())

    async def _attach(self) -> None:
        name = self._parts.attach
        if not name:
            return
        undo = partial(self._collector.give_up, sent=False, why="")
        try:
            row = await Attacher(self._parts, undo).attach(self._connected(), name)
        except AttemptError as error:
            raise ApiUnavailable(
                "E855", f"{name} cannot be looked at: {error.message}", fix="try again"
            ) from error
        if row is None:
            return
        for day, worst in await self._parts.journal.read(partial(held_by_batches, batch=row.batch)):
            await self._holds.adopt(row.batch, worst, day)
        await self._remember(row)
        self._follow(row)
        self._tell(row, "ended")

    def _nothing_left(self, *, short: bool) -> bool:
        if not self._open:
            return not short
        # Of some it may not be known whether they were made.
        known = all(row.id is not None for row in self._open.values())
        return self._parts.detach and known

    async def _give_up_late(self) -> None:
        """Give batches up that the deadline leaves no more time for."""
        keeper = self.keeper
        if keeper is None:
            return
        before = keeper.given_up
        if not await keeper.late(self.in_flight):
            return
        if not before:
            # Rows that are in no batch go by the other road from now on.
            await self._undo_waiting()
            self._tell_moved()
        for row in keeper.due(self.in_flight):
            self._parts.drain.check()
            self._canceling(row, await keeper.cancel(self._connected(), row))

    def _canceling(self, row: BatchRow, batch: Batch | None) -> None:
        now = self._parts.now()
        if batch is None:
            # Not anew: of one that nobody knows any more that would never be believed.
            self._polls[row.batch].at_once(now)
            return
        # Anew: it may end within seconds, however long it has been asked about.
        polls = self._polls[row.batch] = self._new_polls(now)
        if batch.ended:
            polls.at_once(now)
        else:
            self._tell(row, "canceling")

    def _new_polls(self, now: float) -> Polls:
        parts = self._parts
        return Polls(now, first_s=parts.settings.poll_s, max_outage_s=parts.max_outage_s)

    def _late_in(self) -> float | None:
        return None if self.keeper is None else self.keeper.wait_s(self.in_flight)

    # Building and making.

    async def _submit(self) -> bool:
        """Build or make one batch; False where none is to be made now."""
        if self._parts.collect:
            return False
        if self._to_make is None:
            self._to_make = await self._build()
        # One that waits for its turn keeps no other from being collected.
        if self._to_make is None or self._to_make.due > self._parts.now():
            return False
        # Stopped while it was built: nothing new is sent.
        self._parts.drain.check()
        waiting, self._to_make = self._to_make, None
        await self._make(waiting)
        return True

    async def _build(self) -> ToMake | None:
        """The next batch; None where none is to be made now."""
        # What did not fit may fit when a batch has ended, and not before.
        if not self._may_build:
            return None
        if not await self._builder.any():
            # Nothing waits for room or money that there is no row for.
            self._may_build = self._holds.short = self._crowded = False
            return None
        room = await self._queue.look(self._connected(), self.in_flight)
        # Full batches: a small one for each that comes back would never end.
        if room <= 0 or (self._open and room < min(self._builder.most_requests, 1000)):
            self._wait_for_room()
            return None
        self._crowded = False
        self._holds.short = False
        built = await self._builder.build(room, self._here)
        self._try_again = self._parts.now() + _SHORT_S
        self._tell_live(self._builder)
        if built is None:
            self._may_build = False
            return None
        self._made_here.add(built.row.batch)
        self._places[built.row.batch] = built.place
        return ToMake(built, self._parts.now())

    def _here(self) -> BatchPlace:
        queue = self._queue
        return BatchPlace(self._parts.address, skew_ms=queue.skew_ms, seen=queue.seen)

    def _wait_for_room(self) -> None:
        if self._queue.others and not self._crowded:
            rows = counted(self._queue.others, "row")
            self._parts.emit(
                Notice(
                    "N117",
                    f"{rows} of other runs and programs are in the account's queue of batches: "
                    f"the next batch waits for room",
                )
            )
        # Without batches of our own, nothing else would keep the session.
        self._crowded = bool(self._queue.others)

    async def _make(self, waiting: ToMake) -> None:
        """Have the API make *waiting*; what it does not take now waits on."""
        built, row = waiting.built, waiting.built.row
        try:
            # Not interrupted half-way: a cancelled create may have been made.
            batch = await self._connected().create(of_file(built.upload), betas=built.betas)
        except Draining:
            # Before it left.
            self._to_make = waiting
            raise
        except StopRun:
            await self._never_made(row)
            raise
        except AttemptError as error:
            now, most_s = self._parts.now(), self._parts.max_outage_s
            if error.may_be_billed:
                # Sent again it would be made, and paid for, twice: the list is looked
                # through until it shows the batch or has had its time.
                self._follow(row)
                self._tell(row, "looked for")
            elif isinstance(error, BatchTooLarge):
                await self._too_large(row)
            elif waiting.refused(now, error, max_outage_s=most_s):
                self._to_make = waiting
                return
            else:
                await self._never_made(row)
                if not await self._go_on_without(error):
                    raise self._unavailable(error) from error
        else:
            self._queue.made(batch.id)
            await self._made(row, batch, proved=True)
        remove(built.upload)

    async def _undo_waiting(self) -> None:
        """What waits to be made is not going to be."""
        waiting, self._to_make = self._to_make, None
        if waiting is not None:
            remove(waiting.built.upload)
            await self._never_made(waiting.built.row)

    async def _too_large(self, row: BatchRow) -> None:
        await self._never_made(row)
        if row.requests == 1:
            # By itself it may still be answered at once.
            raise ApiUnavailable(
                "E780",
                "the API takes no batch of one row: it is too large",
                fix="run the same command with --via live",
            )
        # Half of what it was, until the API takes it: its limit is in bytes and rows.
        self._builder.most_requests = max(1, row.requests // 2)
        self._parts.emit(
            Notice(
                "W082",
                f"a batch of {row.requests:,} rows was too large for the API: batches have at "
                f"most {self._builder.most_requests:,} from now on",
            )
        )

    def _unavailable(self, error: AttemptError) -> StopRun:
        return ApiUnavailable(
            "E781",
            f"batches cannot be made: {error.message}",
            fix="wait until the API is back, then run the same command",
        )

    async def _made(self, row: BatchRow, batch: Batch, *, proved: bool) -> None:
        noted = await self._parts.journal.read(
            partial(
                note_made,
                batch=row.batch,
                id=batch.id,
                proved=proved,
                created_ms=ms(batch.created_at),
                expires_ms=ms(batch.expires_at),
            )
        )
        if batch.simulated and not self._parts.simulated:
            place = self._places[row.batch] = BatchPlace(self._parts.address, simulated=True)
            await self._parts.journal.read(partial(note_place, batch=row.batch, place=place))
            await self._parts.journal.read(lambda _: self._parts.note_simulator())
        if proved:
            # A candidate may be another user's: other runs must not leave it alone.
            await self._remember(noted)
        self._follow(noted)
        self._tell(noted, "submitted")

    async def _never_made(self, row: BatchRow) -> None:
        await self._collector.give_up(row, sent=False, why="")
        await self._over(row, BatchState.NOT_MADE)
        self._tell(row, "never made")

    # Asking and collecting.

    async def _ask_due(self) -> None:
        now = self._parts.now()
        unknown = [row for row in self._open.values() if row.id is None]
        due = [row for row in unknown if self._polls[row.batch].due <= now]
        if due:
            await self._look_for(unknown)
        for row in list(self._open.values()):
            self._parts.drain.check()
            if row.id is not None and self._polls[row.batch].due <= self._parts.now():
                await self._ask(row, row.id)
            # Each may take minutes not to be answered.
            if self._outage.error is not None:
                return

    async def _look_for(self, rows: list[BatchRow]) -> None:
        with_id = [row for row in self._open.values() if row.id is not None]
        # Also of those that are collected: their results would prove them once more.
        own = await self._parts.journal.read(own_batches)
        try:
            found = await self._orphans.look(
                self._connected(),
                rows,
                places=self._places,
                taken=own,
                unproved={row.id for row in with_id if row.id and not row.proved},
            )
        except AttemptError as error:
            for row in rows:
                self._polls[row.batch].failed(self._parts.now(), error)
            return
        for row in rows:
            self._polls[row.batch].answered(self._parts.now(), None)
            candidate = found.get(row.batch)
            if candidate is not None:
                await self._made(row, candidate, proved=False)
            elif self._orphans.given_up(row):
                await self._not_found(row)

    async def _ask(self, row: BatchRow, id: str) -> None:
        polls = self._polls[row.batch]
        try:
            batch = await self._connected().retrieve(id)
            if batch.archived_at is not None:
                await self._lost(row, "the API keeps results for 29 days")
            elif not batch.ended:
                polls.answered(self._parts.now(), batch.retry_after)
                phase: BatchPhase = "canceling" if batch.status == "canceling" else "in progress"
                self._tell(row, phase)
            else:
                await self._collect(row, batch)
        except AttemptError as error:
            # Of a batch that is alive, 404s pass. What else fails is tried again.
            if not polls.failed(self._parts.now(), error):
                return
            place = self._places.get(row.batch)
            if place is not None and place.simulated:
                # A simulator that was started anew: nothing was ever billed.
                await self._never_made(row)
            else:
                await self._not_known(row)

    async def _not_found(self, row: BatchRow) -> None:
        """No list has shown *row* for as long as lists may lag."""
        here = True
        if row.batch not in self._made_here:
            # Another session has asked for it, perhaps with another key.
            try:
                here = await self._orphans.shows_where_it_was_asked_for(
                    self._connected(),
                    self._places.get(row.batch),
                    intent=row,
                    ours=await self._parts.journal.read(own_batches),
                )
            except AttemptError:
                return
        if here:
            await self._never_made(row)
        elif self._orphans.is_too_old(row, self._places.get(row.batch)):
            await self._lost(row, "the API keeps results for 29 days")
        else:
            await self._set_aside(row, Doubt.PERHAPS_ELSEWHERE)

    async def _set_aside(self, row: BatchRow, doubt: Doubt) -> None:
        """Leave *row* as it is, unless the user has given it up."""
        # Believed to be gone, answers that another key can have would be paid for
        # again.
        if self._parts.retry_batches:
            await self._lost(row, "--retry-batches gives it up")
            return
        self._aside.add(row, doubt)
        self._open.pop(row.batch, None)
        self._polls.pop(row.batch, None)

    async def _not_known(self, row: BatchRow) -> None:
        """The API has not known *row* for long, or this key's workspace has not."""
        listed = None
        with suppress(AttemptError):
            listed = await self._connected().page(limit=MOST_LISTED)
        # By the server's clock where it tells: ours may be a month ahead.
        now = (listed and listed.server_time) or self._parts.wall()
        now_ms = now.timestamp() * 1000
        if now_ms > (row.created_ms or 0) + KEPT_S * 1000:
            await self._lost(row, "the API does not know it any more")
            return
        if listed is None:
            return
        own = await self._parts.journal.read(own_batches)
        seen = {batch.id for batch in listed.batches}
        if not seen & (own | self._parts.known_elsewhere()):
            await self._set_aside(row, Doubt.NOT_SHOWN)
        elif row.id not in seen and row.expires_ms is not None and now_ms > row.expires_ms:
            # It was deleted: of the same workspace, others are there.
            await self._lost(row, "the API does not know it any more")

    async def _collect(self, row: BatchRow, batch: Batch) -> None:
        self._tell(row, "ended")
        try:
            found = await self._collector.collect(self._connected(), row, batch)
        except NotOurs as other:
            await self._let_go(row, batch, other.nonce)
            return
        except ResultsIncomplete:
            self._polls[row.batch].answered(self._parts.now(), None)
            return
        except NothingProved:
            await self._set_aside(row, Doubt.PROVED_BY_NOTHING)
            return
        await self._over(row, BatchState.COLLECTED, ended_ms=ms(batch.ended_at))
        self._collected_here = True
        self._tell(row, "collected", found)
        self._tell_live(self._collector)
        if found.stop is not None:
            raise found.stop

    async def _let_go(self, row: BatchRow, batch: Batch, nonce: str | None) -> None:
        """*batch*, the candidate of *row*, bears another *nonce*."""
        self._tell(row, "not ours")
        if await self._parts.journal.read(partial(of_nonce, nonce=nonce or "")) is not None:
            # Of one that is known: its results would be forgotten as another's.
            await self._second.book(self._connected(), batch)
        owner = next((one for one in self._open.values() if one.nonce == nonce), None)
        known = owner is not None and owner.proved
        # One of our own must be found again by whose it is.
        foreign = batch.id if owner is None or known else None
        self._orphans.begin_anew(row)
        # Its own may still be in the list.
        self._follow(
            await self._parts.journal.read(partial(let_go, batch=row.batch, foreign=foreign))
        )
        if owner is not None and not known:
            await self._made(owner, batch, proved=True)
            self._polls[owner.batch].at_once(self._parts.now())

    async def _lost(self, row: BatchRow, why: str) -> None:
        found = await self._collector.give_up(row, sent=True, why=why)
        await self._over(row, BatchState.LOST)
        self._tell(row, "lost", found)
        name = row.id or "whose making was not answered"
        self._parts.emit(
            Notice(
                "W083",
                f"the batch {name} is lost: {why}; its {row.requests:,} rows may have been "
                f"billed, and are to be done again",
            )
        )

    async def _over(self, row: BatchRow, state: BatchState, ended_ms: int | None = None) -> None:
        # Its outcomes first: a crash between the two finds a batch that is collected
        # again, and settles nothing twice.
        await self._parts.journal.flush()
        await self._parts.journal.read(
            partial(note_over, batch=row.batch, state=state, ended_ms=ended_ms)
        )
        await self._remember(replace(row, state=state, ended_ms=ended_ms))
        await self._holds.end(row.batch)
        self._open.pop(row.batch, None)
        self._polls.pop(row.batch, None)
        self._may_build = True
        # Its rows may be pending again, and its money may be free.
        self._tell_moved()

    async def _remember(self, row: BatchRow) -> None:
        address = self._places.get(row.batch, BatchPlace(self._parts.address)).address
        await self._parts.journal.read(lambda _: self._parts.remember(row, address))

    # Telling.

    def _follow(self, row: BatchRow) -> None:
        known = row.batch in self._open and self._open[row.batch].id == row.id
        self._open[row.batch] = row
        if not known:
            polls = self._polls[row.batch] = self._new_polls(self._parts.now())
            if row.batch not in self._made_here:
                # Made in an earlier session: it may have ended long ago.
                polls.at_once(self._parts.now())

    def _tell(self, row: BatchRow, phase: BatchPhase, found: Collected | None = None) -> None:
        found = found or Collected()
        self._parts.emit(
            BatchChanged(
                row.batch,
                row.id,
                phase,
                row.requests,
                self._holds.held(row.batch),
                at_ms=self._parts.wall_ms(),
                created_ms=row.created_ms,
                expires_ms=row.expires_ms,
                answered=found.answered,
                failed=found.failed,
                again=found.again,
            )
        )

    def _tell_live(self, source: BatchBuilder | BatchCollector) -> None:
        if source.gone_live:
            source.gone_live = 0
            self._tell_moved()

    def _tell_moved(self) -> None:
        self.moves += 1
        self.changed.set()

    def _connected(self) -> BatchClient:
        if self._client is None:
            self._client = AskedBatches(self._parts.connect(), self._outage, self._parts.now)
        return self._client
