"""The contracts between rooms break when somebody breaks them; `.ci/run` shows that
nobody did.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.files import PACKAGE, ROOT

TIERS = "The tiers of the house"
BREACHES = {
    "a room that is on no list": ("helpers.py", '"""Odds and ends."""', TIERS),
    "a layer that knows who puts it together": (
        "layers/budget/layer.py",
        "import claudebatch.setup.run_options",
        TIERS,
    ),
    "a layer that knows another": (
        "layers/budget/layer.py",
        "import claudebatch.layers.retry.layer",
        "No layer knows another",
    ),
    "a store that knows the configuration": (
        "storage/health.py",
        "import claudebatch.config.paths",
        TIERS,
    ),
    "a room that reads a setting's text itself": (
        "engine/row_feed.py",
        "import claudebatch.config.units",
        "Only config reads settings from text",
    ),
    "alerts that know the configuration": (
        "alerts/spend_monitor.py",
        "import claudebatch.config.settings",
        TIERS,
    ),
    "a display that asks the engine": (
        "ui/live/live_progress.py",
        "import claudebatch.engine.row_feed",
        "The display knows words only",
    ),
    "an engine that knows the simulator": (
        "engine/row_feed.py",
        "import claudebatch.simulator.http",
        "Only the command line knows the simulator",
    ),
    "the SDK outside its room": (
        "engine/row_feed.py",
        "import anthropic",
        "Only clients know the SDK",
    ),
}


def broken_contracts(folder: Path) -> list[str]:
    program = (
        "import sys; from importlinter.cli import lint_imports_command;"
        " sys.exit(lint_imports_command())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [
        line.removesuffix(" BROKEN")
        for line in done.stdout.splitlines()
        if line.endswith(" BROKEN")
    ]


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found(breach, tmp_path):
    file, line, contract = BREACHES[breach]
    shutil.copytree(PACKAGE, tmp_path / "claudebatch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "claudebatch" / file).open("a") as code:
        code.write(f"\n{line}\n")
    (found,) = broken_contracts(tmp_path)
    assert found.startswith(contract)
