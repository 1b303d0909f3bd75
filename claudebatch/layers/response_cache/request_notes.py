"""What was asked, on its way to stand beside its answer in the response cache.

The store holds bytes under digests, and nothing of the request. What the commands of
`claudebatch cache` tell of it goes by here: noted on the event loop by reference, made
a description in the store's thread, and written there by group.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from claudebatch.core.domain import Call, Pico, Reply, Usage

# Requests of a batch are noted as it is built, hours before their answers: so many wait
# in memory until they are written down.
_MOST_SENT = 256
# A key that is noted and never put is rare: then the oldest are forgotten.
_MOST_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Note:
    """One request, its answer, or both."""

    call: Call | None
    """None: it came by batch, and its request was noted before."""
    reply: Reply | None
    """None: it was sent by batch and is not answered yet."""
    unkept: str = ""
    """Why the answer is not kept: its stop reason, or `unfit`; empty: it is."""


def place_of(scope: str) -> str:
    """Whose answers those of *scope* are, as people read it: the host, with a digest,
    for its path may tell two of them apart; empty: the API's own.
    """
    # Not the address itself: a name, a password or a token may stand in it.
    _, _, address = scope.partition(" ")
    if not address:
        return ""
    host = urlsplit(address).hostname or "?"
    return f"{host} ({hashlib.sha256(scope.encode()).hexdigest()[:8]})"


class RequestNotes:
    """Notes of one session, from the layers to the store.

    run    who asks
    place  whose answers they are, as people read it; empty: the API's own
    worth  the price of an answer, had it to be asked again
    """

    def __init__(
        self, *, run: str = "", place: str = "", worth: Callable[[str, Usage], Pico]
    ) -> None:
        self.run = run
        self.place = place
        self.worth = worth
        # Mutable: filled on the event loop, taken out in the store's thread; each step
        # is one operation of a dict or a deque.
        self._answered: dict[str, Note] = {}
        self._other: deque[tuple[str, Note]] = deque()
        # Mutable: set once, by the store.
        self._push: Callable[[], None] | None = None

    def written_by(self, push: Callable[[], None]) -> None:
        """*push* makes the store's thread write what was noted."""
        self._push = push

    def answered(self, key: str, call: Call | None, reply: Reply, *, unkept: str = "") -> None:
        """*reply* came; its entry follows, unless it is *unkept*. *call* is None where
        it was `sent` before.
        """
        if unkept:
            self._other.append((key, Note(call, reply, unkept)))
        elif len(self._answered) < _MOST_WAITING:
            self._answered[key] = Note(call, reply)

    def sent(self, key: str, call: Call) -> None:
        """*call* goes out by batch: its answer comes hours later, perhaps in another
        session.
        """
        self._other.append((key, Note(call, None)))
        if self._push is not None and len(self._other) >= _MOST_SENT:
            self._push()

    def taken(self, key: str) -> Note | None:
        """The note of an entry that is being written."""
        return self._answered.pop(key, None)

    def size_of(self, key: str) -> int:
        """The bytes of the request that waits under *key*."""
        note = self._answered.get(key)
        return len(note.call.body) if note is not None and note.call is not None else 0

    @property
    def pending(self) -> bool:
        """Whether there are notes without an entry."""
        return bool(self._other)

    def others(self) -> list[tuple[str, Note]]:
        """Notes without an entry: of answers that are not kept, and of requests that
        are not answered.
        """
        found = []
        # One by one: the event loop goes on putting more.
        while self._other:
            found.append(self._other.popleft())
        return found
