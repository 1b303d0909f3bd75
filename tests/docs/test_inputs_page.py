"""docs/inputs.md says what is true: its lists are those of the code."""

from __future__ import annotations

from pathlib import Path

from claudebatch.inputs import FORMATS

PAGE = (Path(__file__).parents[2] / "docs/inputs.md").read_text()


def test_every_format_can_be_asked_for():
    assert f"--input-format\n{'|'.join(FORMATS)}`" in PAGE
