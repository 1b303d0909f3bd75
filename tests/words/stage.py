"""Command lines run in this process, and what an 80-column terminal shows of them."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from claudebatch.__main__ import main
from tests.support.request_lines import BY_MODEL, BY_RULE, BY_TYPE

CASES = Path(__file__).with_name("cases")
# A line may have two problems, and twenty are shown.
_LINES_SHOWN = 10
_LONGEST_LINE = 20_000
# Always as long: where a line is broken depends on it.
_FOLDER = "FOLDER-OF-THE-CASE".ljust(32, "-")
_PLAIN = (
    (re.compile(r"\d{8}T\d{6}-\w+"), "20261130T000000-0000"),
    (re.compile(r"127\.0\.0\.1:\d{4,5}"), "127.0.0.1:00000"),
    (re.compile(r"crash-\w+"), "crash-0000"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "2026-11-30 00:00"),
)
_TALK = re.compile(r"(error|warning|note)\[|stopped |.* is left out: |[\w./-]+:[\d, -]+: E\d")


@dataclass(frozen=True)
class Case:
    """One command line with all that it meets."""

    name: str
    run: str
    """The arguments, as a shell would split them."""
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Command lines that are run first and not shown."""
    edit: Mapping[str, str] = field(default_factory=dict)
    """Files that are written after those."""
    append: Mapping[str, str] = field(default_factory=dict)
    """What is added to the ends of files after those."""
    links: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    """What is piped in; None: a terminal."""
    typed: str = ""
    """What is typed at the terminal."""
    talk: bool = False
    """Only messages are shown: summaries and tables have tests of their own."""


class Screen(io.TextIOWrapper):
    """A terminal of 80 columns that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """All of it."""
        buffer: Any = self.buffer
        return str(buffer.getvalue().decode())


class _Keyboard(io.BytesIO):
    def isatty(self) -> bool:
        return True


def cases() -> list[Case]:
    """All of them, in the order of the files."""
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        for raw in yaml.safe_load(path.read_text()):
            raw["before"] = tuple(raw.get("before", ()))
            found.append(Case(**raw))
    return [*found, *_refused_requests()]


def _refused_requests() -> Iterator[Case]:
    """The lines that the API or their model refuses, a screenful in each case."""
    lines = [json.dumps(request) for request, _ in (*BY_TYPE, *BY_RULE, *BY_MODEL)]
    # Pictures of many bytes say no more than short ones.
    lines = [text for text in lines if len(text) < _LONGEST_LINE]
    for start in range(0, len(lines), _LINES_SHOWN):
        text = "\n".join(lines[start : start + _LINES_SHOWN]) + "\n"
        name = f"requests that are refused, {start // _LINES_SHOWN + 1}"
        yield Case(name, "estimate in.jsonl", files={"in.jsonl": text})


@contextmanager
def stage() -> Iterator[Path]:
    """A folder of its own, in which command lines are run."""
    # mkdtemp adds eight letters, and there is a slash between.
    prefix = "words-".ljust(len(_FOLDER) - 9 - len(tempfile.gettempdir()), "-")
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(here)
        for path in folder.rglob("*"):
            path.chmod(0o700) if path.is_dir() else None
        shutil.rmtree(folder)


def screen(case: Case) -> str:
    """What the terminal shows of *case*, with the exit code."""
    with stage() as folder:
        # The user's own settings, where a case has none: a simulator without waits.
        _write(folder, {".config/claudebatch/config.yaml": "simulate: {latency: 'fixed:0'}\n"})
        _write(folder, case.files)
        for name, target in case.links.items():
            (folder / name).symlink_to(target)
        for command in case.before:
            _run(case, command, folder)
        _write(folder, case.edit)
        for name, text in case.append.items():
            with (folder / name).open("a") as file:
                file.write(text)
        code, shown = _run(case, case.run, folder)
    shown = shown.replace(str(folder), _FOLDER)
    for pattern, plain in _PLAIN:
        shown = pattern.sub(plain, shown)
    if case.talk:
        shown = _only_talk(shown)
    return f"{shown.rstrip()}\n[exit {code}]\n"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Latin-1 where it can be: a file that is not UTF-8 is a case, too.
        try:
            path.write_bytes(text.encode("latin-1"))
        except UnicodeEncodeError:
            path.write_text(text, encoding="utf-8")


def _run(case: Case, command: str, folder: Path) -> tuple[int, str]:
    env = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        # Neither colours nor movements, so that the screen is plain text.
        "TERM": "dumb",
        "COLUMNS": "80",
        "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
        "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
        **case.env,
    }
    terminal = Screen()
    typed: Any = (
        _Keyboard(case.typed.encode()) if case.stdin is None else io.BytesIO(case.stdin.encode())
    )
    thresholds = gc.get_threshold()
    before = os.umask(0o022)
    argv = ["claudebatch", *shlex.split(command)]
    try:
        with (
            mock.patch.dict(os.environ, env, clear=True),
            mock.patch.multiple(
                sys, argv=argv, stderr=terminal, stdout=terminal, stdin=io.TextIOWrapper(typed)
            ),
        ):
            main()
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    finally:
        os.umask(before)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    return code, terminal.shown()


def _only_talk(shown: str) -> str:
    """The messages of *shown*, each with its further lines."""
    kept, keeping = [], False
    for line in shown.splitlines():
        keeping = _TALK.match(line) is not None or (keeping and line.startswith("  "))
        if keeping:
            kept.append(line)
    return "\n".join(kept)
