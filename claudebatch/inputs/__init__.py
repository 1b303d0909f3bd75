"""Input lines, whatever their shape, become prompts: `parse_line` is the way in.

What an input line may look like, and what is refused and why, is written down in
docs/input-format.md.
"""

from claudebatch.inputs.parse_line import Defaults, parse_line
from claudebatch.inputs.problems import BadLine, format_bad_line

__all__ = ["BadLine", "Defaults", "format_bad_line", "parse_line"]
