"""A hop to another model: said in its words, or not served by it; never a 400."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from claudebatch.core.errors import NotServed
from claudebatch.models.catalog import EFFORTS, THINKING_KINDS, Catalog
from claudebatch.routing.parameters import is_prefill, problems
from claudebatch.routing.remap import remap

CATALOG = Catalog.load()
MODELS = [
    "claude-fable-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-mythos-preview",
    "claude-unheard-of",
]
USER = {"role": "user", "content": "hi"}
THOUGHT = {"type": "thinking", "thinking": "", "signature": "s"}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
TOOL_RESULT = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "t", "content": "seen"}],
}
CONVERSATIONS = [
    [USER],
    [USER, {"role": "assistant", "content": "{"}],
    [USER, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "so"}]}, USER],
    [USER, {"role": "assistant", "content": [THOUGHT, TOOL_USE]}, TOOL_RESULT],
    [USER, {"role": "assistant", "content": [THOUGHT]}, USER],
]


def thinking_configs():
    def config(kind):
        display = st.fixed_dictionaries(
            {}, optional={"display": st.sampled_from(["summarized", "omitted"])}
        )
        if kind == "enabled":
            budget = st.sampled_from([1_024, 2_048, 32_000, 127_999])
            return st.tuples(display, budget).map(
                lambda d: {"type": kind, "budget_tokens": d[1], **d[0]}
            )
        return (
            display.map(lambda d: {"type": kind, **d})
            if kind == "adaptive"
            else st.just({"type": kind})
        )

    return st.sampled_from(THINKING_KINDS).flatmap(config)


PARAMS = st.fixed_dictionaries(
    {
        "max_tokens": st.sampled_from([1, 1_024, 1_025, 4_096, 64_000, 128_000]),
        "messages": st.sampled_from(CONVERSATIONS),
    },
    optional={
        "thinking": thinking_configs(),
        "output_config": st.fixed_dictionaries(
            {},
            optional={
                "effort": st.sampled_from(EFFORTS),
                "format": st.just({"type": "json_schema", "schema": {}}),
            },
        ),
        "tool_choice": st.sampled_from(
            [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "look"}]
        ),
        "speed": st.sampled_from(["standard", "fast"]),
        "inference_geo": st.sampled_from(["us", "global"]),
        "system": st.just("be brief"),
    },
)


@settings(max_examples=400, deadline=None)
@given(PARAMS, st.sampled_from(MODELS))
def test_whatever_one_model_accepts_every_other_accepts_remapped_or_does_not_serve(params, model):
    assume(not problems(params, CATALOG.facts(model)))
    before = repr(params)
    for other in MODELS:
        facts = CATALOG.facts(other)
        try:
            mapped = remap(params, facts)
        except NotServed as error:
            assert is_prefill(params) and error.type == "not_served"
            continue
        assert problems(mapped, facts) == ()
        assert not _strange_thinking(mapped)
        assert mapped.get("system") == params.get("system")
        assert mapped["max_tokens"] == min(params["max_tokens"], facts.max_output)
        assert mapped.get("output_config", {}).get("format") == params.get("output_config", {}).get(
            "format"
        )
    assert repr(params) == before


def _strange_thinking(mapped):
    """Fields that the API's own types do not have for that kind of thinking."""
    config = mapped.get("thinking", {"type": "disabled"})
    allowed = {"adaptive": {"display"}, "enabled": {"budget_tokens", "display"}}.get(
        config["type"], set()
    )
    return set(config) - {"type"} - allowed


def hop(model, **params):
    mapped = remap({"max_tokens": 4_096, "messages": [USER], **params}, CATALOG.facts(model))
    return {name: value for name, value in mapped.items() if name not in ("max_tokens", "messages")}


DISABLED, BETWEEN, ADAPTIVE = {"type": "disabled"}, {"type": "between_tools"}, {"type": "adaptive"}


def enabled(budget):
    return {"type": "enabled", "budget_tokens": budget}


@pytest.mark.parametrize(
    ("model", "params", "expected"),
    [
        ("claude-sonnet-5-5", {"thinking": DISABLED}, {"thinking": BETWEEN}),
        ("claude-haiku-5-5", {"thinking": BETWEEN}, {"thinking": DISABLED}),
        ("claude-opus-5-5", {"thinking": DISABLED}, {"output_config": {"effort": "low"}}),
        (
            "claude-opus-5-5",
            {"thinking": BETWEEN, "output_config": {"effort": "high"}},
            {"output_config": {"effort": "low"}},
        ),
        (
            "claude-haiku-5-5",
            {"thinking": DISABLED, "output_config": {"effort": "max"}},
            {"thinking": DISABLED, "output_config": {"effort": "high"}},
        ),
        ("claude-opus-5-5", {"thinking": enabled(2_048)}, {"thinking": ADAPTIVE}),
        ("claude-haiku-4-5", {"thinking": ADAPTIVE}, {"thinking": enabled(2_048)}),
        ("claude-haiku-4-5", {"thinking": ADAPTIVE, "max_tokens": 1_024}, {}),
        ("claude-opus-4-6", {"thinking": enabled(3_000)}, {"thinking": enabled(3_000)}),
        (
            "claude-haiku-4-5",
            {"thinking": enabled(100_000), "max_tokens": 128_000},
            {"thinking": enabled(63_999)},
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            {"thinking": {**enabled(2_048), "display": "summarized"}},
        ),
        ("claude-haiku-4-5", {"output_config": {"effort": "high"}}, {}),
        (
            "claude-opus-4-6",
            {"output_config": {"effort": "xhigh"}},
            {"output_config": {"effort": "high"}},
        ),
        (
            "claude-opus-4-5",
            {"output_config": {"effort": "max"}},
            {"output_config": {"effort": "high"}},
        ),
        (
            "claude-opus-5-5",
            {"tool_choice": {"type": "tool", "name": "look"}},
            {"tool_choice": {"type": "auto"}},
        ),
        (
            "claude-opus-5-5",
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ("claude-haiku-5-5", {"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}}),
        (
            "claude-haiku-4-5",
            {"tool_choice": {"type": "any"}, "thinking": ADAPTIVE},
            {"tool_choice": {"type": "any"}},
        ),
        ("claude-haiku-4-5", {"speed": "fast", "inference_geo": "us"}, {}),
        (
            "claude-opus-5",
            {"speed": "fast", "inference_geo": "us"},
            {"speed": "fast", "inference_geo": "us"},
        ),
    ],
)
def test_each_parameter_is_respelt_weakened_or_dropped(model, params, expected):
    assert hop(model, **params) == expected


def test_thinking_of_another_model_is_left_behind():
    said = {"role": "assistant", "content": [THOUGHT, TOOL_USE]}
    mapped = remap(
        {"max_tokens": 9, "messages": [USER, said, TOOL_RESULT]}, CATALOG.facts("claude-opus-5-5")
    )
    assert mapped["messages"] == [USER, {"role": "assistant", "content": [TOOL_USE]}, TOOL_RESULT]


def test_a_begun_answer_is_not_served_by_a_model_that_does_not_continue_it():
    with pytest.raises(NotServed, match=r"claude-haiku-5-5 cannot take over: .*prefill"):
        remap({"max_tokens": 9, "messages": CONVERSATIONS[1]}, CATALOG.facts("claude-haiku-5-5"))
    assert remap(
        {"max_tokens": 9, "messages": CONVERSATIONS[1]}, CATALOG.facts("claude-haiku-4-5")
    )["messages"]


@pytest.mark.parametrize(
    ("model", "expected"), [("claude-haiku-4-5", {}), ("claude-opus-4-6", {"thinking": ADAPTIVE})]
)
def test_a_row_that_answers_a_tool_call_is_not_enabled_to_think_without_its_earlier_thinking(
    model, expected
):
    said = {"role": "assistant", "content": [THOUGHT, TOOL_USE]}
    assert hop(model, thinking=enabled(2_048), messages=[USER, said, TOOL_RESULT]) == expected
