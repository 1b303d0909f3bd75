"""What fails with one of several runs is told after the others, the gravest last."""

from __future__ import annotations

import errno

import pytest

from claudebatch.cli.wiring.failures import CollectedFailures
from claudebatch.core.errors import LockedError, StorageError


def test_a_fault_of_the_system_is_told_with_the_run_and_the_file_that_met_it(capsys):
    failures = CollectedFailures()
    with failures.collect("b.claudebatch"):
        raise LockedError("E018", "b is still going on")
    with failures.collect("a.claudebatch"):
        raise OSError(errno.EIO, "Input/output error", "a.claudebatch/lock")
    with failures.collect("c.claudebatch"):
        pass
    assert [failure.id for failure in failures.met] == ["E018", "E030"]
    with pytest.raises(LockedError, match="still going on"):
        failures.tell()
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith(
        "error[E030]: a.claudebatch: a.claudebatch/lock: the disk reports an error hint: check"
    )


def test_what_is_no_fault_of_a_run_is_passed_on():
    failures = CollectedFailures()
    with pytest.raises(ZeroDivisionError), failures.collect("a"):
        raise ZeroDivisionError
    failures.tell()
    with failures.collect("a"):
        raise StorageError("E632", "x")
    with pytest.raises(StorageError):
        failures.tell()
