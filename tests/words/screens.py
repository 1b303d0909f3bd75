"""The screens of all cases, in one file for review.

    python -m tests.words.screens

writes screens.txt anew.
"""

from __future__ import annotations

from pathlib import Path

from tests.words.stage import Case, cases, screen

SCREENS = Path(__file__).with_name("screens.txt")


def entry(case: Case) -> str:
    """A case and its screen, as the file has them."""
    return f"=== {case.name}\n$ claudebatch {case.run}\n{screen(case)}"


def kept() -> dict[str, str]:
    """The entries of the file by their names."""
    parts = SCREENS.read_text().split("=== ")[1:]
    return {part.partition("\n")[0]: f"=== {part.rstrip()}\n" for part in parts}


if __name__ == "__main__":
    SCREENS.write_text("\n".join(map(entry, cases())))
