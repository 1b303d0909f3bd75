"""Input lines, whatever their shape, become prompts: `parse_line` is the way in.

docs/input-format.md describes every accepted shape, and every refusal with its reason.
"""

from claudebatch.inputs.bad_lines import BadLines
from claudebatch.inputs.formats import FORMATS, FormatName, RecordFormat
from claudebatch.inputs.kept_columns import Extra, attachment
from claudebatch.inputs.line_edits import LineEdits
from claudebatch.inputs.parse_line import Defaults, LineParser, format_of, parse_line
from claudebatch.inputs.repeats import repeated, under
from claudebatch.inputs.row_template import RowTemplate
from claudebatch.inputs.selection import ALL_ROWS, RowPicker, Selection

__all__ = [
    "ALL_ROWS",
    "FORMATS",
    "BadLines",
    "Defaults",
    "Extra",
    "FormatName",
    "LineEdits",
    "LineParser",
    "RecordFormat",
    "RowPicker",
    "RowTemplate",
    "Selection",
    "attachment",
    "format_of",
    "parse_line",
    "repeated",
    "under",
]
