"""What one `run` was asked to do, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from claudebatch.core.asked_time import AskedTime
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import STDIN
from claudebatch.core.notice import Notice
from claudebatch.inputs import ALL_ROWS, Extra, FormatName, LineEdits, Selection
from claudebatch.inputs.named_shapes import ShapeName
from claudebatch.outputs.check_form import check_form
from claudebatch.outputs.forms import OutputForm, form_of
from claudebatch.outputs.result_table import TableLayout


class NamedSchema(NamedTuple):
    """A schema as it was given."""

    name: str
    """What messages call it."""
    text: str
    """JSON, or a few words."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The command's flags that are no configuration; None and False mean: not given."""

    inputs: tuple[str, ...]
    """Paths of JSONL files, or `-` for standard input."""
    output: str | None = None
    """A path, `-` for standard output, or None for the default beside the first input.
    """
    output_format: str | None = None
    """The form of the results, as `form_of` takes it; None: as the output's suffix
    says.
    """
    columns: tuple[str, ...] | None = None
    """The names of a table's columns, in their order; None: the usual ones."""
    no_escape: bool = False
    """Cells that a spreadsheet would take for a formula stay as they are."""
    model: str | None = None
    limit: int | None = None
    selection: Selection = ALL_ROWS
    """The rows that are taken, where not all or the first ones."""
    text: bool = False
    input_format: FormatName | None = None
    """The format of the input files; None: what they look like."""
    sheet: str | None = None
    """The sheet of workbooks that is read; None: the first."""
    each_file: bool = False
    """Inputs are folders of text files, and such files: each is a row."""
    shape: ShapeName | None = None
    """The shape of every line; None: what each looks like."""
    template: str | None = None
    """Makes the prompts of the rows' columns."""
    var: tuple[tuple[str, str], ...] = ()
    """Values for the template, the same for every row."""
    jinja: tuple[tuple[str, str], ...] = ()
    """Which of `template` and `system` are in Jinja2, each with the name of its
    file.
    """
    examples: str | None = None
    """A file of examples that stand before every row's turns."""
    schema: NamedSchema | None = None
    """What answers have to fit."""
    extract: str | None = None
    """What is to be found in answers in prose."""
    extra: Extra = "keep"
    """What becomes of fields that are no part of a request."""
    no_check: bool = False
    """Lines that break the API's own rules are sent all the same."""
    simulate: bool = False
    fresh: bool = False
    retry_failed: bool = False
    retry_cut: bool = False
    """Rows whose answers were cut off are asked again."""
    strict_endings: bool = False
    """Answers that are not complete count as failures."""
    redo: Literal["changed"] | None = None
    """The answered rows that run again; changed: those that were answered as another
    request than they would be sent as now.
    """
    no_cache: bool = False
    refresh_cache: bool = False
    """What was cached before this run is asked anew, and its answers take the place of
    the old ones.
    """
    ordered: bool = False
    base_url: str | None = None
    """Where requests go, when it is not the API's own address."""
    count_rows: int | None = None
    """Of a dry run: so many rows of each model are counted by the API."""
    unknown: Literal["retry", "skip", "ask"] = "retry"
    """What is done about rows whose requests may have been billed although no answer
    came.
    """
    allow_unknown_model: bool = False
    """Models that are not in the list are asked, too."""
    model_map: tuple[tuple[str, str], ...] = ()
    """Models of lines, each with the one that is asked in its place."""
    drop: tuple[str, ...] = ()
    """Fields that are left out of every line."""
    fail_on_empty: bool = False
    exit_zero: bool = False
    max_failures: int | None = None
    """So many failed rows still let the run end with 0."""
    detach: bool = False
    """Message batches are sent and not waited for."""
    deadline: AskedTime | None = None
    """All is to be answered by then."""
    collect: bool = False
    """Nothing new is sent: message batches that are with the API are collected."""
    retry_batches: bool = False
    """Message batches that this key is not shown are given up."""
    attach: str = ""
    """The id of a message batch that was made elsewhere: its answers are those of rows
    with its custom_ids.
    """
    command: tuple[str, ...] = ()
    """The command line as it was given, for the hint that resumes it."""

    @property
    def edits(self) -> LineEdits:
        """The changes to each line before it is read."""
        return LineEdits(dict(self.model_map), frozenset(self.drop))

    def accepts(self, failed: int) -> bool:
        """Whether a finished run of which *failed* rows failed ends with 0."""
        return self.exit_zero or failed <= (self.max_failures or 0)

    def require_rows(self, any_rows: bool) -> None:
        """Raise `ClaudebatchError` where there is no row and that is to be an error."""
        # Usually an empty file is a filter that found nothing, which is fine.
        if self.fail_on_empty and not any_rows:
            raise ClaudebatchError(
                "E613",
                f"{self.input_name}: no row to send, and --fail-on-empty is given; nothing was "
                f"sent",
                fix="look at what should have written the prompts",
            )

    @property
    def asks_again(self) -> bool:
        """Whether rows with a result are asked again, so that it is replaced."""
        return self.retry_failed or self.retry_cut

    @property
    def input_name(self) -> str:
        """How the spend ledger calls what is read."""
        return " ".join(self.inputs)

    @property
    def reading(self) -> tuple[object, ...]:
        """Everything that the rows of an input depend on, whichever are taken."""
        return (
            *(self.model, self.text, self.input_format, self.extra, self.no_check, self.shape),
            *(self.allow_unknown_model, self.model_map, self.drop),
            *(self.template, self.var, [name for name, _ in self.jinja]),
            *(self.sheet, self.each_file),
            *(self.schema, self.extract),
        )

    @property
    def taken(self) -> str:
        """Equal for two commands that take the same rows."""
        return f"{self.limit}{self.selection.text}"

    @property
    def input_names(self) -> tuple[str, ...]:
        """How messages call each input."""
        if self.each_file and len(self.inputs) > 1:
            return (f"{self.inputs[0]} and {len(self.inputs) - 1} more",)
        return tuple(STDIN if name == "-" else str(Path(name)) for name in self.inputs)

    @property
    def no_rows(self) -> Notice:
        """What is said of inputs without a row."""
        if self.selection:
            return Notice("W070", "no row is chosen: there is nothing to send")
        has = "has" if len(self.inputs) == 1 else "have"
        return Notice(
            "W010", f"{', '.join(self.input_names)} {has} no rows: there is nothing to send"
        )

    @property
    def form(self) -> OutputForm:
        """The form of the results. Raises `ClaudebatchError` for an unknown one."""
        return form_of(self.output_path, self.output_format)

    @property
    def layout(self) -> TableLayout:
        """What was chosen of a table."""
        return TableLayout(self.columns, escape=not self.no_escape)

    def check_inputs(self) -> None:
        """Raise `ClaudebatchError` for inputs that cannot be read as asked."""
        if self.each_file and "-" in self.inputs:
            raise ClaudebatchError(
                "E361",
                "--each-file reads folders and files, and standard input is neither",
                fix="name a folder, or leave --each-file out",
            )
        if self.each_file and self.input_format not in (None, "text"):
            raise ClaudebatchError(
                "E362",
                f"--each-file makes a row of each text file, and --input-format is "
                f"{self.input_format}",
                fix="leave one of the two out",
            )

    def check_form(self) -> None:
        """Raise `ClaudebatchError` where results cannot be written as asked."""
        form = self.form
        if form.grows and self.columns is not None:
            raise ClaudebatchError(
                "E663",
                "results as JSON lines have every field: --columns chooses those of a table",
                fix="write a table, such as -o x.csv, or choose later: claudebatch export",
            )
        check_form(form, self.layout, to_stdout=self.output_path is None)

    @property
    def output_path(self) -> Path | None:
        """Where results go; None is standard output."""
        if self.output is not None:
            return None if self.output == "-" else Path(self.output)
        # Beside the input, so that results are found where the prompts are.
        first = self.inputs[0]
        if first == "-":
            return None
        path = Path(first)
        if path.name in ("", ".."):
            # A folder that has a name only in full.
            path = path.resolve()
        stem = path.name.removesuffix(".jsonl")
        return path.parent / (stem + ".results.jsonl")
