"""Input lines, whatever their shape, become prompts: `parse_line` is the way in.

docs/input-format.md describes every accepted shape, and every refusal with its reason.
"""

from claudebatch.inputs.parse_line import Defaults, parse_line
from claudebatch.inputs.problems import BadLine, format_bad_line

__all__ = ["BadLine", "Defaults", "format_bad_line", "parse_line"]
