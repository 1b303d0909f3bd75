"""Turns one input line into one prompt, or into the full list of its problems.

Runs once or twice for each of a million lines, so a plain line costs one decode, one
encode and one hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from claudebatch.core.answer_form import schema_of, with_schema
from claudebatch.core.domain import Prompt
from claudebatch.core.errors import BadRow, Problem
from claudebatch.core.jsonl import MAX_LINE_BYTES, encode
from claudebatch.inputs.attached_files import FileColumns, named_files, with_files, without_files
from claudebatch.inputs.formats.json_lines import JsonLines, TextLines
from claudebatch.inputs.formats.open_format import FormatName, open_format
from claudebatch.inputs.formats.record_format import RecordFormat
from claudebatch.inputs.formats.text_table import TextTable
from claudebatch.inputs.formats.typed_rows import TypedRows
from claudebatch.inputs.kept_columns import Extra
from claudebatch.inputs.line_edits import LineEdits
from claudebatch.inputs.named_shapes import ShapeName, named, sniffed
from claudebatch.inputs.parsed_line import LABELS, ParsedLine, take_labels
from claudebatch.inputs.problems import empty, shown
from claudebatch.inputs.row_template import RowTemplate, with_examples
from claudebatch.inputs.shapes import (
    CONTENT,
    KNOWN_FIELDS,
    LineReading,
    json_line,
    plain_request,
    text_line,
)
from claudebatch.inputs.table_rows import as_fields

# 16 hex digits: among a million prompts, two share an id by chance once in 37 million
# runs.
_ID_BYTES = 8


_TOO_LONG = Problem(
    "E331",
    f"the line is longer than {MAX_LINE_BYTES // 1_000_000} MB",
    "the API takes 32 MB: shorten the prompt",
)
_LINES = JsonLines()
_TEXT = TextLines()
_TABLES = (TextTable, TypedRows)


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values for members that a line leaves out."""

    max_tokens: int
    system: str | None = None
    text: bool = False
    """Each line is a prompt as it stands, not JSON."""
    format: FormatName | None = None
    """The format of all files; None: what each looks like."""
    check: bool = True
    """Whether what the API itself would refuse is refused."""
    edits: LineEdits = LineEdits()
    """Changes to each line before it is read."""
    extra: Extra = "keep"
    """What becomes of fields that are no part of the request."""
    shape: ShapeName | None = None
    """The shape of all lines; None: what each looks like."""
    template: RowTemplate | None = None
    """Makes a request of a row's columns; None: the row is one."""
    files: FileColumns = FileColumns()
    """Fields that name images and documents to be sent along."""
    repeat: int = 1
    """How many answers lines want that do not say it."""
    schema: dict[str, Any] | None = None
    """What the answers of lines without a schema of their own have to fit."""
    extract: str = ""
    """What is to be found in the answers of lines without a schema."""
    judge_model: Callable[[str], Problem | None] | None = None
    """Why the model that a line names cannot be asked; None: every name is taken."""


def format_of(path: Path, defaults: Defaults, *, name: str) -> RecordFormat:
    """The format of the file at *path*, called *name*. Raises `ClaudebatchError` for
    one that cannot be read.
    """
    return open_format(path, name=name, text=defaults.text, wanted=defaults.format)


def parse_line(
    data: bytes,
    defaults: Defaults,
    *,
    file: str,
    line: int,
    form: RecordFormat | None = None,
    edited: Counter[str] | None = None,
) -> Prompt:
    """The prompt of the record *data* of a file of the format *form*, else of a file of
    lines; raises `BadRow` with all problems, and no other error. *edited* counts the
    changes that were made to it.
    """
    return LineParser(defaults, file=file, form=form, edited=edited)(data, line)


class LineParser:
    """Parses the records of one file; what is alike for all of them is found out
    once.
    """

    def __init__(
        self,
        defaults: Defaults,
        *,
        file: str,
        form: RecordFormat | None = None,
        edited: Counter[str] | None = None,
    ) -> None:
        """As for `parse_line`."""
        if form is None:
            form = _TEXT if defaults.text else _LINES
        self._defaults = defaults
        self._file = file
        self._form = form
        self._edited = edited
        self._marked = not isinstance(form, _TABLES)
        self._wants_form = defaults.schema is not None or bool(defaults.extract)
        # Whether a line of a prompt and little else is read as it stands.
        self._plain = isinstance(form, JsonLines) and not (
            self._wants_form
            or defaults.shape
            or defaults.edits
            or defaults.template
            or defaults.files.named
        )

    def __call__(self, data: bytes, line: int) -> Prompt:
        """The prompt of the record *data*, which begins on *line*; raises `BadRow` with
        all problems, and no other error.
        """
        # Before it is decoded: a line of gigabytes would fill the memory.
        if len(data) > MAX_LINE_BYTES:
            raise BadRow(_TOO_LONG)
        value = self._form.value(data)
        plain = plain_request(value) if self._plain else None
        if plain is None:
            return self._checked(value, data, line)
        params, own_id = plain
        # As `_digest` of a line that says nothing else.
        digest = sha256(encode((params, None, (), {}))).digest()
        return Prompt(
            id=digest[:_ID_BYTES].hex() if own_id is None else own_id,
            params=_with_defaults(params, self._defaults),
            digest=digest,
            has_own_id=own_id is not None,
            file=self._file,
            line=line,
            answers=self._defaults.repeat,
        )

    def _checked(self, value: Any, data: bytes, line: int) -> Prompt:
        """The prompt of a record that is not plain."""
        defaults = self._defaults
        parsed = _read(value, data, defaults, self._form, self._edited)
        attached = self._complete(parsed, value)
        extract = _take_form(parsed, defaults) if self._wants_form else ""
        digest = _digest(parsed, extract)
        own_id = parsed.id
        return Prompt(
            # An id from the content: the same line has the same id in every run,
            # wherever it stands in the file.
            id=digest[:_ID_BYTES].hex() if own_id is None else own_id,
            params=_with_defaults(parsed.params, defaults),
            model=parsed.model,
            tags=parsed.tags,
            attributes=parsed.attributes,
            digest=digest,
            has_own_id=own_id is not None,
            file=self._file,
            line=line,
            betas=parsed.betas,
            columns=self._form.members(value, data, parsed.columns) if parsed.columns else b"",
            has_number_id=parsed.has_number_id,
            attached=attached,
            answers=parsed.answers or defaults.repeat,
            extract=extract,
        )

    def _complete(self, parsed: ParsedLine, value: Any) -> int:
        """Add what the defaults and the files that the row *value* names give to
        *parsed*; returns the bytes of these files. Raises `BadRow`.
        """
        defaults, attached = self._defaults, 0
        if defaults.template is not None and not parsed.problems:
            _complete(parsed, value, defaults.template)
        if defaults.judge_model is not None:
            _judge_model(parsed, defaults.judge_model)
        if not parsed.problems:
            attached = _attach(parsed, value, defaults, self._file, marked=self._marked)
        if parsed.problems:
            # The shape that was recognised is named: a user who meant another one sees
            # at once why a field is unknown.
            raise BadRow(*_in_shape(parsed))
        return attached


def _attach(parsed: ParsedLine, value: Any, defaults: Defaults, file: str, *, marked: bool) -> int:
    """Put the files that the row *value* names into its request; returns their bytes
    there.
    """
    files = named_files(value, defaults.files, marked=marked)
    if not files:
        return 0
    folder = defaults.files.folder(file)
    messages = with_files(parsed.params["messages"], files, folder)
    parsed.params = {**parsed.params, "messages": messages}
    return sum(
        len(block["source"].get("data") or block["source"].get("url", ""))
        for turn in messages
        if isinstance(turn["content"], list)
        for block in turn["content"]
        if block["type"] in ("image", "document")
    )


def _take_form(parsed: ParsedLine, defaults: Defaults) -> str:
    """Give the line the wanted form of its answer; returns what is to be found in it.

    Before its digest is taken, unlike other defaults: an answer of another form is no
    answer any more.
    """
    if schema_of(parsed.params) is not None:
        return ""
    if defaults.schema is not None:
        parsed.params = with_schema(parsed.params, defaults.schema)
    return defaults.extract


def _judge_model(parsed: ParsedLine, judge: Callable[[str], Problem | None]) -> None:
    # Beside other problems the model is still among the parameters.
    model = parsed.params.get("model") if parsed.model is None else parsed.model
    problem = judge(model) if isinstance(model, str) and model else None
    if problem is not None:
        parsed.problems.append(problem)


def _read(
    value: Any, data: bytes, defaults: Defaults, form: RecordFormat, edited: Counter[str] | None
) -> ParsedLine:
    """What the record *data* of this *value* says."""
    asks = defaults.template is not None and bool(defaults.template.turns)
    if isinstance(form, TextLines) and not asks:
        return text_line(value)
    fields = value
    if defaults.edits and isinstance(value, dict):
        fields = defaults.edits.apply(value, edited)
    if defaults.extra == "refuse" and isinstance(fields, dict):
        fields = without_files(fields, defaults.files)
    if defaults.template is not None and asks:
        return _templated(fields, data, defaults, defaults.template)
    shape = None if defaults.shape is None else named(defaults.shape)
    how = LineReading(defaults.check, defaults.extra, shape, edited)
    if not isinstance(form, _TABLES):
        return json_line(fields, data, how)
    given = as_fields(fields, KNOWN_FIELDS)
    if shape is None and all(given.get(name) is None for name in CONTENT):
        _require_shape(fields, given)
    parsed = json_line(given, data, how)
    if defaults.extra == "keep":
        # A table comes back whole, its prompts beside the answers.
        parsed.columns = [name for name in value if name != "id"]
    return parsed


def _require_shape(cells: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise `BadRow` for a row of a table that has no prompt, unless it is one of
    another tool.
    """
    if sniffed(given) is not None:
        return
    if CONTENT.isdisjoint(cells):
        raise BadRow(_no_prompt(cells))
    raise BadRow(empty(f'"{next(name for name in cells if name in CONTENT)}"'))


def _templated(value: Any, data: bytes, defaults: Defaults, template: RowTemplate) -> ParsedLine:
    """The row *value*, all of whose fields are columns but its id and its tags."""
    row, extra = _row(value), defaults.extra
    text = template.only_text
    if text is not None:
        parsed = text_line(text.filled(row), "the filled template")
    else:
        made = {"messages": template.messages(row)}
        parsed = json_line(made, data, LineReading(check=defaults.check))
    labels = {name: row[name] for name in LABELS & row.keys()}
    # An empty cell is not given; the id 0 is.
    take_labels(parsed, {name: it for name, it in labels.items() if it not in (None, "")}, data)
    if extra == "keep" and row is value:
        parsed.columns = [name for name in row if name != "id"]
    return parsed


def _row(value: Any) -> dict[str, Any]:
    """The columns of the row *value*."""
    row = {"text": value} if isinstance(value, str) else value
    if not isinstance(row, dict):
        reason = f"the row is {shown(value)}, and the template needs columns"
        raise BadRow(Problem("E398", reason, "write an object for each row"))
    return row


def _complete(parsed: ParsedLine, value: Any, template: RowTemplate) -> None:
    """Add the system prompt of a row without one, and the examples."""
    if template.system is not None and "system" not in parsed.params:
        text = template.system.filled(_row(value))
        if text.strip():
            parsed.params["system"] = text
    if template.examples:
        parsed.params["messages"] = with_examples(parsed.params["messages"], template.examples)


def _no_prompt(columns: Iterable[str]) -> Problem:
    names = list(columns)
    last = names[-1] if names else "column"
    return Problem(
        "E399",
        f"no column is called prompt, and there is no template (columns {', '.join(names)})",
        f"say what to ask with -t, such as -t 'Classify: {{{last}}}'",
    )


def _in_shape(parsed: ParsedLine) -> Iterable[Problem]:
    """The problems, each with the name of the shape that was recognised, where it is
    one of others: that a line with "prompt" is one, its reader sees.
    """
    inside = f" (in {parsed.shape})" if "batch" in parsed.shape else ""
    return (replace(problem, reason=problem.reason + inside) for problem in parsed.problems)


def _digest(parsed: ParsedLine, extract: str) -> bytes:
    """The hash of the line's own content without its id and without defaults: a changed
    default must not run finished rows again.
    """
    content: tuple[Any, ...] = (parsed.params, parsed.model, parsed.tags, parsed.attributes)
    # Only where there are some: lines without keep the digest that they always had.
    if extract:
        content = (*content, parsed.betas, extract)
    elif parsed.betas:
        content = (*content, parsed.betas)
    return sha256(encode(content)).digest()


def _with_defaults(own: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """The line's own parameters, completed by the defaults; an empty `system` removes
    the default one.
    """
    params = {"max_tokens": defaults.max_tokens, **own}
    # An empty `system` is the one way to have none: it must not fall back to the
    # default.
    if "system" not in own:
        if defaults.system:
            params["system"] = defaults.system
    elif not own["system"]:
        del params["system"]
    return params
