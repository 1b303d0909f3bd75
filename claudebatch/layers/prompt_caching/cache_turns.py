"""Who goes ahead and who waits, for all beginnings of a run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from claudebatch.core.domain import PromptTokens
from claudebatch.layers.prompt_caching.beginning import Beginning

# Of 300 bytes each. What is forgotten is led again, which costs a wait.
_MOST_KEPT = 50_000
# So many beginnings of a model without any read, or without a word of a cache: the
# others are not tried.
_TRIED = 3


@dataclass(slots=True, eq=False)
class CacheTurn:
    """One request that shares beginnings, from its turn to its answer."""

    row: int
    model: str
    chain: tuple[Beginning, ...] = ()
    """Those that it is sent with marks for, the shortest first."""
    led: tuple[Beginning, ...] = ()
    """Those of which it goes ahead; the others are there already."""
    probed: tuple[Beginning, ...] = ()
    """Of these, the ones that are there, too, if the API keeps its word: its answer
    must show that they were read.
    """
    free: bool = False
    """Whether nobody waits for anybody: the API tells of no cache."""
    # Mutable, changed by `Turns` only: when it left; None: not yet. And whether its
    # answer has told what became of the beginnings.
    left_at: float | None = None
    told: bool = False
    gave_up: bool = False
    """Whether it was the last that was tried of a beginning that is not read."""

    @property
    def read(self) -> tuple[Beginning, ...]:
        """Those that its request is to read."""
        return tuple(one for one in self.chain if one not in self.led)

    @property
    def cached(self) -> float:
        """Tokens of its prompt, as estimated, that will be read."""
        return self.read[-1].cached if self.read and not self.free else 0.0


@dataclass(slots=True)
class _Model:
    """What the beginnings of one model have shown."""

    read: bool = False
    stopped: int = 0
    unused: int = 0


class Turns:
    """Gives each request its turn. No clock: moments are told."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: by digest, the one that was asked
        # for last at the end; and by model.
        self._beginnings: OrderedDict[bytes, Beginning] = OrderedDict()
        self._models: dict[str, _Model] = {}

    def __len__(self) -> int:
        return len(self._beginnings)

    def turn(
        self, row: int, model: str, digests: Sequence[bytes], *, ttl_s: float, now: float
    ) -> CacheTurn | Beginning:
        """The turn of a request that begins with *digests*; where it has to wait, for
        which beginning.
        """
        chain = tuple(self._beginning(digest, ttl_s) for digest in digests)
        turn = self._turn(row, model, chain, now)
        if isinstance(turn, CacheTurn):
            for one in chain:
                # What need not wait for a row to go ahead, none of its kind has to.
                if one.ahead is None:
                    one.call_up(everybody=True)
        return turn

    def _turn(
        self, row: int, model: str, chain: tuple[Beginning, ...], now: float
    ) -> CacheTurn | Beginning:
        known = self._models.setdefault(model, _Model())
        if known.unused >= _TRIED:
            return CacheTurn(row, model, chain, free=True)
        if known.stopped >= _TRIED and not known.read:
            return CacheTurn(row, model)
        chain = _cached_still(chain)
        for place, one in enumerate(chain):
            if one.is_open(now):
                continue
            if one.ahead is not None:
                return one
            led = tuple(o for o in chain[place:] if o.ahead is None and not o.is_open(now))
            for first in led:
                first.ahead = row
            return CacheTurn(row, model, chain, led, tuple(o for o in led if o.is_warm(now)))
        return CacheTurn(row, model, chain)

    def leaves(self, turn: CacheTurn, now: float) -> bool:
        """Whether *turn*'s request may leave *now*; False: what it was to read may be
        gone, and it has to ask for another turn.
        """
        if not turn.free:
            if any(one.stopped or not one.is_open(now) for one in turn.read):
                return False
            for one in turn.read:
                one.left(now)
        turn.left_at = now
        return True

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
            self._used(turn, tokens, now if turn.left_at is None else turn.left_at)
            _count(turn.chain, tokens, estimated)
        else:
            known.unused += sum(one.blank() for one in turn.led)
        given_up = sum(one.stopped for one in turn.chain) - before
        known.stopped += given_up
        turn.gave_up = given_up > 0
        self._over(turn, now)

    def _used(self, turn: CacheTurn, tokens: PromptTokens, at: float) -> None:
        for one in turn.chain:
            # Of a prompt that is cached in part, a shorter beginning may be that part.
            # The longest was read where nothing had to be written.
            whole = not (one is turn.chain[-1] and tokens.written)
            fresh = turn.free or (one in turn.led and one not in turn.probed)
            if tokens.read and whole and not (fresh and tokens.written):
                one.read(at)
            elif fresh:
                one.written(at)
            else:
                one.missed(at, trusted=self._models[turn.model].read)

    def failed(self, turn: CacheTurn, now: float) -> None:
        """*turn*'s request came to nothing."""
        if turn.left_at is not None and not turn.told:
            for one in turn.read:
                one.not_read()
        self._over(turn, now)

    def abandoned(self, digests: Sequence[bytes]) -> None:
        """A row that waited for its turn asks no more: the next one may ask."""
        for digest in digests:
            one = self._beginnings.get(digest)
            if one is not None and one.ahead is None:
                one.call_up(everybody=False)

    def _over(self, turn: CacheTurn, now: float) -> None:
        """It goes ahead no more: rows that stand in line may ask."""
        for one in turn.led:
            if one.ahead == turn.row:
                one.ahead = None
        for one in turn.chain:
            if one.ahead is None:
                one.call_up(everybody=one.is_open(now))

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
            if not oldest.is_idle:
                self._beginnings[digest] = oldest


def _count(chain: Sequence[Beginning], tokens: PromptTokens, estimated: int) -> None:
    """Note how many of the *estimated* tokens the beginnings take."""
    share = estimated / max(1, tokens.total)
    chain[-1].cached = share * (tokens.read + tokens.written)
    if len(chain) > 1 and tokens.written:
        chain[-2].cached = share * tokens.read


def _cached_still(chain: Sequence[Beginning]) -> tuple[Beginning, ...]:
    """Those before the first that is given up."""
    for place, one in enumerate(chain):
        if one.stopped:
            return tuple(chain[:place])
    return tuple(chain)
