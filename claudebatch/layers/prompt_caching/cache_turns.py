"""Who goes ahead and who waits, for all beginnings of a run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from claudebatch.core.domain import PromptTokens
from claudebatch.layers.prompt_caching.asked_turn import Asks, CacheTurn, Wait
from claudebatch.layers.prompt_caching.beginning import Beginning

# Of 300 bytes each. What is forgotten is led again, which costs a wait.
_MOST_KEPT = 50_000
# So many rows of a model that follow may stand in the limiter's line. The next one is
# chosen when one has left: of the beginning that came first, unless another runs out.
_IN_LINE = 8
# So many beginnings of a model without any read, or without a word of a cache: the
# others are not tried.
_TRIED = 3


@dataclass(slots=True)
class _Model:
    """What the beginnings of one model have shown, and the lines of those at which rows
    wait.
    """

    read: bool = False
    """Whether anything was read, be it a beginning that none of its rows has marked."""
    proven: int = 0
    """How many beginnings were read."""
    tried_again: int = 0
    """How many may be written once more though they were never read."""
    stopped: int = 0
    unused: int = 0
    granted: int = 0
    lines: dict[Beginning, None] = field(default_factory=dict)
    lapses_at: float = inf
    """Before this moment none of them has to be used lest it run out."""


class Turns:
    """Gives each request its turn. No clock: moments are told."""

    def __init__(self, *, ready: Callable[[int], None] = lambda row: None) -> None:
        """*ready* hears of rows in line that need not wait for another's answer any
        more.
        """
        self._ready = ready
        # Mutable, changed by the methods below only: by digest, the one that was asked
        # for last at the end; and by model.
        self._beginnings: OrderedDict[bytes, Beginning] = OrderedDict()
        self._models: dict[str, _Model] = {}

    def __len__(self) -> int:
        return len(self._beginnings)

    def turn(self, asks: Asks, now: float, *, granted: bool = False) -> CacheTurn | Wait:
        """The turn of a request, or in which line it has to wait; *granted*: it was
        called up with the right to be sent.
        """
        known = self._models.setdefault(asks.model, _Model())
        chain = tuple(self._beginning(digest, asks.ttl_s) for digest in asks.digests)
        turn = self._turn(asks, known, chain, now)
        if isinstance(turn, CacheTurn) and turn.chain and not turn.led and not turn.free:
            if granted or known.granted < _IN_LINE:
                turn.granted = True
                known.granted += not granted
                return turn
            return Wait(turn.chain[-1], known.lines, for_answer=False)
        if granted:
            self._give_back(known, now)
        if isinstance(turn, CacheTurn):
            for one in chain:
                # What need not wait for a row to go ahead, none of its kind has to.
                if one.ahead is None:
                    _call_all(one)
        return turn

    def _turn(
        self, asks: Asks, known: _Model, chain: tuple[Beginning, ...], now: float
    ) -> CacheTurn | Wait:
        row, model = asks.row, asks.model
        if known.unused >= _TRIED:
            return CacheTurn(row, model, chain, free=True)
        if known.stopped >= _TRIED and not known.read:
            return CacheTurn(row, model)
        chain = _cached_still(chain)
        led = tuple(one for one in chain if not (one.unused or one.is_open(now)))
        for one in led:
            if one.ahead is not None:
                return Wait(one, known.lines, for_answer=True)
        for one in led:
            one.ahead = row
        probed = tuple(one for one in led if one.is_warm(now))
        # What was not read yet may have to be written, unless others are read.
        unsure = [one for one in led if not (known.read and one in probed)]
        return CacheTurn(
            row,
            model,
            chain,
            led=led,
            probed=probed,
            cached=_cached(chain, unsure),
            free=not led and any(one.unused for one in chain),
        )

    def trusts(self, model: str) -> bool:
        """Whether the API has read anything of *model* yet."""
        known = self._models.get(model)
        return known is not None and known.read

    def leaves(self, turn: CacheTurn, now: float) -> bool:
        """Whether *turn*'s request may leave *now*; False: what it was to read may be
        gone, and it has to ask for another turn.
        """
        if not turn.free:
            if any(one.stopped or not (one.unused or one.is_open(now)) for one in turn.read):
                return False
            for one in turn.read:
                one.left(now)
        turn.left_at = now
        self.done(turn, now)
        return True

    def done(self, turn: CacheTurn, now: float) -> None:
        """*turn*'s request stands in no line any more."""
        if turn.granted:
            turn.granted = False
            self._give_back(self._models[turn.model], now)

    def late(self, turn: CacheTurn) -> None:
        """*turn*'s answer does not begin: another row may go ahead as well, but not a
        third one.
        """
        for one in turn.led:
            if one.ahead == turn.row and not one.late:
                one.late, one.ahead = True, None
                one.call_up()

    def told(self, turn: CacheTurn, tokens: PromptTokens, *, estimated: int, now: float) -> None:
        """The answer of *turn* says what became of its prompt, which was *estimated* at
        so many tokens.
        """
        if turn.told or not turn.chain:
            return
        turn.told = True
        known, before = self._models[turn.model], sum(one.stopped for one in turn.chain)
        if tokens.read or tokens.written:
            known.unused = 0
            known.read = known.read or tokens.read > 0
            _used(known, turn, tokens, now if turn.left_at is None else turn.left_at)
            _count(turn.chain, tokens, estimated)
        else:
            known.unused += sum(one.blank() for one in turn.led)
        given_up = sum(one.stopped for one in turn.chain) - before
        known.stopped += given_up
        turn.gave_up = given_up > 0
        self._over(turn, now)

    def failed(self, turn: CacheTurn, now: float) -> None:
        """*turn*'s request came to nothing."""
        if turn.left_at is not None and not turn.told:
            for one in turn.read:
                one.not_read()
        self._over(turn, now)

    def abandoned(self, asks: Asks, now: float, *, granted: bool) -> None:
        """A row that waited for its turn asks no more: the next one may ask;
        *granted*: it had just been called up.
        """
        if granted:
            self._give_back(self._models[asks.model], now)
        for digest in asks.digests:
            one = self._beginnings.get(digest)
            if one is not None and one.ahead is None and not one.is_open(now):
                one.call_up()

    def _over(self, turn: CacheTurn, now: float) -> None:
        """It goes ahead no more: rows that stand in line may ask."""
        for one in turn.led:
            if one.ahead == turn.row:
                one.ahead = None
        for one in turn.chain:
            if one.is_free:
                _call_all(one)
            elif one.is_open(now):
                for row in one.at_rest():
                    self._ready(row)
            elif one.ahead is None:
                one.call_up()
        known = self._models[turn.model]
        known.lapses_at = -inf
        self._grant(known, now)

    def _give_back(self, known: _Model, now: float) -> None:
        known.granted -= 1
        self._grant(known, now)

    def _grant(self, known: _Model, now: float) -> None:
        """Call up rows that may be sent, as many as there is room for."""
        while known.granted < _IN_LINE and (one := _next_line(known, now)) is not None:
            if one.call_up(granted=True):
                known.granted += 1

    def _beginning(self, digest: bytes, ttl_s: float) -> Beginning:
        found = self._beginnings.get(digest)
        if found is None:
            found = self._beginnings[digest] = Beginning(ttl_s)
            self._forget()
        else:
            self._beginnings.move_to_end(digest)
        return found

    def _forget(self) -> None:
        """Drop the one that was asked for longest ago, once there are too many."""
        if len(self._beginnings) > _MOST_KEPT:
            digest, oldest = self._beginnings.popitem(last=False)
            if oldest.ahead is not None or oldest.waiting:
                self._beginnings[digest] = oldest


def _next_line(known: _Model, now: float) -> Beginning | None:
    """The beginning whose row is to be sent next: the one at which rows wait for the
    longest time, unless another is to be used lest it run out.
    """
    for one in [one for one in known.lines if not one.waiting]:
        del known.lines[one]
    if now >= known.lapses_at:
        opened = [one for one in known.lines if one.is_open(now)]
        soonest = min(opened, key=lambda one: one.lapses_at, default=None)
        known.lapses_at = inf if soonest is None else soonest.lapses_at
        if soonest is not None and soonest.lapses_at <= now:
            return soonest
    return next((one for one in known.lines if one.is_open(now) or one.ahead is None), None)


def _used(known: _Model, turn: CacheTurn, tokens: PromptTokens, at: float) -> None:
    """Note what an answer says of each beginning of *turn*, which left *at* that
    moment.
    """
    for one in turn.chain:
        # Of one that is too short to be cached, a longer one's tokens say nothing.
        if one.unused and one is not turn.chain[-1]:
            continue
        # Of a prompt that is cached in part, a shorter beginning may be that part.
        # The longest was read where nothing had to be written.
        whole = not (one is turn.chain[-1] and tokens.written)
        fresh = turn.free or (one in turn.led and one not in turn.probed)
        if tokens.read and whole and not (fresh and tokens.written):
            known.proven += not one.was_read
            one.read(at)
        elif fresh:
            one.written(at)
        else:
            one.missed(at, once_more=_once_more(known, one))


def _once_more(known: _Model, one: Beginning) -> bool:
    """Whether *one*, which was to be read and was not, is to be written once more.

    Where it was read before, it was dropped early. Else only so many are as were read:
    a perfect run writes each of these once and the others once, and no more than twice
    its writes are paid.
    """
    if one.was_read or one.was_missed:
        return one.was_read
    again = known.tried_again < known.proven
    known.tried_again += again
    return again


def _call_all(one: Beginning) -> None:
    while one.call_up():
        pass


def _count(chain: Sequence[Beginning], tokens: PromptTokens, estimated: int) -> None:
    """Note how many of the *estimated* tokens the beginnings take."""
    share = estimated / max(1, tokens.total)
    chain[-1].cached = share * (tokens.read + tokens.written)
    if len(chain) > 1 and tokens.written:
        chain[-2].cached = share * tokens.read


def _cached(chain: Sequence[Beginning], unsure: Sequence[Beginning]) -> float:
    """The tokens of the longest of *chain* that is not *unsure*."""
    return next((one.cached for one in reversed(chain) if one not in unsure), 0.0)


def _cached_still(chain: Sequence[Beginning]) -> tuple[Beginning, ...]:
    """Those before the first that is given up."""
    for place, one in enumerate(chain):
        if one.stopped:
            return tuple(chain[:place])
    return tuple(chain)
