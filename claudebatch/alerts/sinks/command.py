"""Runs the user's own command, with JSON on its standard input.

There is no shell: the words are the program and its arguments, as they are. The command
has no part in this process's standard output, which may be data, nor in its terminal,
and it does not see the API key.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from claudebatch.alerts.sinks.failure import DeliveryFailed

# All of them: the name of a profile or of a token file leads to a key as well.
_OURS = "ANTHROPIC_"
# A value this short in another variable is a coincidence.
_SHORTEST_SECRET = 8


class CommandSink:
    """A program that takes alerts."""

    name = "command"

    def __init__(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str],
        secrets: Sequence[str] = (),
        timeout_s: float,
    ) -> None:
        """*env* is this process's environment; the command gets `without_credentials`
        of it.
        """
        self._words = list(words)
        self._env = without_credentials(env, secrets)
        self._timeout_s = timeout_s
        # Mutable, under the lock: what runs now, and whether the end of the run has
        # come.
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._over = False

    def deliver(self, payload: bytes) -> None:
        """Run it; raises `DeliveryFailed` unless it ends in time and with exit code
        0.
        """
        process = self._start()
        try:
            process.communicate(payload, timeout=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DeliveryFailed(f"it had not ended after {self._timeout_s:g} s") from error
        finally:
            with self._lock:
                self._running = None
                _end(process)
        if process.returncode != 0:
            raise DeliveryFailed(f"it ended with code {process.returncode}")

    def abandon(self) -> None:
        """Kill it if it runs, and start it no more: nothing of a run outlives it."""
        with self._lock:
            self._over = True
            if self._running is not None:
                _end(self._running)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._over:
                raise DeliveryFailed("the run has ended before it had taken all")
            self._running = self._popen()
            return self._running

    def _popen(self) -> subprocess.Popen[bytes]:
        try:
            # A session of its own: Ctrl-C is meant for the run, and one that takes too
            # long is ended with its children.
            return subprocess.Popen(  # noqa: S603  # the user's own words, and no shell
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._env,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise DeliveryFailed(
                getattr(error, "strerror", None) or "it cannot be started"
            ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # The whole session: a shell script would leave its children behind.
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def without_credentials(env: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    """*env* without the variables of the SDK, and without any other that holds one of
    *secrets*.

    Not only without keys: the name of a profile or of a token's file is a way to them.
    """
    telling = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
    return {
        name: value
        for name, value in env.items()
        if not name.startswith(_OURS) and not any(secret in value for secret in telling)
    }
