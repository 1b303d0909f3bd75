"""Whether rows are sent at once or with message batches, and how large those are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from claudebatch.core.domain import Prompt, RowKind, Via

ViaChoice: TypeAlias = Literal["live", "batch", "auto"]
"""How rows are sent; auto: as a plan for a deadline says, and without one by batch
until that has failed often enough.
"""


# What a batch refuses by name: speed, streams, and a bound of no token at all.
_NOT_IN_BATCHES = ("speed", "stream")


def fits_a_batch(prompt: Prompt) -> bool:
    """Whether *prompt* may go by batch at all."""
    params = prompt.params
    return not any(name in params for name in _NOT_IN_BATCHES) and params.get("max_tokens") != 0


# In this room because configuration, rules, estimate and engine all speak of it.
@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What the user wants of message batches."""

    via: ViaChoice = "live"
    of_rules: Mapping[str, Via] = field(default_factory=dict)
    """Rules of the router whose rows go another way."""
    max_requests: int = 10_000
    """Of one batch: smaller ones come back sooner. The API takes 100,000."""
    max_bytes: int = 200_000_000
    """Of one batch. The API takes 256 MB, and an upload that breaks begins anew."""
    max_queued: int | None = None
    """Requests of all batches that may wait at the API at once; None: as many as the
    tier allows.
    """
    poll_s: float = 10.0
    """A batch is first asked about after so long, then less and less often."""
    tries: int = 3
    """So many batches may bring a row back without an answer."""
    cancel_s: float = 900.0
    """Kept before a deadline for the end of batches that are canceled."""

    @property
    def used(self) -> bool:
        """Whether any row is to go by batch."""
        return self.via != "live" or "batch" in self.of_rules.values()

    def road(self, rule: str, *, via: ViaChoice | None = None) -> Via:
        """How rows go whose model was chosen by *rule*, where a batch can take them;
        *via*: what is asked of all others, if not what was set.
        """
        return self.of_rules.get(rule, "live" if (via or self.via) == "live" else "batch")

    def kind(self, rule: str, *, fits: bool) -> RowKind:
        """What a plan may do with rows whose model was chosen by *rule*; *fits*: a
        batch can take them.
        """
        of_rule = self.of_rules.get(rule)
        if not fits or of_rule == "live":
            return "at once"
        return "kept" if of_rule == "batch" else "waits"
