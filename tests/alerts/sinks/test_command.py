"""The user's command gets the alert on its standard input: no shell, no key, no end of
the run if it fails.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from claudebatch.alerts.sinks.command import CommandSink, without_credentials
from claudebatch.alerts.sinks.failure import DeliveryFailed

KEY = "sk-ant-api03-canary"
BODY = b'{"text":"80 %"}\n'


def python(
    code: str, *arguments: str, timeout_s: float = 30.0, env: dict[str, str] | None = None
) -> CommandSink:
    given = {"PATH": os.environ["PATH"], **(env or {})}
    return CommandSink(
        [sys.executable, "-c", code, *arguments], env=given, secrets=[KEY], timeout_s=timeout_s
    )


def test_it_reads_the_alert(tmp_path: Path) -> None:
    target = tmp_path / "got"
    python(
        "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())",
        str(target),
    ).deliver(BODY)
    assert target.read_bytes() == BODY


def test_its_words_are_no_shells(tmp_path: Path) -> None:
    target = tmp_path / "got"
    word = f"$(touch {tmp_path}/trap); `touch {tmp_path}/trap` | * ~ $HOME"
    python(
        "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])", str(target), word
    ).deliver(BODY)
    assert target.read_text() == word
    assert not (tmp_path / "trap").exists()


def test_what_it_writes_is_in_no_stream_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    python("import sys; print('noise'); print('noise', file=sys.stderr)").deliver(BODY)
    assert capfd.readouterr() == ("", "")


def test_it_sees_the_users_environment_without_the_key(tmp_path: Path) -> None:
    target = tmp_path / "got"
    env = {
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_CUSTOM_HEADERS": f"X-Other: {KEY}",
        "MY_COPY": KEY,
        "IN_A_URL": f"https://u:{KEY}@h/",
        "PAGER_TOKEN": "the users own",
    }
    code = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(dict(os.environ)))"
    python(code, str(target), env=env).deliver(BODY)
    seen = target.read_text()
    assert "the users own" in seen
    assert KEY not in seen
    assert "ANTHROPIC" not in seen


def test_a_short_value_is_no_secret() -> None:
    assert without_credentials({"A": "xyz", "ANTHROPIC_LOG": "x"}, ["x", ""]) == {"A": "xyz"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([sys.executable, "-c", "raise SystemExit(3)"], "it ended with code 3"),
        (["/nonexistent/program"], "No such file"),
        (["/"], "Permission denied"),
    ],
)
def test_one_that_fails_says_how(words: list[str], reason: str) -> None:
    with pytest.raises(DeliveryFailed, match=reason):
        CommandSink(words, env={}, timeout_s=30).deliver(BODY)


def test_one_that_does_not_read_is_no_failure() -> None:
    python("pass").deliver(BODY * 100_000)


def test_one_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    target = tmp_path / "pids"
    words = ["/bin/sh", "-c", 'sleep 60 & echo $$ $! > "$0"; sleep 60', str(target)]
    # A busy machine may need longer until the child is there.
    for timeout_s in (1, 5, 25):
        with pytest.raises(DeliveryFailed, match=f"had not ended after {timeout_s} s"):
            CommandSink(words, env={"PATH": os.environ["PATH"]}, timeout_s=timeout_s).deliver(BODY)
        if target.exists() and len(target.read_text().split()) == 2:
            break
    process, child = map(int, target.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    for _ in range(6000):  # a moment until the kernel has put it away
        if not alive(child):
            break
        time.sleep(0.01)
    assert not alive(child)


def test_at_the_end_of_the_run_it_is_killed_and_started_no_more(tmp_path: Path) -> None:
    target, failures = tmp_path / "pid", []
    words = ["/bin/sh", "-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 60', str(target)]
    command = CommandSink(words, env={"PATH": os.environ["PATH"]}, timeout_s=60)

    def deliver() -> None:
        try:
            command.deliver(BODY)
        except DeliveryFailed as error:
            failures.append(str(error))

    thread = threading.Thread(target=deliver)
    thread.start()
    for _ in range(6000):
        if target.exists():
            break
        time.sleep(0.01)
    command.abandon()
    thread.join(30)
    assert not alive(int(target.read_text()))
    target.unlink()
    deliver()
    assert not target.exists()
    assert len(failures) == 2


def alive(process: int) -> bool:
    """One that has died and was not asked about by its parent yet is a zombie, and not
    alive.
    """
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
