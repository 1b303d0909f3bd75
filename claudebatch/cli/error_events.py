"""An error that is found before a command begins, as the event that a program waits for
which asked for events.
"""

from __future__ import annotations

from collections.abc import Sequence

from claudebatch.core.errors import ClaudebatchError, StopRun

_OUTPUT = ("-o", "--output")
_STDOUT = "-"


def tell_program(error: ClaudebatchError | StopRun, words: Sequence[str]) -> None:
    """Write *error* as an event, if the command line *words* asks for events."""
    if words[:1] != ["run"] or "--json" not in words or "--dry-run" in words:
        return
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.display import tell_error  # noqa: PLC0415

    tell_error(error, results_on_stdout=_results_on_stdout(words))


def _results_on_stdout(words: Sequence[str]) -> bool:
    # The parser has given up: what it would have made of the words is not known.
    for number, word in enumerate(words):
        if word in _OUTPUT:
            return words[number + 1 : number + 2] == [_STDOUT]
        if word.startswith(("--output=", "-o")) and word != "-o":
            return word in ("--output=-", "-o-")
    return _STDOUT in words
