"""Scripts that the shared server runs whole: nobody sees a state in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Script:
    """A script in Lua, and the name under which the server keeps it."""

    text: str
    sha: str

    @classmethod
    def read(cls, folder: Path, *files: str, numbers: Mapping[str, float] | None = None) -> Script:
        """The script that *files* of *folder* make, one after the other; they know
        *numbers* by name.
        """
        known = [f"local {name} = {value!r}" for name, value in (numbers or {}).items()]
        text = "\n".join(known + [(folder / name).read_text(encoding="utf-8") for name in files])
        # The server's own name for it, no seal of anything.
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
