"""How long answers take to begin and to end, and what that decides: how many rows may
rest meanwhile, how long one may go ahead alone, and whether beginnings are written by
requests of their own.
"""

from __future__ import annotations

# The last answers that tell how long one takes.
_ANSWERS = 8
# Rows that wait for another's answer let rows behind them be taken, so many for each
# that may be sent at once: as many as answers come in half the time to live of what
# they share. With more, a beginning would run out before most of its rows are read.
_FEWEST_AT_REST = 2.0
_AT_REST_AT_FIRST = 4.0
_OF_TTL = 0.5
# A connection may hang for the ten minutes that one attempt is given. So long a row may
# go ahead without an answer, or as many times as long as answers took to begin.
_PATIENCE_S = 60.0
_PATIENCE = 4.0
# Streams begin after a second or two, and later after long prompts. Were the API asked
# again before it has begun to answer, it would write what it is writing already.
_BEGINS_S = 2.0
_TOKENS_PER_S = 5_000.0
# A stream that begins when most of its time is over was held back.
_HELD_BACK = 0.8


class AnswerTimes:
    """Means of the last answers. No clock: seconds are told."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only; 0: none has come.
        self._answer_s = self._head_s = 0.0
        self.late = False
        """Whether answers do not begin in time: nothing is streamed, or held back."""

    def ended(self, seconds: float) -> None:
        """An answer took so long."""
        self._answer_s = _mean(self._answer_s, seconds)

    def watched(self, seconds: float, head_s: float | None, *, tokens: float) -> None:
        """The answer to a prompt of so many *tokens* that was asked for as a stream
        took so many *seconds*, and began after *head_s*; None: it came whole.
        """
        if head_s is None:
            head_s = seconds
        if head_s <= _begins_s(tokens):
            self.late = False
        elif head_s >= _HELD_BACK * seconds:
            self.late = True

    def began(self, seconds: float) -> None:
        """An answer began after so long."""
        self._head_s = _mean(self._head_s, seconds)

    def most_at_rest(self, ttl_s: float) -> float:
        """How many rows may rest for each that may be sent."""
        if not self._answer_s:
            return _AT_REST_AT_FIRST
        return max(_FEWEST_AT_REST, _OF_TTL * ttl_s / self._answer_s)

    def patience_s(self) -> float:
        """So long a row may go ahead alone whose answer does not begin."""
        return max(_PATIENCE_S, _PATIENCE * (self._head_s or self._answer_s))

    def begins_within_s(self, tokens: float) -> float:
        """By then the answer to a prompt of so many *tokens* has begun, wherever
        answers are streamed.
        """
        return max(_begins_s(tokens), _PATIENCE * self._head_s)


def _begins_s(tokens: float) -> float:
    return _BEGINS_S + tokens / _TOKENS_PER_S


def _mean(before: float, now: float) -> float:
    """The mean of the last ones, with one more."""
    return before + (now - before) / (_ANSWERS if before else 1)
