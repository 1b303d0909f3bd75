"""What the index keeps of a request is enough to plan it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from claudebatch.core.send_via import fits_a_batch
from claudebatch.estimate.row_costs import marked_worst, planned_row
from claudebatch.inputs import parse_line
from claudebatch.setup.row_sizes import size_of, sized_call
from claudebatch.setup.run_setup import RunSetup
from tests.support.parts import TODAY
from tests.support.settings import settings_of

OPUS = "claude-opus-5-5"
FORM = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}
MARK = {"type": "ephemeral", "ttl": "1h"}
SEARCH = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}
REQUESTS: list[dict[str, Any]] = [
    {},
    {"speed": "fast"},
    {"inference_geo": "us"},
    {"inference_geo": "global"},
    {"max_tokens": 0},
    {"output_config": FORM},
    {"system": [{"type": "text", "text": "long", "cache_control": MARK}]},
    {"tools": [SEARCH]},
]


@pytest.mark.parametrize("more", REQUESTS, ids=lambda more: next(iter(more), "plain"))
def test_a_row_is_planned_by_its_size_as_by_its_line(more: dict[str, Any]) -> None:
    run_setup = RunSetup.set_up(settings_of(model=OPUS), override=None, at=TODAY)
    line = {"messages": [{"role": "user", "content": "hello " * 50}], "max_tokens": 900, **more}
    defaults = replace(run_setup.defaults, check=False)
    prompt = parse_line(json.dumps(line).encode(), defaults, file="in.jsonl", line=1)
    call = run_setup.builder.first(7, prompt)
    again = sized_call(size_of(call), 7, call.model, call.route.rule)
    assert planned_row(run_setup, again)._replace(request_bytes=0) == planned_row(
        run_setup, call
    )._replace(request_bytes=0)
    assert marked_worst(run_setup, again) == marked_worst(run_setup, call)
    assert (again.row, again.limited_as) == (7, call.limited_as)
    assert fits_a_batch(again.prompt) == fits_a_batch(call.prompt)
