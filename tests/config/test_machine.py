"""How many connections the limit on open files leaves room for, in processes of their
own.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

OWN = 48
"""What journal, output, cache, ledger and the rest need."""


def connections(wanted: int, *, soft: int, hard: int) -> tuple[int, int, int]:
    """(what it says, the soft and the hard limit afterwards) in a process with these
    limits.
    """
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 0:
        pytest.skip("this machine allows fewer open files")
    code = (
        "import resource\n"
        "from claudebatch.config.machine import connections\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"print(connections({wanted}), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    said, soft_after, hard_after = map(int, done.stdout.split())
    return said, soft_after, hard_after


def test_where_there_is_room_nothing_is_changed() -> None:
    assert connections(64, soft=256, hard=4096) == (64, 256, 4096)


def test_the_soft_limit_is_raised_as_far_as_is_needed() -> None:
    assert connections(1000, soft=256, hard=4096) == (1000, 1000 + OWN, 4096)


def test_the_hard_limit_is_respected() -> None:
    assert connections(1000, soft=256, hard=512) == (512 - OWN, 512, 512)


def test_one_is_always_left() -> None:
    assert connections(1000, soft=20, hard=20)[0] == 1
