"""A sandbox for examples: the sample inputs, an empty home, and an API to send to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.console import Shell
from tests.e2e.processes import Zygote

ROOT = Path(__file__).parents[2]


@contextmanager
def stand_in_api() -> Iterator[str]:
    """The address of an API that a run takes for the real one."""
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


def sandbox(place: Path, url: str, zygote: Zygote | None = None) -> Shell:
    """A shell in an empty folder and with an empty home, both under *place*, that sends
    to *url*; *zygote* forks its processes.
    """
    folder, home = place / "project", place / "home"
    home.mkdir()
    shutil.copytree(
        ROOT / "sample_inputs",
        folder / "sample_inputs",
        ignore=shutil.ignore_patterns("*.results*"),
    )
    shutil.copy(ROOT / "config.example.yaml", folder)
    key = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "not-a-key"}
    return Shell(folder, {**_clean(os.environ), "HOME": str(home), **key}, zygote)


def _clean(env: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    foreign = ("ANTHROPIC_", "CLAUDEBATCH_", "XDG_", "FORCE_COLOR", "NO_COLOR", "COLUMNS")
    kept = {name: value for name, value in env.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT)}
