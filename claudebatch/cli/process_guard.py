"""What stands around every command: nothing private is left behind, and nothing reaches
the terminal raw.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claudebatch.config.machine import no_core_dumps
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.process_signals import signal_handler


@contextmanager
def guarded(env: Mapping[str, str], crashed: Callable[[BaseException], object]) -> Iterator[None]:
    """Run a command within. *crashed* reports errors in threads and finalisers, which
    no caller can catch.
    """
    # No other user may read what a library creates.
    os.umask(0o077)
    no_core_dumps()
    before = logging.root.manager.disable
    if not env.get("CLAUDEBATCH_DEBUG"):
        # Libraries log what servers say, raw, and with ANTHROPIC_LOG=debug the prompts;
        # --log and -vv are our words.
        logging.disable()
    with _reported(crashed):
        try:
            yield
        finally:
            logging.disable(before)


def check_words(arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Refuse names that no results line, journal or ledger could hold; raises
    `ClaudebatchError`.
    """
    for number, argument in enumerate(arguments, start=1):
        _check_word(f"argument {number}", argument, "rename the file, or pipe it in: run - < FILE")
    _check_word("the current folder", str(Path.cwd()), "rename it, or start from another one")
    for name in ("HOME", *(name for name in env if name.startswith(("CLAUDEBATCH_", "XDG_")))):
        _check_word(name, env.get(name, ""), "set it to a name in UTF-8")


def _check_word(what: str, word: str, fix: str) -> None:
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise ClaudebatchError("E012", f"{what} is not UTF-8: {word}", fix=fix) from error


@contextmanager
def _reported(crashed: Callable[[BaseException], object]) -> Iterator[None]:
    """Python would print tracebacks of threads and finalisers, messages and all."""
    thread_hook, finaliser_hook = threading.excepthook, sys.unraisablehook
    # A hook that is not Python's own was set on purpose, by a debugger or a test.
    if thread_hook is threading.__excepthook__:
        threading.excepthook = lambda failure: _report(failure.exc_value, crashed)
    if finaliser_hook is sys.__unraisablehook__:
        sys.unraisablehook = lambda failure: _report_finaliser(failure.exc_value, crashed)
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = thread_hook, finaliser_hook


def _report_finaliser(error: Any, crashed: Callable[[BaseException], object]) -> None:
    # An object that a signal left half made cannot end well, which is no news: an event
    # loop without its attributes, for one.
    if not signal_handler().raised:
        _report(error, crashed)


def _report(error: Any, crashed: Callable[[BaseException], object]) -> None:
    if isinstance(error, BaseException) and not isinstance(error, SystemExit):
        crashed(error)
