"""The name that a misspelt one was meant to be: by one or two wrong letters, not by a
general likeness, which takes "product" for "prompt".
"""

from __future__ import annotations

from collections.abc import Iterable

# A shorter name is two letters away from many others.
_SHORTEST = 5
_MOST_WRONG = 2
# No name of ours is longer; the time grows with the length.
_LONGEST = 40


def meant(name: str, known: Iterable[str]) -> str | None:
    """The *known* name that *name* is a misspelling of: with other letters of case, or
    blanks around it, or one or two letters wrong, missing, too many or swapped.
    """
    plain = name.strip().lower()
    if len(plain) > _LONGEST:
        return None
    most = _MOST_WRONG if len(plain) >= _SHORTEST else 0
    near = (
        (wrong_letters(plain, other.lower()), other)
        for other in known
        if abs(len(other) - len(plain)) <= most
    )
    # Sorted by name as well, so that the answer does not change from run to run.
    wrong, best = min(near, default=(most + 1, ""))
    return best if wrong <= most else None


def wrong_letters(name: str, other: str) -> int:
    """How many letters of *name* must be changed, added, removed or swapped with the
    next one to make *other*.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for y, letter in enumerate(name, 1):
        older, before, row = before, row, [y]
        for x, wanted in enumerate(other, 1):
            best = min(before[x] + 1, row[x - 1] + 1, before[x - 1] + (letter != wanted))
            if x > 1 and y > 1 and letter == other[x - 2] and wanted == name[y - 2]:
                best = min(best, older[x - 2] + 1)
            row.append(best)
    return row[-1]
