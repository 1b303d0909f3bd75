"""The worst case of a row, and of all rows, is never below what is expected of them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Usage
from claudebatch.core.reports import Estimate
from claudebatch.estimate.duration import ApiModel
from claudebatch.estimate.estimate import EstimateOptions, estimate
from claudebatch.estimate.forecast import Forecast
from claudebatch.estimate.history import History
from claudebatch.inputs import parse_line
from claudebatch.setup.input_files import InputFile
from claudebatch.setup.validate_input import InvalidInput
from claudebatch.storage.ledger.past_answers import PastAnswer
from tests.estimate.test_history import HAIKU, SONNET
from tests.estimate.test_plan import NOTHING_KEPT, run_setup
from tests.support.parts import TODAY

OPUS = "claude-opus-5-5"
WINDOW = "claude-haiku-4-5"
TEXTS = ("a", "word ", "写", "\U0001f600", "\\n\n", "{}[]", '"', "é")
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
PDF = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}

texts = st.builds(lambda text, times: text * times, st.sampled_from(TEXTS), st.integers(1, 3000))
extras: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.sampled_from((1, 100, 20_000)),
        "tools": st.sampled_from(([TOOL], [TOOL, SEARCH], [{**SEARCH, "max_uses": 1}])),
        "output_config": st.just({"format": {"type": "json_schema", "schema": SCHEMA}}),
        "system": texts,
        "cache_control": st.sampled_from(
            ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"})
        ),
    },
)
rows = st.builds(
    lambda text, blocks, model, geo, more: {
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}, *blocks]}],
        "model": model,
        # Only newer models take a place.
        **({} if model == WINDOW else geo),
        **more,
    },
    texts,
    st.lists(st.sampled_from((IMAGE, PDF)), max_size=3),
    st.sampled_from((HAIKU, SONNET, OPUS, WINDOW)),
    st.sampled_from(({}, {"inference_geo": "us"}, {"inference_geo": "global"})),
    extras,
)
usages = st.builds(
    Usage,
    input_tokens=st.integers(1, 900_000),
    ephemeral_1h_input_tokens=st.integers(0, 900_000),
    output_tokens=st.integers(1, 60_000),
    web_search_requests=st.integers(0, 50),
    inference_geo=st.sampled_from((None, "us", "global")),
)
histories = st.lists(
    st.builds(
        PastAnswer,
        st.sampled_from((HAIKU, SONNET, OPUS, WINDOW)),
        st.just("line"),
        st.integers(1, 2000),
        usages,
    ),
    max_size=4,
)
# One beginning, kept for five minutes by one row and for an hour by the other.
TWO_TIMES = [
    {"prompt": "word " * 9000, "model": HAIKU, "max_tokens": tokens, "cache_control": control}
    for tokens, control in (
        (1, {"type": "ephemeral"}),
        (2, {"type": "ephemeral"}),
        (3, {"type": "ephemeral", "ttl": "1h"}),
        (4, {"type": "ephemeral", "ttl": "1h"}),
    )
]
PAPER = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "document", "source": {"type": "url", "url": "https://e.test/a.pdf"}},
            ],
        }
    ],
    "model": SONNET,
    "max_tokens": 1,
    "cache_control": {"type": "ephemeral"},
    "system": "a",
}
# Others were written for an hour, at twice the price.
FOR_AN_HOUR = [
    PastAnswer(
        SONNET,
        "line",
        1,
        Usage(
            input_tokens=1,
            ephemeral_1h_input_tokens=29,
            output_tokens=1,
            web_search_requests=3,
            inference_geo="us",
        ),
    ),
    PastAnswer(
        SONNET, "line", 1, Usage(input_tokens=3, ephemeral_1h_input_tokens=5, output_tokens=1)
    ),
]
TOO_LONG = {"messages": [{"role": "user", "content": "word " * 170_000}], "model": WINDOW}


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), histories)
@example([TOO_LONG], [])
@example([{**TOO_LONG, "max_tokens": 1}], [])
@example(TWO_TIMES, [])
@example([PAPER], FOR_AN_HOUR)
def test_the_worst_case_is_never_below_the_expected_one(
    prompts: list[dict[str, Any]], answers: list[PastAnswer]
) -> None:
    history = History((0, answer) for answer in answers * 12)
    setup = run_setup()
    questions = EstimateOptions(history, ApiModel(), TODAY.date())
    forecast = Forecast(setup.prices, history)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        for number, some in enumerate([*([row] for row in prompts), prompts]):
            path.write_text("".join(json.dumps(row) + "\n" for row in some))
            found = estimate(
                setup,
                [InputFile(path, path.name)],
                NOTHING_KEPT,
                questions,
                limit=None,
                cap=None,
                output=str(number),
            )
            assert 0 < found.low <= found.expected <= found.worst
            assert found.batch <= found.expected
            for line in found.lines:
                assert line.low <= line.expected <= line.worst
    for row in prompts:
        prompt = parse_line(json.dumps(row).encode(), setup.defaults, file="in", line=1)
        call = setup.builder.first(0, prompt)
        assert 0 < forecast.cost_of(call) <= setup.prices.worst(call)


def test_a_prompt_that_is_certainly_longer_than_its_models_window_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.jsonl"
    content = "word " * 400_000
    path.write_text(json.dumps({"messages": [{"role": "user", "content": content}]}) + '\n"hi"\n')
    questions = EstimateOptions(History(), ApiModel(), TODAY.date())

    def found(**config: object) -> Estimate:
        setup = run_setup(model=WINDOW, **config)
        return estimate(
            setup,
            [InputFile(path, path.name)],
            NOTHING_KEPT,
            questions,
            limit=None,
            cap=None,
            output="o",
        )

    with pytest.raises(InvalidInput):
        found()
    # Left out of the lines, it is left out of the dollars.
    left = found(on_bad_row="skip")
    assert (left.rows, left.bad_rows) == (1, 1)
    assert left.worst < 10**11
