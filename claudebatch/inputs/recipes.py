"""Commands that turn a file of another kind into JSON lines, ready to be copied into a
shell.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from claudebatch.core.jsonl import STDIN

PLACEHOLDER = "COLUMN"
"""Stands in a command for the column that holds the prompts, where nobody can know it.
"""


def command(recipe: str, name: str) -> str:
    """*recipe* for the input *name*: a filter from standard input to standard output,
    or, with `{path}` in it, a whole command.
    """
    if name == STDIN:
        # Nothing has a name here; the filter belongs between its two ends.
        return recipe.replace("{path}", "FILE").replace("{out}", "prompts.jsonl")
    path, out = shlex.quote(name), shlex.quote(converted(name))
    if "{path}" in recipe:
        return recipe.replace("{path}", path).replace("{out}", out)
    return f"{recipe} < {path} > {out}"


def converted(name: str) -> str:
    """A name for the converted copy of the file *name*, beside it, that is not yet
    taken.
    """
    path = Path(name)
    stem = path.name.split(".")[0] or path.name
    place = path.with_name(stem + ".jsonl")
    number = 1
    # `>` would empty a file of that name, the input itself among them.
    while place == path or place.exists():
        number += 1
        place = path.with_name(f"{stem}-{number}.jsonl")
    return str(place)
