"""Messages that no case provokes, each with a test of it, from unprovoked.txt: what
needs another time, a full disk, another user's files, two processes, an API that fails
in one way, or gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_LINES = Path(__file__).with_name("unprovoked.txt").read_text().splitlines()

ELSEWHERE: Mapping[str, str] = dict(line.split(" ", 1) for line in _LINES)
"""Id → the test that makes it."""
