"""A sandbox for examples: the sample inputs, an empty home, and an API to send to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.console import Shell

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="module")
def stand_in_api() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.docs.stand_in_api"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as api:
        try:
            yield api.stdout.readline().strip()
        finally:
            api.kill()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, stand_in_api: str) -> Shell:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    shutil.copytree(
        ROOT / "sample_inputs",
        folder / "sample_inputs",
        ignore=shutil.ignore_patterns("*.results*"),
    )
    shutil.copy(ROOT / "config.example.yaml", folder)
    return Shell(folder, {**_clean(os.environ), "HOME": str(home), **_key(stand_in_api)})


def _clean(env: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    foreign = ("ANTHROPIC_", "CLAUDEBATCH_", "XDG_", "FORCE_COLOR", "NO_COLOR", "COLUMNS")
    kept = {name: value for name, value in env.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT)}


def _key(url: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "not-a-key"}
