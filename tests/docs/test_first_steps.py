"""What somebody meets who tries claudebatch for the first time."""

from __future__ import annotations

import json

from tests.docs.console import Shell


def test_a_rehearsal_is_marked_in_every_line_and_on_the_screen(shell: Shell):
    said = shell.run("claudebatch run sample_inputs/prompts.jsonl --simulate -o rehearsal.jsonl")
    rows = [
        json.loads(line) for line in (shell.folder / "rehearsal.jsonl").read_text().splitlines()
    ]
    assert shell.last_code == 0
    assert said.startswith("SIMULATED")
    assert [row["simulated"] for row in rows] == [True] * 24


def test_an_estimate_after_a_rehearsal_counts_every_row_as_still_to_be_paid(shell: Shell):
    shell.run("claudebatch run sample_inputs/prompts.jsonl --simulate -n 3 -o tried.jsonl")
    estimate = json.loads(
        shell.run(
            "claudebatch run sample_inputs/prompts.jsonl -n 3 --dry-run --json -o tried.jsonl"
        )
    )
    assert (estimate["rows"], estimate["finished"]) == (3, 0)
    assert float(estimate["worst_usd"]) > 0


def test_an_input_that_is_not_there_is_named_and_leaves_nothing_behind(shell: Shell):
    said = shell.run("claudebatch run nowhere.jsonl")
    assert shell.last_code == 2
    assert said.startswith("error[E301]: nowhere.jsonl does not exist\n  hint:")
    assert not list(shell.folder.glob("nowhere*"))


def test_starting_over_never_moves_the_input_away(shell: Shell):
    before = (shell.folder / "sample_inputs/prompts.jsonl").read_bytes()
    said = shell.run(
        "claudebatch run sample_inputs/prompts.jsonl --fresh -o sample_inputs/prompts.jsonl"
    )
    assert shell.last_code == 2
    assert "is both input and output" in said
    assert (shell.folder / "sample_inputs/prompts.jsonl").read_bytes() == before


def test_without_a_key_nothing_is_started_and_the_fix_is_said(shell: Shell):
    keyless = {
        name: value for name, value in shell.env.items() if not name.startswith("ANTHROPIC_")
    }
    bare = Shell(shell.folder, keyless)
    said = bare.run("claudebatch run nowhere.jsonl")
    assert bare.last_code == 4
    assert "ANTHROPIC_API_KEY" in said
    assert "--simulate" in said


def test_a_cap_added_later_checks_the_rows_that_went_through_without_one(shell: Shell):
    tool = {"type": "web_search_20250305", "name": "web_search"}
    (shell.folder / "tools.jsonl").write_text(
        json.dumps({"prompt": "news?", "tools": [tool]}) + "\n"
    )
    shell.run("claudebatch run tools.jsonl -q")
    said = shell.run("claudebatch run tools.jsonl -q --budget 1")
    assert shell.last_code == 2
    assert "max_uses" in said
