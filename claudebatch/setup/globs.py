"""Patterns of file names (`'reviews/*.csv'`), filled in by us where no shell did it."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError
from claudebatch.inputs.formats import OWN


def expanded(names: Sequence[str], leave_out: Collection[Path]) -> tuple[str, ...]:
    """*names* with the files that patterns among them stand for, sorted; `**` is any
    number of folders. A file that is named already is left out, and what runs write,
    and the files *leave_out*.

    Raises `ClaudebatchError` for a pattern that no file fits.
    """
    own = {path.absolute() for path in leave_out}
    found: list[str] = []
    for given in names:
        # A file may have such a name.
        if not glob.has_magic(given) or Path(given).exists():
            found.append(given)
        else:
            known = set(found)
            found += [name for name in _fitting(given, own) if name not in known]
    return tuple(found)


def _fitting(given: str, own: Collection[Path]) -> Iterator[str]:
    found = sorted(
        name
        # Unlike a path's own, it leaves hidden files alone, as a shell does.
        for name in glob.iglob(given, recursive=True)  # noqa: PTH207
        if Path(name).is_file() and not _is_own(Path(name), own)
    )
    if not found:
        raise ClaudebatchError(
            "E360",
            f"no file fits {given}",
            fix="check the folder; ** is any number of folders, and hidden files need a dot",
        )
    yield from found


def _is_own(path: Path, own: Collection[Path]) -> bool:
    """Whether a run wrote *path*: a pattern that fits its results is not to read them
    the next time.
    """
    return path.absolute() in own or any(part.endswith(OWN) for part in path.parts)
