"""Which requests are alike, and what is asked about each kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.core.errors import AccountRefused, AttemptError
from claudebatch.engine.batches import request_kinds
from claudebatch.engine.batches.request_kinds import MOST_KINDS, KindCheck, request_kind

WORDS = "messages.0: that is no way to ask"


def call(row: int = 0, model: str = "haiku", betas: tuple[str, ...] = (), **params: Any) -> Call:
    params = {"max_tokens": 10, "messages": [{"role": "user", "content": "hello"}], **params}
    prompt = Prompt(f"r{row}", params, line=row + 1, file="in.jsonl", betas=betas)
    return Call(row, prompt, Route(model, "x"), model, b"{}", Size(1, 1, 1, 1))


class Api:
    """Refuses some models."""

    def __init__(self, *refused: str, failure: Exception | None = None) -> None:
        self.refused, self.failure, self.asked = refused, failure, list[Call]()
        self.check = KindCheck(self.objection)

    async def objection(self, one: Call) -> str | None:
        self.asked.append(one)
        if self.failure is not None:
            raise self.failure
        return WORDS if one.model in self.refused else None


@pytest.mark.parametrize(
    "other",
    [
        {"model": "opus"},
        {"temperature": 1},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"tools": [{"name": "look", "input_schema": {}}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
    ],
)
def test_other_fields_blocks_and_models_are_another_kind(other):
    assert request_kind(call(**other)) != request_kind(call())


def test_other_texts_and_numbers_are_not():
    one = call(max_tokens=99, messages=[{"role": "user", "content": "something else"}])
    assert request_kind(one) == request_kind(call())


async def test_one_of_each_kind_is_asked_and_the_rows_of_a_refused_one_are_left_out():
    api = Api("opus")
    rows = [call(n, model=("haiku", "opus")[n % 2]) for n in range(10)]
    # A second batch sees the same rows again.
    for _ in range(2):
        assert [await api.check.refuses(row) for row in rows] == [False, True] * 5
    assert [one.row for one in api.asked] == [0, 1]
    stop = api.check.stop()
    assert stop is not None
    assert stop.message == f"5 requests not sent: the API refuses such ones; in.jsonl:2: {WORDS}"


@pytest.mark.parametrize(
    "failure",
    [AttemptError("no answer", type="connection_error"), AccountRefused("E701", "no such key")],
)
async def test_an_endpoint_that_fails_stops_nothing_and_is_left_alone(failure):
    api = Api("opus", failure=failure)
    assert not any([await api.check.refuses(call(n, model=f"opus-{n}")) for n in range(5)])
    assert len(api.asked) == 1
    assert api.check.stop() is None


async def test_so_does_one_that_hangs(monkeypatch):
    monkeypatch.setattr(request_kinds, "_PATIENCE_S", 0.01)
    check = KindCheck(lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    assert not await check.refuses(call())


async def test_no_more_than_some_kinds_are_asked_and_none_that_needs_a_header():
    api = Api("haiku")
    assert not await api.check.refuses(call(betas=("files-2025-04-14",)))
    for number in range(2 * MOST_KINDS):
        await api.check.refuses(call(number, model=f"m{number}"))
    assert len(api.asked) == MOST_KINDS
