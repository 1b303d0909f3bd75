"""The way in: `claudebatch` and `python -m claudebatch`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        # Answered before Typer is loaded: scripts ask this often.
        from claudebatch import __version__  # noqa: PLC0415

        try:
            sys.stdout.write(f"claudebatch {__version__}\n")
            sys.stdout.flush()
            return
        except OSError:
            pass  # the long way says what is wrong with it
    try:
        from claudebatch.cli.main import run_command_line  # noqa: PLC0415

        code = run_command_line()
    except KeyboardInterrupt:  # before the command could listen for it, or when it was over
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
