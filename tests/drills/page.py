"""The drills' own last figures, and the table of them that docs/reliability.md quotes
word for word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("figures.json")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
START, END = "<!-- figures -->\n", "<!-- end of figures -->"
_COLUMNS = (
    ("cases", "cases"),
    ("processes killed or faults", "struck"),
    ("sessions", "sessions"),
    ("requests", "requests"),
    ("sent again", "resends"),
    ("answers lost", "answers_lost"),
    ("answers asked again", "answers_asked_again"),
    ("promises broken", "problems"),
)


def figures() -> dict[str, dict[str, Any]]:
    """What was recorded, by drill."""
    found: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def record(drill: str, found: dict[str, Any]) -> None:
    """Keep *found* as the last figures of *drill*, and show them on the page."""
    FIGURES.write_text(
        json.dumps(dict(sorted({**figures(), drill: found}.items())), indent=1) + "\n"
    )

    text = PAGE.read_text()
    before, _, rest = text.partition(START)
    PAGE.write_text(before + START + table() + "\n" + END + rest.partition(END)[2])


def table() -> str:
    """The figures as Markdown."""
    lines = [
        "| drill | " + " | ".join(head for head, _ in _COLUMNS) + " |",
        "|---" * (len(_COLUMNS) + 1) + "|",
    ]
    for drill, found in figures().items():
        cells = " | ".join(f"{found[name]:,}" for _, name in _COLUMNS)
        lines.append(f"| `python -m tests.drills.{drill}` | {cells} |")
    return "\n".join(lines)
