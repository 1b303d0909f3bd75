"""Once a beginning is given up, two rows ask the API why it was not read: rows that are
sent anyway, and nothing of theirs depends on the answer.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.notice import Notice
from claudebatch.layers.prompt_caching.own_marks import without_marks
from claudebatch.simulator.cache_diagnostics import CacheDiagnostics
from claudebatch.simulator.traits import MODELS
from tests.layers.prompt_caching.rows import Bench, all_of, asks
from tests.support.caching_api import CachingApi
from tests.support.scripted import bad_request, overloaded
from tests.support.virtual import virtual


class Gateway:
    """An API that diagnoses as the simulator does, behind a gateway that *changes*
    requests, or *refuses* the question.
    """

    def __init__(
        self,
        api: CachingApi,
        *,
        changes: Any = None,
        refuses: Any = None,
        diagnoses: bool = True,
    ) -> None:
        self.api, self.changes, self.refuses, self.diagnoses = api, changes, refuses, diagnoses
        self.bodies: dict[int, list[dict[str, Any]]] = {}
        self._diagnostics, self._numbers = CacheDiagnostics(), itertools.count()

    async def __call__(self, call: Call) -> Reply:
        body, number = decode(call.body), next(self._numbers)
        self.bodies.setdefault(call.row, []).append(dict(body))
        question = body.pop("diagnostics", None)
        if question is not None and self.refuses is not None:
            raise self.refuses()
        if self.changes is not None:
            self.changes(body, number)
        reply = await self.api(replace(call, body=encode(body)))
        message = {**decode(reply.message), "id": f"msg_{number}"}
        if question is not None and self.diagnoses:
            asked = SimpleNamespace(
                body={**body, "diagnostics": question}, owner="", traits=MODELS[call.model]
            )
            found = self._diagnostics.compare(asked, message["id"])  # type: ignore[arg-type]
            message["diagnostics"] = found
        return replace(reply, message=encode(message))

    @property
    def questions(self) -> list[Any]:
        """Those of all requests, in the order of their rows."""
        sent = [body for row in sorted(self.bodies) for body in self.bodies[row]]
        return [body["diagnostics"] for body in sent if "diagnostics" in body]


async def play(gateway: Gateway, *, rows: int = 20) -> tuple[list[Any], list[str]]:
    """Replies and notes of rows that share a beginning, some after the others."""
    bench, calls = Bench(), [asks(row) for row in range(rows)]
    stack, replies = bench.around(gateway, slots=4), []
    for start in range(0, rows, 5):
        replies += await all_of(stack, calls[start : start + 5])
    for call in calls:
        for body in gateway.bodies[call.row]:
            bare = without_marks(replace(call, body=encode({**body, "diagnostics": None})))
            told = decode(bare.body)
            del told["diagnostics"]
            assert told == decode(without_marks(call).body), "nothing else differs"
    notices = [event for event in bench.events if isinstance(event, Notice)]
    assert [one.id for one in notices][:1] in ([], ["W110"])
    return replies, [one.text for one in notices if one.id == "N110"]


def adds_the_date(body: dict[str, Any], number: int) -> None:
    body["system"] = f"It is the {number}th second."


def swaps_tools(body: dict[str, Any], number: int) -> None:
    body["tools"] = [{"name": f"t{number}", "input_schema": {"type": "object"}}]


def in_other_words(body: dict[str, Any], number: int) -> None:
    body["thinking"] = {"type": "enabled", "budget_tokens": 1024 + number}


@virtual
@pytest.mark.parametrize(
    ("works", "changes", "cause"),
    [
        ("always", adds_the_date, "the system prompt differs at the API though sent alike"),
        ("always", swaps_tools, "the tools differ at the API though sent alike"),
        ("never read", None, "model, tools and system prompt come alike"),
    ],
)
async def test_two_rows_ask_and_a_note_has_the_cause(works, changes, cause):
    gateway = Gateway(CachingApi(works=works), changes=changes)
    replies, notes = await play(gateway)
    assert all(isinstance(reply, Reply) for reply in replies)
    (text,) = notes
    assert cause in text
    first, second = gateway.questions
    assert first == {"previous_message_id": None}
    assert second["previous_message_id"].startswith("msg_")
    assert gateway.api.writes == 2
    assert {len(bodies) for bodies in gateway.bodies.values()} == {1}, "none is sent twice"


@virtual
async def test_where_the_api_makes_no_comparison_nothing_is_said():
    gateway = Gateway(CachingApi(works="always"), changes=in_other_words)
    _, notes = await play(gateway)
    assert notes == []
    assert len(gateway.questions) == 2


@virtual
@pytest.mark.parametrize("status", [400, 422])
async def test_a_gateway_that_refuses_the_question_costs_one_refused_request(status: int):
    def refuse() -> AttemptError:
        return AttemptError(
            "diagnostics: extra inputs", type="invalid_request_error", status=status
        )

    gateway = Gateway(CachingApi(works="never read"), refuses=refuse)
    replies, notes = await play(gateway)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert notes == []
    assert len(gateway.questions) == 1, "nobody asks again"
    assert sorted(map(len, gateway.bodies.values())) == [1] * 19 + [2]
    assert gateway.api.writes == 2


@virtual
async def test_a_row_that_is_refused_for_a_reason_of_its_own_fails_as_ever():
    gateway = Gateway(CachingApi(works="never read", befalls=lambda call, number: _bad(call)))
    replies, notes = await play(gateway)
    assert [row for row, reply in enumerate(replies) if not isinstance(reply, Reply)] == [2]
    assert notes == []
    assert ["diagnostics" in body for body in gateway.bodies[2]] == [True, False]


def _bad(call: Call) -> AttemptError | None:
    return bad_request() if call.row == 2 else None


@virtual
async def test_an_outage_ends_the_question_and_the_row_is_tried_again_without():
    gateway = Gateway(CachingApi(works="never read"), refuses=overloaded)
    replies, notes = await play(gateway)
    assert sum(isinstance(reply, AttemptError) and reply.retryable for reply in replies) == 1
    assert notes == []
    assert len(gateway.questions) == 1


@virtual
async def test_a_gateway_that_ignores_the_question_is_asked_once():
    gateway = Gateway(CachingApi(works="never read"), diagnoses=False)
    _, notes = await play(gateway)
    assert notes == []
    assert len(gateway.questions) == 1


@virtual
async def test_where_the_cache_works_nobody_asks():
    gateway = Gateway(CachingApi())
    _, notes = await play(gateway)
    assert (gateway.questions, notes, gateway.api.writes) == ([], [], 1)
