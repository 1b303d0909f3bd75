"""Every errno has its own sentence and fix, in one table."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from claudebatch.core.os_faults import FAULTS, os_fault, place_of

BLAMED_ON_ANOTHER = ("mend", "API_KEY", "internal")


@pytest.mark.parametrize("number", sorted(FAULTS), ids=errno.errorcode.get)
def test_each_errno_has_a_sentence_and_a_fix(number):
    fault = os_fault(OSError(number, os.strerror(number), "a/b"))
    assert fault == FAULTS[number] and fault.reason and fault.fix
    assert not any(word in fault.reason + fault.fix for word in BLAMED_ON_ANOTHER)
    assert len(fault.reason) <= 60


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EROFS, "another place"),
        (errno.ENOTDIR, "folder"),
        (errno.ENOSPC, "free some space"),
        (errno.ENOMEM, "memory"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "owner and mode"),
        (errno.ELOOP, "file itself"),
    ],
)
def test_the_fix_is_for_this_fault_and_no_other(number, fix):
    assert fix in FAULTS[number].fix


def test_an_errno_without_a_sentence_is_told_in_the_systems_words():
    assert os_fault(OSError(errno.ENOTTY, "Inappropriate ioctl")).reason == "Inappropriate ioctl"
    assert os_fault(OSError("odd")).reason == "odd"


def test_memory_and_sqlite_have_theirs(tmp_path):
    assert "memory" in os_fault(MemoryError()).reason
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(tmp_path / "no" / "folder.sqlite").execute("SELECT 1")
    assert os_fault(caught.value).reason == "it cannot be opened"
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(f"file:{tmp_path / 'x'}?mode=ro", uri=True).execute("SELECT 1")
    assert os_fault(caught.value).fix
    assert os_fault(sqlite3.ProgrammingError("a bug")).reason == "a bug"


def test_the_file_is_named_where_the_error_knows_it():
    assert place_of(OSError(errno.EIO, "x", "a/b")) == "a/b: "
    assert place_of(OSError(errno.EIO, "x", b"a/b")) == "a/b: "
    assert place_of(OSError(errno.EIO, "x", "a", None, "b")) == "a: "
    assert place_of(OSError(errno.EISDIR, "x", "a", None, "b")) == "b: ", "where it was to go"
    assert place_of(MemoryError()) == ""
