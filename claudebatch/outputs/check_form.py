"""Whether results can be written as asked, said before anything is sent or read."""

from __future__ import annotations

from claudebatch.core.errors import ClaudebatchError
from claudebatch.outputs.forms import OutputForm
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.sinks import refuse_terminal


def check_form(form: OutputForm, layout: TableLayout, *, to_stdout: bool) -> None:
    """Raise `ClaudebatchError` where a package is missing, columns are chosen of a form
    that has none, or a terminal would get bytes.
    """
    if layout.columns is not None and not form.has_columns:
        raise ClaudebatchError(
            "E658",
            f"{form.format} lines have their own fields: --columns chooses none of them",
            fix="leave --columns out, or write a table such as x.csv",
        )
    form.require()
    if to_stdout:
        refuse_terminal(form)
