"""What we say on a stream that takes nothing: data that is lost ends with 6, talk that
is lost changes nothing.
"""

from __future__ import annotations

import pytest

from tests.e2e.world import prompts

REPORTS = (
    ("--version",),
    ("--help",),
    ("run", "--help"),
    ("spend",),
    ("runs", "list"),
    ("runs", "check"),
    ("models",),
    ("cache", "stats"),
    ("estimate", "in.jsonl"),
)


@pytest.fixture
def full():
    """A device that is always full."""
    with open("/dev/full", "wb") as device:
        yield device.fileno()


@pytest.mark.parametrize("command", REPORTS, ids=" ".join)
def test_a_report_that_cannot_be_written_ends_with_6_and_no_traceback(processes, full, command):
    processes.write("in.jsonl", prompts(2))
    done = processes.launch(*command, stdout=full).wait()
    assert done.code == 6, done.err
    assert "no space is left on the disk" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("command", "code"), [(("run", "in.jsonl", "-o", "o.jsonl"), 0), (("run", "none.jsonl"), 2)]
)
def test_talk_that_nobody_hears_changes_no_exit_code(processes, api, full, command, code):
    processes.write("in.jsonl", prompts(2))
    assert processes.launch(*command, stderr=full).wait().code == code
