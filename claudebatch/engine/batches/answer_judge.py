"""What an answer out of a batch is to its row: its last word, or an answer from which
the row goes on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Protocol

from claudebatch.core.answer_form import AnswerReading, schema_of
from claudebatch.core.domain import Call, Reply
from claudebatch.core.endings import Ending
from claudebatch.core.events import Emit, Retrying
from claudebatch.core.result_lines import ended
from claudebatch.engine.earlier_answers import EarlierAnswers
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.layers.structured_answers.layer import UNFIT
from claudebatch.storage.journal import RowRef
from claudebatch.storage.journal.batch_members import BatchMember


class RowSource(Protocol):
    """The input, read again."""

    def lines(self, refs: Sequence[RowRef]) -> list[bytes | None]:
        """The lines of *refs*; None for one that is better read by itself."""
        ...

    def line(self, ref: RowRef) -> bytes | None:
        """The line of *ref*, however long."""
        ...

    def call(self, ref: RowRef, data: bytes | None) -> Call | None:
        """The call of a row; None when its line is no longer what was checked."""
        ...


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer, held against what its row wants."""

    reply: Reply
    ended: Ending
    reading: AnswerReading | None = None
    """What it holds of the wanted form; None: the row wants none."""
    goes_on: bool = False
    """The row is asked on at once: with what is wrong, or at another model."""


class AnswerJudge:
    """Judges as the layers do for answers that were asked for at once.

    rows          the input
    answers       where the layers find the answers from which rows go on
    wants_form    whether any row wants a form: only then lines are read again
    retries       how often an answer that does not fit is asked again
    unwanted      stop reasons of answers that another model is to better
    has_fallback  whether there is another model for one
    """

    def __init__(
        self,
        rows: RowSource,
        answers: EarlierAnswers,
        *,
        wants_form: bool,
        retries: int,
        unwanted: Set[str],
        has_fallback: Callable[[str], bool],
        emit: Emit,
    ) -> None:
        self._rows = rows
        self._answers = answers
        self.wants_form = wants_form
        self._retries = retries
        self._unwanted = unwanted
        self.has_fallback = has_fallback
        self._emit = emit

    def judge(self, member: BatchMember, reply: Reply) -> JudgedAnswer | None:
        """What *reply* is to *member*; None where its line is no longer what was asked:
        then the next session knows what the row is.
        """
        model = member.intent.model
        # First, and without its line: a refusal holds no form.
        if reply.stop_reason in self._unwanted and self.has_fallback(model):
            return JudgedAnswer(reply, ended(reply, None), goes_on=True)
        if not self.wants_form:
            return JudgedAnswer(reply, ended(reply, None))
        call = self._rows.call(member.ref, self._rows.line(member.ref))
        if call is None:
            return None
        reading = read_answer(call.prompt, reply)
        # Prose in which nothing is found is the last word: nobody can say what is
        # wrong.
        unfit = bool(reading and reading.fault) and schema_of(call.prompt.params) is not None
        if unfit:
            reply = replace(reply, fits=False)
        return JudgedAnswer(
            reply, ended(reply, reading), reading, goes_on=unfit and self._retries > 0
        )

    def goes_on(
        self, member: BatchMember, judged: JudgedAnswer, equal: Sequence[BatchMember]
    ) -> None:
        """*member*, and the rows that are *equal* to it, go on from its answer."""
        intent = member.intent
        self._answers.note(intent.row, intent.attempt, (one.intent.row for one in equal))
        if judged.reading is not None:
            self._emit(Retrying(intent.model, UNFIT, 1, 0.0, intent.id, cause=judged.reading.fault))

    def has_answer(self, row: int) -> bool:
        """Whether *row* goes on from an answer: then no batch asks it anew."""
        return self._answers.has(row)
