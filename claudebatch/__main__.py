"""The entry point of `claudebatch` and `python -m claudebatch`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        # Answered before Typer is loaded: scripts call it often, and Typer takes most
        # of the start-up time.
        from claudebatch import __version__  # noqa: PLC0415

        try:
            sys.stdout.write(f"claudebatch {__version__}\n")
            sys.stdout.flush()
            return
        except OSError:
            pass  # the full command line reports the error
    try:
        from claudebatch.cli.main import run_command_line  # noqa: PLC0415

        code = run_command_line()
    except KeyboardInterrupt:  # before the command installs its handler, or after its end
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
