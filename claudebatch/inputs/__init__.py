"""Input lines, whatever their shape, become prompts: `parse_line` is the way in.

docs/input-format.md describes every accepted shape, and every refusal with its reason.
"""

from claudebatch.inputs.bad_lines import BadLines
from claudebatch.inputs.file_kinds import check_file
from claudebatch.inputs.kept_columns import Extra, attachment
from claudebatch.inputs.line_edits import LineEdits
from claudebatch.inputs.parse_line import Defaults, parse_line

__all__ = [
    "BadLines",
    "Defaults",
    "Extra",
    "LineEdits",
    "attachment",
    "check_file",
    "parse_line",
]
