"""How an answer ended: whole, or not of use as it stands."""

from __future__ import annotations

from enum import IntEnum

from claudebatch.core.domain import Reply

_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded", "pause_turn"})


class Ending(IntEnum):
    """The ending of an answered row."""

    # The numbers are in files: they stay. 0 is a row that failed. Answers of before
    # these were told apart are 1.
    COMPLETE = 1
    CUT_OFF = 2
    """It stopped at `max_tokens`, at the model's window, or paused its turn."""
    REFUSED = 3
    EMPTY = 4
    """It has neither text nor a tool call."""
    INVALID = 5
    """It is whole, and not of the form that the row wants: it does not fit the schema,
    or what was to be found is not there.
    """

    @property
    def label(self) -> str:
        """As results and reports name it."""
        return LABELS[self]


ANSWER_ENDINGS = tuple(end for end in Ending if end is not Ending.INVALID)
"""The endings that an answer tells by itself, whatever was wanted of it."""
# By place, for each answer: an enumeration takes long to tell its names, and its
# members take long to be found in a dictionary.
LABELS = ("", *(end.name.lower() for end in Ending))
"""The label of each `Ending`, by its number."""


def ending(reply: Reply) -> Ending:
    """The ending of *reply*. A tool call is complete."""
    if reply.stop_reason in _CUT_OFF:
        return Ending.CUT_OFF
    if reply.stop_reason == "refusal":
        return Ending.REFUSED
    if (reply.text and not reply.text.isspace()) or reply.stop_reason == "tool_use":
        return Ending.COMPLETE
    return Ending.EMPTY
