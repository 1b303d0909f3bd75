"""The results file is derived: whatever happened to it, it holds again exactly what the
journal holds.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.storage.results_file import FileOutput, OutputRepair, StreamOutput, mend

LINES = [
    b'{"id":"1","text":"a"}\n',
    b'{"id":"2","text":"b\\n"}\n',
    b"{}\n",
    '{"id":"3","text":"é\u2028"}\n'.encode(),
]
WHOLE = b"".join(LINES)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def mended(file: Path, *, rewrite: bool = False) -> OutputRepair:
    return mend(file, iter(LINES), rewrite=rewrite)


@pytest.mark.parametrize("length", range(len(WHOLE) + 1))
def test_cut_at_any_byte_the_file_is_completed_to_the_byte(file: Path, length: int):
    file.write_bytes(WHOLE[:length])
    repair = mended(file)
    assert file.read_bytes() == WHOLE
    whole_lines = WHOLE[:length].count(b"\n")
    at_line_end = WHOLE[:length].endswith(b"\n") or length == 0
    assert repair == OutputRepair(torn=not at_line_end, added=len(LINES) - whole_lines)
    assert mended(file) == OutputRepair(), "mending twice does nothing"


def test_a_deleted_file_is_rebuilt(file: Path):
    assert mended(file) == OutputRepair(added=4)
    assert file.read_bytes() == WHOLE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("position", range(0, len(WHOLE), 3))
def test_with_any_byte_changed_the_file_is_set_aside_unharmed(file: Path, position: int):
    edited = bytearray(WHOLE)
    edited[position] ^= 1
    file.write_bytes(edited)
    repair = mended(file)
    assert repair.set_aside is not None and repair.set_aside.read_bytes() == edited
    assert not file.exists()
    mended(file)
    assert file.read_bytes() == WHOLE


@pytest.mark.parametrize(
    "edited",
    [
        WHOLE + b"{}\n",
        WHOLE + b"x",
        WHOLE + b"\n",
        b"\n" + WHOLE,
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE[:-1] + b"\r\n",
        LINES[0][:5] + b"!" * 3,
        b"".join(LINES[1:]),
        b"".join([*LINES[:2], LINES[3]]),
        bytes(len(WHOLE)),
    ],
)
def test_lines_added_removed_or_rewritten_by_somebody_are_set_aside(file: Path, edited: bytes):
    file.write_bytes(edited)
    repair = mended(file)
    assert repair.set_aside is not None and repair.set_aside.read_bytes() == edited


def test_files_set_aside_before_are_kept(file: Path):
    for number in range(1, 4):
        file.write_bytes(b"edit %d" % number)
        assert mended(file).set_aside == file.with_name(f"out.jsonl.edited-{number}")
    assert file.with_name("out.jsonl.edited-1").read_bytes() == b"edit 1"


def test_a_rewrite_replaces_what_is_known_to_be_out_of_date(file: Path):
    file.write_bytes(b"old order\n" * 100)
    assert mended(file, rewrite=True) == OutputRepair(added=4)
    assert file.read_bytes() == WHOLE
    assert [path.name for path in file.parent.iterdir()] == ["out.jsonl"], (
        "nothing is left beside it"
    )


def test_a_rewrite_that_fails_leaves_the_old_file(file: Path):
    file.write_bytes(b"old")

    def broken():
        yield LINES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="no space is left"):
        mend(file, broken(), rewrite=True)
    assert file.read_bytes() == b"old"


def test_without_lines_only_an_empty_file_agrees(file: Path):
    file.write_bytes(b"")
    assert mend(file, [], rewrite=False) == OutputRepair()
    file.write_bytes(b"mine\n")
    assert mend(file, [], rewrite=False).set_aside is not None


def test_lines_longer_than_a_buffer_are_mended_as_well(file: Path):
    lines = [b"a" * 3_000_000 + b"\n", b"b" * 2_000_000 + b"\n"]
    file.write_bytes(b"".join(lines)[:4_000_000])
    assert mend(file, lines, rewrite=False) == OutputRepair(torn=True, added=1)
    assert file.read_bytes() == b"".join(lines)


def test_appended_lines_follow_what_is_there(file: Path):
    file.write_bytes(LINES[0])
    output = FileOutput(file)
    output.append(LINES[1:3])
    output.append(LINES[3:])
    output.close()
    assert file.read_bytes() == WHOLE


def test_short_writes_are_finished(file: Path, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(
        "claudebatch.storage.results_file.os.write",
        lambda descriptor, data: write(descriptor, data[:3]),
    )
    output = FileOutput(file)
    output.append(LINES)
    output.close()
    assert file.read_bytes() == WHOLE


def test_a_link_in_the_place_of_the_file_is_refused(file: Path, tmp_path: Path):
    (tmp_path / "precious").write_bytes(b"precious")
    file.symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError):
        FileOutput(file)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_standard_output_gets_whole_lines(capfdbinary: pytest.CaptureFixture[bytes]):
    output = StreamOutput()
    output.append(LINES[:2])
    output.append(LINES[2:])
    output.close()
    assert capfdbinary.readouterr().out == WHOLE
