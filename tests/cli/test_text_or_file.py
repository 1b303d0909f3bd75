"""`-s @FILE` is the text of the file, and no file name is ever sent as a prompt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claudebatch.cli.wiring.text_or_file import system_prompt
from claudebatch.core.errors import ClaudebatchError

TEXTS = {
    "You are brief.": "You are brief.",
    "You are brief.\n": "You are brief.",
    "You are brief.\r\n": "You are brief.",
    "\ufeffZwölf Sätze.\n\n": "Zwölf Sätze.\n",
    "@home": "@home",
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_is_read_without_the_marks_of_its_editor(tmp_path, text):
    path = tmp_path / "sys.txt"
    path.write_bytes(text.encode())
    assert system_prompt(f"@{path}") == TEXTS[text]


def test_a_pipe_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"From a pipe.")
    os.close(writer)
    assert system_prompt(f"@{Path('/dev') / 'fd' / str(reader)}") == "From a pipe."
    os.close(reader)


@pytest.mark.parametrize(
    ("given", "text"),
    [(None, None), ("", ""), ("Hi @all", "Hi @all"), ("@@home", "@home"), ("@@", "@")],
)
def test_every_other_text_is_the_prompt_itself(given, text):
    assert system_prompt(given) == text


REFUSED = {
    "": "needs a file name",
    "missing.txt": "missing.txt: no such file",
    "folder": "this is a folder",
    "latin.txt": "is not UTF-8 (byte 4)",
    "empty.txt": "is empty",
    "endless": "larger than 32 MB",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_text_is_refused_with_a_fix(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "empty.txt").write_bytes(b" \n")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(ClaudebatchError) as caught:
        system_prompt(f"@{name}")
    assert caught.value.message.startswith(f"-s @{name}")
    assert REFUSED[name] in caught.value.message
    assert caught.value.fix
