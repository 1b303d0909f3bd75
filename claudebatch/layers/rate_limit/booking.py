"""What a request is expected to take from its pool's limits, and what it has taken."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.layers.rate_limit.input_limit import InputBooking
from claudebatch.layers.rate_limit.output.output_limit import OutputBooking
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot


@dataclass(frozen=True, slots=True)
class ExpectedUsage:
    """What a request is expected to take, in tokens."""

    input_tokens: float
    output_tokens: float
    input_worst_case: float = 0.0
    """Tokens of input that it may take where *input_tokens* may be far too low; 0: that
    is not.
    """
    tokens_per_byte: float = 0.0
    """Tokens of output for each byte of an answer."""
    proven: bool = True
    """Whether answers have shown what such prompts count."""
    streamed: bool = False
    """Whether its answer is a stream anyway, for another's sake."""


@dataclass(slots=True, eq=False)
class InputReading:
    """A prompt whose input tokens the API reports when its answer begins."""

    reported: bool = False


@dataclass(frozen=True, slots=True)
class PoolBooking:
    """What was taken for one request, and where the buckets stood then."""

    need: ExpectedUsage
    at: float
    number: int
    """Of the pool's requests, in the order in which they left."""
    requests: BucketSnapshot
    input: InputBooking | None
    output: OutputBooking | None
    reading: InputReading | None = None
    """None: the end of the answer is soon enough to learn what its prompt counts."""

    @property
    def watched(self) -> bool:
        """Whether the answer is to be seen while it comes: by `began`, `read`, `showed`
        and `hides`.
        """
        return self.reading is not None or (self.output is not None and self.output.watched)
