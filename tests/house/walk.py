"""One run of one row against the built-in simulator, with every call of the package.

    python tests/house/walk.py TREE row|429 FOLDER

Prints each Python function of the package that ran, in order, as `file function`, and
nothing of the simulator. It is a program of its own, so that the tree to measure is the
only one that is imported; *FOLDER* must be empty and takes all that the run writes.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType

_OPTIMISED = 1  # inspect.CO_OPTIMIZED: functions have it, bodies of modules and classes do not
CONFIG = 'simulate:\n  latency: "fixed:0.05"\n'
# With this seed the first request meets a 429, and the second one is answered.
FAULTS = '  faults: {"429": 0.6}\n  seed: 1\n'


def walked(tree: Path, kind: str, folder: Path) -> list[str]:
    """The functions that ran, in order."""
    package = f"{tree / 'claudebatch'}/"
    simulator = f"{package}simulator/"
    calls: list[str] = []

    def note(frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        file = code.co_filename
        if event != "call" or not code.co_flags & _OPTIMISED or not file.startswith(package):
            return
        if not file.startswith(simulator):
            calls.append(f"{file.removeprefix(package)} {code.co_name}")

    command = prepared(tree, kind, folder)
    from claudebatch.__main__ import main

    sys.argv = command
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
    return calls


def prepared(tree: Path, kind: str, folder: Path) -> list[str]:
    """The command, after its files and its environment are in place."""
    sys.path.insert(0, str(tree))
    os.environ.update(
        HOME=str(folder),
        CLAUDEBATCH_STATE_DIR=str(folder / "state"),
        CLAUDEBATCH_CACHE_DIR=str(folder / "cache"),
    )
    prompts, config, out = folder / "in.jsonl", folder / "config.yaml", folder / "out.jsonl"
    prompts.write_text('{"prompt": "hi"}\n')
    config.write_text(CONFIG + (FAULTS if kind == "429" else ""))
    # One worker: 63 idle ones would only come and go.
    options = ["-c", str(config), "-o", str(out), "--simulate", "-q", "--yes", "-j", "1"]
    return ["claudebatch", "run", str(prompts), *options]


if __name__ == "__main__":
    print("\n".join(walked(Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3]))))
