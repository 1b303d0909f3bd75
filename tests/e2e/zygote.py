"""Starts real processes of claudebatch quickly: imports everything once, then forks.

A fresh interpreter needs more than a second to import the SDK; a fork of one that has
done so needs milliseconds, and is a process of its own to signals, files and the
scheduler. Run as a script with the number of an inherited socket; started and spoken to
by world.py. Each message on the socket is one line of JSON: arguments, environment and
folder come in (with three descriptors), `{"pid": …}` and later `{"ended": pid,
"status": …}` go out.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def preload() -> None:
    """Let one small rehearsal import, and build, whatever a run needs."""
    from claudebatch.cli.main import run_command_line

    arguments = sys.argv
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CLAUDEBATCH_CACHE_DIR": folder, "CLAUDEBATCH_STATE_DIR": folder}
        rows = Path(folder, "in.jsonl")
        rows.write_text('"hi"\n')
        sys.argv = ["claudebatch", "run", str(rows), "--simulate", "-qq"]
        assert run_command_line() == 0
    sys.argv = arguments
    gc.collect()
    gc.freeze()


def serve(link: socket.socket) -> None:
    """Fork for every message; report every end."""
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([link, waking], [], [])
        if waking in ready:
            os.read(waking, 4096)
            report_ended(link)
        if link in ready:
            try:
                data, descriptors, _, _ = socket.recv_fds(link, 1 << 20, 3)
            except ConnectionResetError:
                return  # whoever asked has left without hearing us out
            if not data:
                return
            # A signal may come before our program is one: it waits until `become` has
            # made a new process of the copy.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (link.detach(), waking, wake):
                    os.close(descriptor)
                become(json.loads(data), descriptors)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            for descriptor in descriptors:
                os.close(descriptor)
            say(link, {"pid": pid})


def report_ended(link: socket.socket) -> None:
    """Tell of every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        say(link, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def become(wanted: dict[str, Any], descriptors: list[int]) -> None:
    """Be `python -m claudebatch` with these arguments, and exit as it does."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8"
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), encoding="utf-8", line_buffering=True
    )
    os.chdir(wanted["folder"])
    os.umask(wanted["umask"])
    for number in STOPPING:
        # As a program is started: even before its first line a signal ends it, without
        # a traceback from here.
        ignored = number in wanted.get("ignore", ())
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = ["claudebatch", *wanted["arguments"]]
    from claudebatch.__main__ import main
    from tests.e2e.moments import prepare

    prepare(wanted.get("moment"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    try:
        main()
    except SystemExit as leaving:
        if wanted.get("moment") is None:
            leave(leaving.code)
        raise
    sys.exit(0)


def leave(code: str | int | None) -> None:
    """End as the interpreter does, but without taking all modules apart, which takes a
    copy of this process as long as a small run.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    assert isinstance(code, int)
    os._exit(code)


def say(link: socket.socket, message: dict[str, Any]) -> None:
    """One message."""
    link.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    preload()
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        say(inherited, {"ready": os.getpid()})
        serve(inherited)
