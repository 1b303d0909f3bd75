"""Folders of texts are rows, in their order; what is no text is told."""

from __future__ import annotations

import os

import pytest

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import decode
from claudebatch.inputs import Defaults, format_of
from claudebatch.inputs.formats import text_files
from claudebatch.setup.globs import expanded
from tests.inputs.test_every_format import asking, prepared, prompts, texts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a place for copies beside it."""
    work = tmp_path / "work"
    for place in (work / "notes" / "sub", tmp_path / "copies"):
        place.mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


def read(folder, *names, **how):
    return prepared(folder.parent / "copies", *names, each_file=True, **how)


@pytest.mark.parametrize(
    "data",
    [
        "é\nß\n".encode(),
        "é\nß".encode("utf-8-sig"),
        "é\nß\r\n".encode("utf-16"),
        "\N{BYTE ORDER MARK}é\nß".encode("utf-16-be"),
        "é\nß".encode("utf-32"),
    ],
)
def test_a_text_is_read_in_each_encoding_that_tells_itself(folder, data):
    (folder / "notes" / "a.txt").write_bytes(data)
    assert texts(prompts(read(folder, "notes"))) == ["é\nß"]


def test_rows_are_sorted_with_their_ways_as_ids(folder):
    for name in ("b.txt", "sub/c.md", "a", "B.txt", "sub-x"):
        (folder / "notes" / name).write_text(name)
    found = prompts(read(folder, "notes"))
    assert [prompt.id for prompt in found] == ["B.txt", "a", "b.txt", "sub-x", "sub/c.md"]
    assert decode(found[-1].columns) == {
        "file_name": "c.md",
        "path": "notes/sub/c.md",
        "text": "sub/c.md",
    }
    filled = Defaults(max_tokens=1, template=asking("{file_name}: {text}"))
    assert texts(prompts(read(folder, "notes"), filled))[-1] == "c.md: sub/c.md"


def test_several_folders_and_files_have_ids_that_differ(folder):
    (folder / "notes" / "a.txt").write_text("one")
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").write_text("two")
    file = read(folder, "notes", "other", "notes/a.txt")
    assert file.name == "notes and 2 more"
    found = prompts(file)
    assert [prompt.id for prompt in found] == ["notes/a.txt", "other/a.txt"]


def test_what_is_no_text_is_left_out_and_told(folder):
    notes = folder / "notes"
    (notes / "a.txt").write_text("one")
    (notes / ".hidden").write_text("no")
    (notes / ".git").mkdir()
    (notes / ".git" / "config").write_text("no")
    (notes / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (notes / "zeros").write_bytes(b"a\0b")
    (notes / "key").symlink_to("/etc/passwd")
    (notes / "loop").symlink_to(notes)
    os.mkfifo(notes / "pipe")
    (notes / "x.results.jsonl").write_text("{}")
    (notes / "x.results.jsonl.claudebatch").mkdir()
    (notes / "out.csv").write_text("answers of the last time")
    told = []
    found = prompts(read(folder, "notes", emit=told.append, output="notes/out.csv"))
    assert [prompt.id for prompt in found] == ["a.txt"]
    assert {notice.id for notice in told} == {"W020"}
    assert sorted(notice.text for notice in told) == [
        "notes: 1 file or folder is left out: no regular file, such as notes/pipe",
        "notes: 2 files and folders are left out: a link, such as notes/key",
        "notes: 2 files and folders are left out: hidden, such as notes/.git",
        "notes: 2 files and folders are left out: no text, such as notes/photo.png",
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"caf\xe9", "E356 notes/a.txt is not UTF-8 (byte 4)"),
        (b"\xff\xfea\0b", "E356 notes/a.txt is not UTF-16 (byte 5)"),
        (b"x" * 40, "E355 notes/a.txt is larger than 0 MB"),
    ],
)
def test_a_text_that_cannot_be_sent_is_a_bad_row(folder, monkeypatch, data, says):
    monkeypatch.setattr(text_files, "_MOST_BYTES", 30)
    (folder / "notes" / "a.txt").write_bytes(data)
    (folder / "notes" / "b.txt").write_bytes(b"good")
    file = read(folder, "notes")
    form = format_of(file.path, Defaults(max_tokens=1), name=file.name)
    bad, good = form.records(file.path)
    assert form.value(good.data)["text"] == "good"
    with pytest.raises(BadRow) as caught:
        form.value(bad.data)
    (problem,) = caught.value.problems
    assert f"{problem.id} {problem.reason}" == says


def test_a_change_of_a_file_is_seen(folder):
    (folder / "notes" / "a.txt").write_text("one")
    first = read(folder, "notes")
    assert read(folder, "notes") == first
    (folder / "notes" / "b.txt").write_text("two")
    assert texts(prompts(read(folder, "notes"))) == ["one", "two"]


def test_a_folder_without_texts_is_an_error(folder):
    with pytest.raises(ClaudebatchError) as caught:
        read(folder, "notes")
    assert caught.value.id == "E359"


def test_a_pattern_is_filled_in_sorted_and_without_what_runs_write(folder):
    for name in ("b.csv", "a.csv", ".c.csv", "sub/d.csv", "e.txt", "[f].csv", "out.csv"):
        (folder / "notes" / name).touch()
    (folder / "notes" / "run.csv.results.jsonl").touch()
    kept = folder / "notes" / "x.csv.claudebatch"
    kept.mkdir()
    (kept / "g.csv").touch()
    own = [folder / "notes" / "out.csv"]
    assert expanded(["notes/*.csv", "-"], own) == (
        *("notes/[f].csv", "notes/a.csv", "notes/b.csv"),
        "-",
    )
    assert expanded(["notes/b.csv", "notes/**/*.csv"], own) == (
        *("notes/b.csv", "notes/[f].csv", "notes/a.csv", "notes/sub/d.csv"),
    )
    # A file that is named twice is the user's own word.
    assert expanded(["notes/a.csv", "notes/a.csv"], own) == ("notes/a.csv", "notes/a.csv")
    # A file may be called like a pattern.
    assert expanded(["notes/[f].csv"], own) == ("notes/[f].csv",)
    with pytest.raises(ClaudebatchError) as caught:
        expanded(["notes/*.tsv"], own)
    assert (caught.value.id, caught.value.message) == ("E360", "no file fits notes/*.tsv")
