"""A copy of a call or of a reply keeps every field that it does not set."""

from __future__ import annotations

from dataclasses import fields

from claudebatch.core.domain import Call, Hold, Reply


def full(kind: type) -> dict[str, object]:
    """A value of its own for every field of *kind*."""
    return {field.name: f"the {field.name}" for field in fields(kind)}


def members(value: object) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(type(value))}


def test_a_call_under_a_hold_is_the_same_call():
    hold = Hold(1, 1)
    assert members(Call(**full(Call)).under(hold)) == full(Call) | {"hold": hold}


def test_a_reply_that_is_paid_is_the_same_reply():
    paid = {"cost": 7, "cost_known": True, "attempt_id": 3}
    assert members(Reply(**full(Reply)).paid(7, 3)) == full(Reply) | paid
    unknown = paid | {"cost": 0, "cost_known": False}
    assert members(Reply(**full(Reply)).paid(None, 3)) == full(Reply) | unknown
