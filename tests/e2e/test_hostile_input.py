"""Whatever an input file holds: taken exactly, or refused with file, line, reason and
fix, before any money moves.

hostile_input.txt has the words of every case, for both ways to treat a bad row: a
change of them is seen in review. `CLAUDEBATCH_GOLDEN=1 pytest
tests/e2e/test_hostile_input.py` writes it anew.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from tests.e2e.hostile_files import FILES

GOLDEN = Path(__file__).with_name("hostile_input.txt")
MODES = {"stop": (), "skip": ("--on-bad-row", "skip")}


def told(world, name: str, mode: str) -> str:
    world.path("in.jsonl").write_bytes(FILES[name])
    done = world.claudebatch("run", "in.jsonl", "--dry-run", "--json", *MODES[mode])
    told = json.loads(done.out) if done.out else {}
    rows = f"{told['rows']} rows, {told['bad_rows']} left out" if "rows" in told else "nothing"
    said = "".join(f"\n    {line}" for line in done.err.splitlines())
    return f"{name} ({mode}): exit {done.code}, {rows}{said}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_taken_or_refused_in_these_words(world, name, mode):
    found = told(world, name, mode)
    assert all(character >= " " or character == "\n" for character in found), (
        "control characters on the screen"
    )
    if os.environ.get("CLAUDEBATCH_GOLDEN"):
        with GOLDEN.open("a", encoding="utf-8") as file:
            file.write(found + "\n\n")
        return
    kept = GOLDEN.read_text(encoding="utf-8").split("\n\n")
    assert found in [case.strip("\n") for case in kept]


def test_every_case_of_the_golden_file_is_a_case():
    cases = [case for case in GOLDEN.read_text(encoding="utf-8").split("\n\n") if case.strip()]
    assert len(cases) == len(FILES) * len(MODES)


@pytest.mark.parametrize("make", ["folder", "fifo", "missing", "device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(world, make):
    path = world.path("in.jsonl")
    if make == "folder":
        path.mkdir()
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "device":
        path.symlink_to("/dev/zero")
    done = world.claudebatch("run", "in.jsonl", "--dry-run")
    assert done.code == 2
    assert "in.jsonl" in done.err
    assert "hint:" in done.err


def test_lines_of_ten_megabytes_are_taken_and_one_beyond_the_apis_limit_is_refused_alone(world):
    # As text it would be longer than any model reads.
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(7_500_000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    message = {"role": "user", "content": [{"type": "image", "source": source}]}
    with world.path("in.jsonl").open("w") as file:
        for number in range(3):
            file.write(json.dumps({"id": f"{number}", "messages": [message]}) + "\n")
        file.write(json.dumps({"id": "too long", "prompt": "x" * 40_000_000}) + "\n")
        file.write(json.dumps({"id": "good", "prompt": "hi"}) + "\n")
    done = world.claudebatch("run", "in.jsonl", "--dry-run", "--json", "--on-bad-row", "skip")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 4
    refused = world.claudebatch("run", "in.jsonl", "--dry-run")
    assert refused.code == 2
    assert "in.jsonl:4:" in refused.err
