"""Commands typed at a terminal of so many columns, in this process, in a folder and a
home of their own, against a simulated API that passes for the real one.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from unittest.mock import patch

from claudebatch.__main__ import main
from tests.e2e.served import Served

HOME = "/home/ana"
TODAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


class _Today(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return TODAY.astimezone(tz)


class _Keyboard(io.TextIOWrapper):
    """A standard input at which somebody sits and types what is in it."""

    def __init__(self, typed: str) -> None:
        super().__init__(io.BytesIO(typed.encode()))

    def isatty(self) -> bool:
        return True


class _Screen(io.StringIO):
    """Both streams of a command, as they come."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Typist:
    """Types commands in *folder*; see `typist`."""

    def __init__(self, folder: Path, url: str, *, columns: int) -> None:
        self.work, self.home = folder / "work", folder / "home"
        self.work.mkdir()
        self.home.mkdir()
        self.columns = columns
        self.code = 0
        self._url = url

    def types(self, command: str, *, answers: str = "") -> str:
        """What the screen shows after *command*; *answers* are typed at questions."""
        program, *arguments = command.split()
        assert program == "claudebatch"
        # Rehearsals keep the mark that says what they are.
        mark = [] if "--simulate" in arguments else [patch("claudebatch.simulator.http.MARK", b"")]
        screen, before, thresholds = _Screen(), Path.cwd(), gc.get_threshold()
        with ExitStack() as stack:
            for change in (
                *mark,
                patch.dict(os.environ, self._environment(), clear=True),
                patch.object(sys, "argv", ["claudebatch", *arguments]),
                patch.object(sys, "stdin", _Keyboard(answers)),
                patch.object(sys, "stdout", screen),
                patch.object(sys, "stderr", screen),
                patch("claudebatch.cli.models.datetime", _Today),
            ):
                stack.enter_context(change)
            try:
                os.chdir(self.work)
                main()
                self.code = 0
            except SystemExit as leaving:
                self.code = int(leaving.code or 0)
            finally:
                os.chdir(before)
                gc.set_threshold(*thresholds)
                gc.unfreeze()
        # As a terminal echoes what is typed.
        shown = screen.getvalue().replace("[y/N]: ", f"[y/N]: {answers}")
        return shown.replace(str(self.home), HOME)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TERM": "dumb",
            "COLUMNS": str(self.columns),
            "ANTHROPIC_BASE_URL": self._url,
            "ANTHROPIC_API_KEY": "not-a-key",
        }


@contextmanager
def typist(folder: Path, *, columns: int = 80) -> Iterator[Typist]:
    """Somebody at an 80-column terminal, with an API to send to."""
    served = Served(latency="fixed:0.01")
    try:
        yield Typist(folder, served.url, columns=columns)
    finally:
        served.close()
