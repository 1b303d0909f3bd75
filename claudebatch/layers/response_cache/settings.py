"""Which answers the response cache keeps, how many and for how long; config fills
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from claudebatch.core.domain import Reply


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which answers are kept. Errors never are: only replies pass here."""

    keep_max_tokens: bool = False
    keep_refusals: bool = False
    keep_simulated: bool = False
    """Only in the throw-away cache of a rehearsal."""

    def keeps(self, reply: Reply) -> bool:
        """Whether *reply* may answer a later equal request."""
        return not self.unkept(reply)

    def unkept(self, reply: Reply) -> str:
        """Why *reply* may not answer a later equal request: its stop reason,
        `simulated` or `unfit`; empty where it may.
        """
        if reply.simulated and not self.keep_simulated:
            return "simulated"
        if not reply.fits:
            return "unfit"
        stop = reply.stop_reason
        if stop in ("max_tokens", "model_context_window_exceeded", "pause_turn"):
            return "" if self.keep_max_tokens else stop
        if stop == "refusal":
            return "" if self.keep_refusals else stop
        return ""


Sharing: TypeAlias = Literal["answers", "claims", "off"]
"""answers: they stand there, for all hosts; claims: who asks, and each answer for as
long as others may wait for it; off: nothing.
"""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The response cache of one machine, as a run may use it."""

    enabled: bool = True
    ttl_s: float | None = 30 * 86400.0
    """Answers older than this are asked for again; None: never."""
    size_bytes: int = 2 * 2**30
    """Beyond it the oldest answers are dropped."""
    policy: CachePolicy = CachePolicy()
    shared: Sharing = "off"
    """What of it stands at the shared server, where there is one."""

    @property
    def of_rehearsal(self) -> CacheSettings:
        """The same for a cache that no other run will read."""
        return replace(self, policy=replace(self.policy, keep_simulated=True))
