"""The entry point of `claudebatch` and `python -m claudebatch`."""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress

from claudebatch.core.process_signals import SignalHandler


def main() -> None:
    """Run the command line and exit with its code."""
    signals = SignalHandler(now=time.monotonic)  # noqa: TID251  # a process is where time comes in
    try:
        signals.install()
        code = _run()
        signals.settle()
    except BaseException:
        # Only the first signal is raised, so nothing can interrupt this. Whatever it
        # became on its way, an import may turn it into an error of its own, it is the
        # signal that ended the command.
        if not signals.raised:
            raise
        code = signals.exit_code
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{signals.words}\n")
    # The interpreter would look through all modules once more for what can be freed:
    # that takes as long as a third of their loading, and the process ends anyway.
    gc.freeze()
    sys.exit(code)


def _run() -> int:
    if sys.argv[1:] == ["--version"]:
        # Answered before Typer is loaded: scripts call it often, and Typer takes most
        # of the start-up time.
        from claudebatch import __version__  # noqa: PLC0415

        try:
            sys.stdout.write(f"claudebatch {__version__}\n")
            sys.stdout.flush()
            return 0
        except OSError:
            pass  # the full command line reports the error
    if sys.argv[1:] == ["--sender"]:
        # Started by a run with --processes. It parses nothing and talks to nobody, so
        # it loads neither Typer nor the display.
        from claudebatch.cli.sender_process import serve_pipes  # noqa: PLC0415

        return serve_pipes()
    from claudebatch.cli.main import run_command_line  # noqa: PLC0415

    return run_command_line()


if __name__ == "__main__":
    main()
