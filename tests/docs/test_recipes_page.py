"""docs/recipes.md says what is true: each recipe is run as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from claudebatch.routing.rules import parse_rules
from tests.docs.console import blocks

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text()


def test_a_table_of_pandas_comes_back_with_its_answers(shell, tmp_path):
    program = tmp_path / "claudebatch"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m claudebatch "$@"\n')
    program.chmod(0o755)
    (recipe,) = blocks(PAGE, "python")
    done = subprocess.run(
        [sys.executable, "-c", recipe],
        cwd=shell.folder,
        env={**shell.env, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "label" in done.stdout
    assert done.stdout.count("Simulated answer") == 3


def test_the_rules_of_a_recipe_are_rules():
    for block in blocks(PAGE, "yaml"):
        assert parse_rules(yaml.safe_load(block)["routes"], "routes")
