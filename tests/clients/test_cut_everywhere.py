"""An answer that is cut off anywhere is charged at its worst case, never refunded: it
may be billed in full.
"""

from __future__ import annotations

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.domain import Reply
from claudebatch.core.errors import AttemptError
from claudebatch.layers.budget.layer import Budget
from tests.clients.test_wire_streams import CHUNKED
from tests.clients.wire import BODY, HANG, STREAM_HEAD, WHOLE, events, http
from tests.support.scripted import WatchedBudget

WORST = 1000
STREAM = events(*WHOLE)


async def charged(connect, wire, call, **params):
    """What one attempt left of the budget, and whether it was answered."""
    budget_store = WatchedBudget(10 * WORST)
    client = connect(wire.url)
    try:
        reply = await Budget(budget_store, worst=lambda call: WORST)(call(**params), client)
    except AttemptError as error:
        assert error.may_be_billed, error
        return budget_store.spent, None
    assert budget_store.held == 0
    return budget_store.spent, reply


@pytest.mark.parametrize("at", range(0, len(STREAM), 7))
async def test_a_stream_cut_at_any_byte_is_charged_whole_or_is_whole(at, wire, connect, call):
    wire.does(STREAM_HEAD, STREAM[:at])
    spent, reply = await charged(connect, wire, call, max_tokens=STREAM_ABOVE + 1)
    assert (spent == WORST) is (reply is None)
    if reply is not None:
        assert b"message_stop" in STREAM[:at], "only an answer whose end came is an answer"


async def test_a_stream_cut_after_each_of_its_events_is_charged_whole_but_for_the_last(
    wire, connect, call
):
    for count in range(len(WHOLE) + 1):
        wire.does(
            CHUNKED,
            b"%x\r\n" % len(events(*WHOLE[:count])) + events(*WHOLE[:count]) + b"\r\n"
            if count
            else b"",
        )
        spent, reply = await charged(connect, wire, call, max_tokens=STREAM_ABOVE + 1)
        whole = count == len(WHOLE)
        assert (spent == WORST, isinstance(reply, Reply)) == (not whole, whole), count


@pytest.mark.parametrize("missing", [1, 2, 10, 50, len(BODY)])
async def test_a_plain_answer_that_lacks_its_end_is_charged_whole(missing, wire, connect, call):
    whole = http(200, BODY, "content-type: application/json")
    wire.does(whole[:-missing])
    assert await charged(connect, wire, call) == (WORST, None)


@pytest.mark.parametrize("lasts", [False, True], ids=["broken off", "silent"])
async def test_an_answer_without_an_end_keeps_the_id_by_which_it_can_be_looked_up(
    lasts, wire, connect, call
):
    script = [HANG] if lasts else []
    wire.does(
        http(200, BODY, "content-type: application/json", "request-id: req_lost")[:-10], *script
    )
    with pytest.raises(AttemptError) as lost:
        await connect(wire.url)(call(deadline_s=1.0))
    assert (lost.value.type, lost.value.request_id) == (
        "timeout" if lasts else "connection_error",
        "req_lost",
    )
