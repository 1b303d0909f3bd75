"""What becomes of files as people have them stands in one table, and is true."""

from __future__ import annotations

import pytest

from tests.inputs.corpus import FIELD, FIELD_HEADING, PAGE, field_part, own_part
from tests.inputs.corpus_files import SECTIONS


def test_what_becomes_of_each_file_is_in_the_table():
    shown, _, _ = PAGE.read_text(encoding="utf-8").partition(FIELD_HEADING)
    assert own_part() == shown, "look at the difference of: python -m tests.inputs.corpus"


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
def test_what_becomes_of_each_file_from_the_field_is_in_the_table():
    _, heading, shown = PAGE.read_text(encoding="utf-8").partition(FIELD_HEADING)
    assert field_part() == heading + shown


def test_there_are_enough_of_them():
    assert sum(map(len, SECTIONS.values())) >= 60
