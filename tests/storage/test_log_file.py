"""The file of a log is private from its first byte and never one that is something
else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.storage.log_file import open_log

HEAD = b'{"v":1,'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.log"


def append(path, text, taken=()):
    file = open_log(path, head=HEAD, taken=taken)
    try:
        os.write(file, text)
    finally:
        os.close(file)


def refused(path, taken=()):
    with pytest.raises(ClaudebatchError) as caught:
        append(path, b"overwritten", taken)
    assert caught.value.fix
    assert str(path) in caught.value.message
    return caught.value


def test_it_is_made_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        append(path, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_is_appended_to(path):
    for number in range(3):
        append(path, HEAD + b'"n":%d}\n' % number)
    assert path.read_bytes().count(HEAD) == 3


def test_a_torn_line_stays_alone(path):
    path.write_bytes(HEAD + b'"torn')
    append(path, HEAD + b"}\n")
    assert path.read_bytes() == HEAD + b'"torn\n' + HEAD + b"}\n"


def test_a_file_with_other_content_is_left_alone(path):
    path.write_text('{"prompt": "hi"}\n')
    error = refused(path)
    assert "is not a log" in error.message
    assert error.exit_code is ExitCode.USAGE
    assert path.read_text() == '{"prompt": "hi"}\n'


def test_files_and_folders_of_the_run_are_refused_before_they_are_there(
    path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out.jsonl.claudebatch"
    refused(path, [path])
    refused(path, [tmp_path / "a" / ".." / "run.log"])
    refused(path.relative_to(tmp_path), [path])
    refused(folder / "run.log", [folder])
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_link_is_not_followed(path, tmp_path):
    target = tmp_path / "precious"
    target.write_bytes(b"")
    path.symlink_to(target)
    assert refused(path).exit_code is ExitCode.USAGE
    assert target.read_bytes() == b""


def test_what_is_no_regular_file_is_refused_and_nobody_waits_for_it(path, tmp_path):
    os.mkfifo(path)
    assert "is not a regular file" in refused(path).message
    assert "is a folder" in refused(tmp_path).message
    assert refused(tmp_path).exit_code is ExitCode.USAGE


def test_somebody_elses_file_is_refused(path, monkeypatch):
    append(path, HEAD)
    monkeypatch.setattr("claudebatch.storage.log_file.os.geteuid", lambda: os.getuid() + 1)
    assert "belongs to another user" in refused(path).message


def test_standard_output_is_no_log_and_no_file_is_made_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--json" in refused(Path("-")).fix
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert refused(tmp_path / "no" / "run.log").exit_code is ExitCode.LOCAL_IO
