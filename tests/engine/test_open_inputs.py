"""Any number of input files can be read at any place, and few of them are open."""

from __future__ import annotations

import os

import pytest

from claudebatch.engine import open_inputs
from claudebatch.engine.open_inputs import OpenInputs


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / f"{number}.jsonl" for number in range(5)]
    for path in made:
        path.write_text(path.name)
    return made


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_of_many_files_a_few_are_open_and_all_can_be_read(files, monkeypatch):
    monkeypatch.setattr(open_inputs, "_MOST_OPEN", 2)
    opened = OpenInputs(files)
    seen = set()
    for number in (0, 4, 0, 3, 2, 1, 4, 4):
        seen.add(opened.descriptor(number))
        assert os.pread(opened.descriptor(number), 99, 0).decode() == files[number].name
        assert sum(map(is_open, seen)) <= 2
    files[0].unlink()
    with pytest.raises(OSError):
        opened.descriptor(0)
    assert os.pread(opened.descriptor(4), 99, 0).decode() == files[4].name
    opened.close()
    assert not any(map(is_open, seen))


def test_a_file_that_is_replaced_keeps_its_old_content(files, tmp_path):
    opened = OpenInputs(files)
    (tmp_path / "new").write_text("new")
    os.replace(tmp_path / "new", files[2])
    assert os.pread(opened.descriptor(2), 99, 0).decode() == files[2].name
    opened.close()
