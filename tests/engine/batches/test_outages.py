"""When nobody has answered for too long."""

from __future__ import annotations

from claudebatch.core.errors import AttemptError, BatchNotFound
from claudebatch.engine.batches.outages import BatchOutage

AWAY = AttemptError("no answer", type="connection_error", retryable=True)
NOT_FOUND = BatchNotFound("not found", type="not_found_error", status=404)


def test_it_is_over_after_as_long_as_is_set_without_an_answer():
    outage = BatchOutage(900.0)
    outage.failed("retrieve", 100.0, AWAY)
    outage.failed("retrieve", 999.0, AWAY)
    assert outage.stop() is None
    outage.answered("retrieve")
    outage.failed("retrieve", 1001.0, AWAY)
    assert outage.stop() is None, "it begins anew"
    outage.failed("retrieve", 1901.0, AWAY)
    stop = outage.stop()
    assert (stop.id, stop.exit_code) == ("E782", 5)


def test_where_results_never_come_it_is_no_help_that_batches_can_be_asked_about():
    outage = BatchOutage(900.0)
    for minute in range(16):
        outage.answered("retrieve")
        outage.failed("results", 60.0 * minute, AWAY)
    assert outage.stop() is not None


def test_one_failure_before_an_hour_of_other_work_is_none():
    outage = BatchOutage(900.0)
    outage.failed("retrieve", 0.0, AWAY)
    assert outage.stop() is None
    outage.failed("list", 3600.0, AWAY)
    assert outage.stop() is None


def test_an_account_that_does_not_know_a_batch_has_answered():
    outage = BatchOutage(900.0)
    outage.failed("retrieve", 0.0, AWAY)
    outage.failed("retrieve", 600.0, NOT_FOUND)
    outage.failed("retrieve", 1000.0, AWAY)
    assert outage.stop() is None


def test_a_gateway_that_refuses_the_list_and_answers_the_rest_is_not_away():
    refusal = AttemptError("no such method", type="api_error", status=405)
    outage = BatchOutage(900.0)
    for minute in range(16):
        outage.failed("list", 60.0 * minute, refusal)
    assert outage.stop() is None
    for minute in range(16):
        outage.failed("retrieve", 60.0 * minute, refusal)
    assert outage.stop() is not None
