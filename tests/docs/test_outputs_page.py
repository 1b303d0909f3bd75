"""docs/outputs.md says what is true: its lists are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from claudebatch.outputs.forms import FORMATS, form_of
from claudebatch.outputs.table_columns import KNOWN, MOST_INPUT_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs/outputs.md").read_text()


def test_every_format_and_every_suffix_is_there():
    rows = re.findall(r"^\|(.*?)\|(.*?)\|.*\|$", PAGE, re.MULTILINE)
    told = [name for _, names in rows for name in re.findall(r"`([a-z-]+)`", names)]
    assert sorted(set(told) - {"--output-format"}) == sorted(FORMATS)
    for suffixes, names in rows:
        of_row = re.findall(r"`([a-z-]+)`", names)
        for suffix in re.findall(r"`(\.\w+)`", suffixes):
            assert form_of(Path(f"x{suffix}")).format in of_row


def test_every_column_is_there():
    assert [name for name in KNOWN if not re.search(rf"`{name}[`.]", PAGE)] == []
    assert f"More than\n{MOST_INPUT_COLUMNS:,} different fields" in PAGE
