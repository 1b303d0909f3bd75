"""From input files to checked rows: every line is parsed, routed and checked before any
money moves.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Call, Prompt, Route, limited_as
from claudebatch.core.errors import BadRow, ClaudebatchError, Problem
from claudebatch.core.events import Emit, nobody
from claudebatch.core.jsonl import InputLine
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.inputs import (
    ALL_ROWS,
    BadLines,
    LineParser,
    RecordFormat,
    RowPicker,
    Selection,
    attachment,
    format_of,
    repeated,
)
from claudebatch.inputs.formats import place_of
from claudebatch.inputs.named_shapes import told
from claudebatch.routing.forced_answer import formed, unformable
from claudebatch.routing.parameters import problems
from claudebatch.routing.request import request_body
from claudebatch.setup.oversize import Oversize
from claudebatch.setup.row_sizes import size_of
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_beginnings import SharedBeginnings
from claudebatch.setup.uncappable import uncappable
from claudebatch.storage.journal import DuplicateId, RowChoice, RowRecord

# Large enough that hashing, not reading, takes the time.
_READ_BYTES = 1 << 20
# For fields that look like attachments: a file has them in each line, or in none.
_LINES_LOOKED_AT = 1000


class InvalidInput(ClaudebatchError):
    """Lines that cannot be sent, all of them at once."""

    def __init__(self, bad: BadLines) -> None:
        plural = "line cannot be sent" if bad.count == 1 else "lines cannot be sent"
        super().__init__(
            "E319",
            f"{bad.count:,} {plural}; nothing was sent",
            fix="fix them, or skip them with --on-bad-row skip",
        )
        self.bad = bad


class _OpenFile(NamedTuple):
    """A file whose lines are read."""

    name: str
    form: RecordFormat
    strict: LineParser
    lax: LineParser
    """The same where the API's rules are not checked."""


class Intake:
    """Reads the files once, line by line; collects what is wrong and what models are
    asked.
    """

    def __init__(
        self,
        run_setup: RunSetup,
        files: Sequence[Path],
        *,
        limit: int | None,
        selection: Selection = ALL_ROWS,
        key: Callable[[Prompt, bytes], str] | None = None,
        names: Sequence[str] | None = None,
        emit: Emit = nobody,
        beginnings: SharedBeginnings | None = None,
        sizes: bool = False,
    ) -> None:
        """*key* gives what the answer to a prompt, asked as these bytes, is kept under;
        None: no row is looked up. *names* are what messages call the files; None: their
        paths. *emit* is told of each line that is left out. *beginnings* see what rows
        may share. *sizes*: a plan wants the sizes of rows with a key.
        """
        self._run_setup = run_setup
        self._emit = emit
        self._skips = run_setup.settings.on_bad_row == "skip"
        self._key = key
        self._beginnings = beginnings
        self._sizes = sizes
        self._files = files
        self._names = tuple(map(str, files)) if names is None else names
        # Where ids or chance choose, the first rows of those are counted later.
        self._limit = None if selection.needs_all else limit
        self._picker = RowPicker(selection) if selection else None
        self.choice = _choice(selection, limit) if selection else None
        """The rest of the choice, which the index makes; None: it takes all."""
        self._strict = replace(run_setup.defaults, check=True)
        self._capped = run_setup.settings.budget.capped
        self._oversize = Oversize(run_setup.catalog, run_setup.defaults.system)
        # Mutable: what the pass over the files found.
        self.bad = BadLines()
        self.sent_anyway = BadLines()
        """Lines that break the API's rules, which `--no-check` sends."""
        self.models: set[str] = set()
        self.has_files = False
        """Whether any row has files beside its line."""
        self.wants_form = False
        """Whether any row wants a form of its answer."""
        self._edited: Counter[str] = Counter()
        self._lanes: dict[tuple[str, bool], str] = {}  # by model, and whether it is fast
        self._attachment: str | None = None
        # Likewise of the row at hand: its route, and its parameters as the model takes
        # them.
        self._route = Route("", "")
        self._params: Mapping[str, Any] = {}

    def records(self, each: Callable[[RowRecord, Call], None] | None = None) -> Iterator[RowRecord]:
        """The rows that can be sent, in input order; *each* sees every one with its
        call.
        """
        taken = 0
        for source, (path, name) in enumerate(zip(self._files, self._names, strict=True)):
            form = format_of(path, self._run_setup.defaults, name=name)
            file = self._open(name, form)
            for line in form.records(path):
                if self._limit is not None and taken >= self._limit:
                    return
                if self._picker is not None and not self._picked(self._picker, form, line.data):
                    if self._picker.at_end():
                        return
                    continue
                # Bad lines count as well: `--limit` is about lines, not about luck.
                taken += 1
                prompt = self._prompt(file, line)
                if prompt is None:
                    continue
                if (
                    prompt.attached
                    or prompt.columns
                    or prompt.extract
                    or "output_config" in prompt.params
                ):
                    self._note(prompt, taken)
                answers = (prompt,) if prompt.answers == 1 else self._each_answer(prompt, taken)
                for one in answers:
                    record = self._record(source, line, one)
                    if each is not None:
                        each(record, self._run_setup.builder.first(0, one))
                    yield record
                taken += len(answers) - 1

    def _each_answer(self, prompt: Prompt, taken: int) -> tuple[Prompt, ...]:
        """The rows of *prompt*, one for each answer, the first of which is *taken*."""
        most = prompt.answers if self._limit is None else self._limit - taken + 1
        return tuple(islice(repeated(prompt), most))

    def _note(self, prompt: Prompt, taken: int) -> None:
        """Remember what is unusual in *prompt*, of the row *taken*."""
        if prompt.extract or schema_of(prompt.params) is not None:
            self.wants_form = True
        if prompt.attached:
            self.has_files = True
        elif prompt.columns and taken <= _LINES_LOOKED_AT and self._attachment is None:
            self._attachment = attachment(prompt.columns)

    def check_selection(self, unknown_ids: Sequence[str] = ()) -> None:
        """Raise `ClaudebatchError` where the selection names rows or columns that the
        input has not.
        """
        if self._picker is not None:
            self._picker.check()
        if unknown_ids:
            more = f" and {len(unknown_ids) - 1} more" if len(unknown_ids) > 1 else ""
            raise ClaudebatchError(
                "E472",
                f'--id: no row has the id "{unknown_ids[0]}"{more}',
                fix="ids are in the results; rows without one go by number: --rows 10-20",
            )

    @staticmethod
    def _picked(picker: RowPicker, form: RecordFormat, data: bytes) -> bool:
        """Whether a row is one of those to be taken."""
        if not picker.numbered():
            return False
        if not picker.looks:
            return True
        try:
            return picker.fits(form.value(data))
        except BadRow:
            # It is unknown whether it fits: it is looked at, and refused.
            return True

    @property
    def lanes(self) -> set[str]:
        """The lanes of the rows so far."""
        return set(self._lanes.values())

    def refuse(self, duplicates: Sequence[DuplicateId] = ()) -> None:
        """Raise `InvalidInput` if anything was wrong and bad rows stop the run."""
        for twin in duplicates:
            self._leave_out(self._names[twin.source], twin.line, (self._taken(twin),))
        # Only now: one message shows every bad line, not the first alone.
        if self.bad.count and not self._skips:
            raise InvalidInput(self.bad)

    def notices(self) -> Iterator[Notice]:
        """What was changed in the lines, as the options ask, with numbers, and what was
        not sent although it may have been meant to be.
        """
        yield from self._run_setup.defaults.edits.told(self._edited)
        yield from told(self._edited)
        if self._attachment is not None:
            yield Notice(
                "W017",
                f"the field {self._attachment} looks like a file to be sent along: it is kept "
                f"for the results, and not sent (--image COLUMN, --document COLUMN)",
            )

    def _open(self, name: str, form: RecordFormat) -> _OpenFile:
        # A line that is read a second time is no second line: its edits count once.
        defaults = self._run_setup.defaults
        strict = LineParser(self._strict, file=name, form=form, edited=self._edited)
        return _OpenFile(name, form, strict, LineParser(defaults, file=name, form=form))

    def _prompt(self, file: _OpenFile, line: InputLine) -> Prompt | None:
        prompt, found = self._look(file.strict, line, file.form, check=True)
        if found and not self._run_setup.defaults.check:
            self.sent_anyway.add(*place_of(file.form, file.name, line), found)
            prompt, found = self._look(file.lax, line, file.form, check=False)
            if found:
                self.sent_anyway.count -= 1
        if found:
            self._leave_out(*place_of(file.form, file.name, line), found)
            return None
        self.models.add(self._route.model)
        return prompt

    def _leave_out(self, file: str, line: int, found: Sequence[Problem]) -> None:
        self.bad.add(file, line, found)
        if self._skips:
            reason = "; ".join(dict.fromkeys(problem.reason for problem in found))
            fix = "; ".join(dict.fromkeys(problem.fix for problem in found))
            ids = tuple(dict.fromkeys(problem.id for problem in found))
            self._emit(LineLeftOut(file, line, ids, reason, fix))

    def _look(
        self, parse: LineParser, line: InputLine, form: RecordFormat, *, check: bool
    ) -> tuple[Prompt | None, Sequence[Problem]]:
        """The prompt of *line*, and what keeps it from being sent."""
        try:
            prompt = parse(line.data, line.number)
        except BadRow as error:
            return None, tuple(_of_format(problem, form) for problem in error.problems)
        self._route = route = self._run_setup.router.route(prompt)
        facts = self._run_setup.catalog.facts(route.model)
        self._params = prompt.params
        # Without an upper bound of its cost no row goes under a cap.
        found = uncappable(prompt, route.model, self._run_setup.prices) if self._capped else ()
        # Most rows want no form and are far from too large: a look at each of them
        # would take longer than all that follows here.
        if "output_config" in prompt.params:
            unformed = tuple(unformable(prompt.params, facts)) if check else ()
            found += unformed
            if not unformed:
                self._params = formed(prompt.params, facts)
        if check:
            found += problems(self._params, facts)
            if line.length + prompt.attached > self._oversize.surely_fit:
                found += tuple(self._oversize.problems(prompt.params, route))
        return prompt, found

    def _new_lane(self, model: str, *, fast: bool) -> str:
        lane = self._run_setup.catalog.pool_of(limited_as(model, fast=fast))
        self._lanes[model, fast] = lane
        return lane

    def _record(self, source: int, line: InputLine, prompt: Prompt) -> RowRecord:
        model, key, chain, size = self._route.model, b"", b"", b""
        # Made here, while the row is parsed: replay need not read it again.
        if self._key is not None:
            if self._sizes:
                call = self._run_setup.builder.first(0, prompt)
                body, size = call.body, size_of(call)
            else:
                body = request_body(model, self._params)
            key = bytes.fromhex(self._key(prompt, body))
            if self._beginnings is not None:
                chain = self._beginnings.chain(prompt, model, self._params, len(body))
        # Looked up, not made: there are few lanes, and a million rows.
        fast = prompt.params.get("speed") == "fast"
        lane = self._lanes.get((model, fast)) or self._new_lane(model, fast=fast)
        return RowRecord(
            id=prompt.id,
            own=prompt.has_own_id + prompt.has_number_id,
            digest=prompt.digest,
            lane=lane,
            source=source,
            line=line.number,
            offset=line.offset,
            length=line.length,
            model=model,
            rule=self._route.rule,
            key=key,
            columns=prompt.columns,
            chain=chain,
            size=size,
        )

    def _taken(self, twin: DuplicateId) -> Problem:
        first = f"{self._names[twin.first_source]}:{twin.first_line}"
        return Problem(
            "E347",
            f'duplicate id "{twin.id}" (first used at {first})',
            "ids must be unique, or left out",
        )


def _choice(selection: Selection, limit: int | None) -> RowChoice:
    return RowChoice(selection.ids, selection.sample, selection.seed, limit)


def _of_format(problem: Problem, form: RecordFormat) -> Problem:
    """*problem* of a line, with the command that mends a file of the format *form*."""
    return replace(problem, recipe=form.recipe(problem.recipe) if problem.recipe else None)


def fingerprint(files: Sequence[Path], *settings: str) -> str:
    """A digest of everything that the outcome of an intake depends on."""
    digest = hashlib.sha256()
    for setting in settings:
        # Ended by a NUL: "a", "bc" and "ab", "c" must differ.
        digest.update(setting.encode() + b"\0")
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()
