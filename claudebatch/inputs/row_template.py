"""What makes requests of rows: templates for the system prompt and the turns, and
examples that stand before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol, TypeAlias

from claudebatch.core.jsonl import encode

Role: TypeAlias = Literal["system", "user", "assistant"]


class TextTemplate(Protocol):
    """A text with places for the values of a row."""

    @property
    def source(self) -> str:
        """As it was written."""
        ...

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it names."""
        ...

    @property
    def is_constant(self) -> bool:
        """Whether it is the same text for every row."""
        ...

    def filled(self, row: Mapping[str, Any]) -> str:
        """The text for *row*. Raises `BadRow`."""
        ...


@dataclass(frozen=True, slots=True)
class TurnTemplate:
    """One message that is made of a row."""

    role: Role
    content: TextTemplate


@dataclass(frozen=True, slots=True)
class RowTemplate:
    """All that is made of a row's columns."""

    turns: tuple[TurnTemplate, ...] = ()
    """None: the row has its prompt."""
    system: TextTemplate | None = None
    """Of rows without a system prompt; None: the default one, as it stands."""
    examples: tuple[Mapping[str, str], ...] = ()
    """Messages before those of every row, in turns."""
    constants: tuple[tuple[str, str], ...] = ()

    @property
    def only_text(self) -> TextTemplate | None:
        """The template of the prompt, where it is all there is."""
        if len(self.turns) != 1 or self.turns[0].role != "user":
            return None
        return None if self.system is not None or self.examples else self.turns[0].content

    @property
    def identity(self) -> str:
        """Equal for two that make the same of every row."""
        return sha256(
            encode(
                (
                    [
                        (turn.role, type(turn.content).__name__, turn.content.source)
                        for turn in self.turns
                    ],
                    self.system and (type(self.system).__name__, self.system.source),
                    list(self.examples),
                    list(self.constants),
                )
            )
        ).hexdigest()

    def messages(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The messages of *row*, without the examples. Raises `BadRow`."""
        return [{"role": turn.role, "content": turn.content.filled(row)} for turn in self.turns]

    def question(self) -> TextTemplate | None:
        """What asks for the answer: the last turn of the user's."""
        # An answer follows it: what is said before is set up by the rows themselves.
        asked = [turn.content for turn in self.turns if turn.role == "user"]
        return asked[-1] if asked else None


def with_examples(messages: Sequence[Any], examples: Sequence[Mapping[str, str]]) -> list[Any]:
    """*messages* after the *examples*."""
    return [*map(dict, examples), *messages]
