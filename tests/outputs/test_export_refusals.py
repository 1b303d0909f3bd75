"""Exports that are refused, each with nothing written."""

from __future__ import annotations

import json
import os
import sqlite3

import pytest

from claudebatch.core.errors import ClaudebatchError
from claudebatch.outputs.export_run import ExportRequest, export_run
from claudebatch.outputs.forms import form_of
from claudebatch.storage.journal.newest_results import snapshot
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.run_folder import RunFolder
from tests.support.small_journal import a_small_run


@pytest.fixture
async def folder(tmp_path):
    """The folder of a small run."""
    place = tmp_path / "out.jsonl.claudebatch"
    place.mkdir(mode=0o700)
    await a_small_run(place / JOURNAL)
    return place


def refused(folder, request):
    with pytest.raises(ClaudebatchError) as caught:
        export_run(folder, request)
    return caught.value.id


def to(folder, name):
    target = folder.parent / name
    return ExportRequest(form_of(target), target=target)


async def test_a_small_run_is_exported(folder):
    done = export_run(folder, to(folder, "x.csv"))
    assert (done.results, done.going_on) == (8, False)


def test_a_folder_without_a_run(tmp_path):
    assert refused(tmp_path, to(tmp_path, "x.csv")) == "E659"


async def test_bytes_on_a_terminal(folder, monkeypatch):
    primary, terminal = os.openpty()
    with os.fdopen(terminal, "w") as screen:
        monkeypatch.setattr("sys.stdout", screen)
        for name in ("sqlite", "csv.gz"):
            assert refused(folder, ExportRequest(form_of(None, name))) == "E657"
    os.close(primary)


async def test_a_run_at_work_on_another_host(folder):
    held = RunFolder.take(folder)
    owner = {"pid": 1, "host": "elsewhere", "since": "2026-11-30T12:00:00+00:00"}
    (folder / "owner.json").write_text(json.dumps(owner))
    try:
        assert refused(folder, to(folder, "x.csv")) == "E660"
        assert not (folder.parent / "x.csv").exists()
    finally:
        held.close()


async def test_a_journal_of_another_version_or_none_at_all(folder, tmp_path):
    journal = sqlite3.connect(folder / JOURNAL)
    journal.execute("PRAGMA user_version = 99")
    journal.close()
    for path, name in ((folder / JOURNAL, "E655"), (tmp_path / "none.sqlite", "E656")):
        with pytest.raises(ClaudebatchError) as caught, snapshot(path):
            pass
        assert caught.value.id == name
