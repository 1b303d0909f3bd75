"""Every error that a client may raise is the same error in the driver."""

from __future__ import annotations

import pytest

from claudebatch.clients.senders.error_facts import SenderCrashed, error_of, refused
from claudebatch.core import errors
from claudebatch.core.errors import AttemptError

# Of batches, which go out from the driver, and of a layer, which no sender has.
NEVER_A_SENDERS = {"BatchNotFound", "BatchTooLarge", "CircuitOpen"}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, AttemptError)
    and kind.__name__ not in NEVER_A_SENDERS
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_of_failed_attempt_stays_what_it_is(kind):
    # Some fix a part of the facts when they are made; here each has facts of its own.
    met = kind.__new__(kind)
    vars(met).update(vars(AttemptError("said", type="t", status=503, may_be_billed=True)))
    told = error_of(refused(7, met))
    assert (type(told), vars(told)) == (kind, vars(met))


def test_what_is_none_of_ours_is_a_crash():
    assert isinstance(error_of(refused(7, ZeroDivisionError("x"))), SenderCrashed)
