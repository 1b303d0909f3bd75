"""What each model refuses, told before anything is sent."""

import pytest

from claudebatch.models.catalog import Catalog
from claudebatch.routing.parameters import problems

CATALOG = Catalog.load()


def reasons(model, **params):
    params = {"max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}], **params}
    return [problem.reason for problem in problems(params, CATALOG.facts(model))]


def thinking(kind, **fields):
    return {"type": kind, **fields}


ENABLED = thinking("enabled", budget_tokens=2048)
ADAPTIVE, DISABLED, BETWEEN = thinking("adaptive"), thinking("disabled"), thinking("between_tools")


def effort(level):
    return {"effort": level}


PREFILL = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]
PAUSED = [
    PREFILL[0],
    {
        "role": "assistant",
        "content": [{"type": "server_tool_use", "id": "s", "name": "web_search"}],
    },
]
FORCED = {"type": "tool", "name": "look"}

REFUSED = [
    (
        "claude-haiku-5-5",
        {"temperature": 1.0},
        '"temperature" is answered with an error by every model',
    ),
    ("claude-haiku-4-5", {"top_k": 5}, '"top_k" is answered with an error'),
    ("claude-unheard-of", {"top_p": 1}, '"top_p" is answered with an error'),
    (
        "claude-haiku-5-5",
        {"messages": PREFILL},
        "claude-haiku-5-5 does not support prefill",
    ),
    ("claude-opus-4-6", {"messages": PREFILL}, "does not support prefill"),
    (
        "claude-haiku-4-5",
        {"max_tokens": 64_001},
        '"max_tokens" is 64001, but claude-haiku-4-5 writes at most 64000',
    ),
    ("claude-opus-5-5", {"max_tokens": 128_001}, "writes at most 128000"),
    ("claude-opus-4-7", {"thinking": ENABLED}, '"thinking" of type enabled'),
    ("claude-sonnet-4-5", {"thinking": ADAPTIVE}, '"thinking" of type adaptive'),
    ("claude-sonnet-5-5", {"thinking": DISABLED}, '"thinking" of type disabled'),
    ("claude-haiku-5-5", {"thinking": BETWEEN}, '"thinking" of type between_tools'),
    ("claude-opus-5-5", {"thinking": DISABLED}, '"thinking" of type disabled'),
    ("claude-fable-5-2", {"thinking": DISABLED}, '"thinking" of type disabled'),
    (
        "claude-haiku-5-5",
        {"thinking": DISABLED, "output_config": effort("xhigh")},
        "only up to effort high, got xhigh",
    ),
    (
        "claude-opus-5",
        {"thinking": DISABLED, "output_config": effort("max")},
        "only up to effort high, got max",
    ),
    (
        "claude-sonnet-5-5",
        {"thinking": BETWEEN, "output_config": effort("max")},
        "only up to effort high, got max",
    ),
    (
        "claude-haiku-4-5",
        {"thinking": thinking("enabled", budget_tokens=4096)},
        'counts towards "max_tokens"',
    ),
    (
        "claude-haiku-4-5",
        {"thinking": thinking("enabled", budget_tokens=1000)},
        "at least 1024, got 1000",
    ),
    ("claude-haiku-4-5", {"thinking": thinking("enabled")}, "at least 1024, got None"),
    ("claude-haiku-4-5", {"thinking": ENABLED, "tool_choice": FORCED}, "refused while"),
    (
        "claude-haiku-4-5",
        {"output_config": effort("low")},
        'claude-haiku-4-5 does not support "effort"',
    ),
    (
        "claude-opus-4-6",
        {"output_config": effort("xhigh")},
        "claude-opus-4-6 does not accept effort xhigh",
    ),
    ("claude-opus-4-5", {"output_config": effort("max")}, "does not accept effort max"),
    ("claude-sonnet-5-5", {"tool_choice": {"type": "any"}}, '"tool_choice" of type any'),
    ("claude-fable-5-2", {"tool_choice": FORCED}, '"tool_choice" of type tool'),
    ("claude-haiku-5-5", {"speed": "fast"}, 'does not support "speed": "fast"'),
    ("claude-opus-4-5", {"inference_geo": "us"}, 'does not accept "inference_geo"'),
]


@pytest.mark.parametrize(("model", "params", "reason"), REFUSED)
def test_what_the_api_would_refuse_is_found(model, params, reason):
    found = reasons(model, **params)
    assert len(found) == 1
    assert reason in found[0]


ACCEPTED = [
    ("claude-haiku-5-5", {"thinking": DISABLED, "output_config": effort("high")}),
    ("claude-haiku-5-5", {"tool_choice": FORCED}),
    ("claude-sonnet-5", {"thinking": DISABLED, "output_config": effort("max")}),
    ("claude-sonnet-5-5", {"thinking": BETWEEN, "output_config": effort("high")}),
    ("claude-sonnet-5-5", {"tool_choice": {"type": "none"}}),
    ("claude-opus-4-6", {"thinking": ENABLED}),
    ("claude-mythos-preview", {"thinking": ENABLED}),
    ("claude-opus-4-5", {"thinking": ENABLED, "output_config": effort("high")}),
    ("claude-haiku-4-5-20251001", {"thinking": ENABLED, "messages": PREFILL}),
    ("claude-opus-5-5", {"speed": "fast", "inference_geo": "us"}),
    ("claude-haiku-5-5", {"speed": "standard", "messages": PAUSED}),
    (
        "claude-opus-9",
        {"thinking": ADAPTIVE, "messages": PREFILL, "tool_choice": FORCED, "speed": "fast"},
    ),
]


@pytest.mark.parametrize(("model", "params"), ACCEPTED)
def test_what_the_api_accepts_is_not_refused(model, params):
    assert reasons(model, **params) == []


def uses(*numbers):
    return [{"type": "web_search_20250305", "name": f"search{n}", "max_uses": n} for n in numbers]


@pytest.mark.parametrize(
    ("numbers", "refused"), [((1_000,), 0), ((400, 600), 0), ((400, 601), 1), ((10**15,), 1)]
)
def test_more_uses_of_tools_than_anybody_means_are_refused(numbers, refused):
    assert len(reasons("claude-opus-5-5", tools=uses(*numbers))) == refused


def test_all_problems_of_a_row_are_found_at_once():
    found = reasons(
        "claude-sonnet-5-5", temperature=1, thinking=DISABLED, tool_choice=FORCED, messages=PREFILL
    )
    assert len(found) == 4


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"type": None}, {"type": []}])
@pytest.mark.parametrize(
    "name", ["thinking", "output_config", "tool_choice", "messages", "max_tokens", "speed", "tools"]
)
def test_a_value_of_a_wrong_shape_is_left_to_the_input(name, value):
    reasons("claude-sonnet-4-5", **{name: value if name != "messages" else [value]})


@pytest.mark.parametrize(
    ("model", "params", "fix"),
    [
        ("claude-sonnet-5-5", {"thinking": DISABLED}, '{"type": "between_tools"}'),
        ("claude-haiku-5-5", {"thinking": BETWEEN}, '{"type": "disabled"}'),
        ("claude-opus-5-5", {"thinking": DISABLED}, 'output_config.effort "low"'),
        ("claude-opus-5-5", {"thinking": ENABLED}, '{"type": "adaptive"}'),
        ("claude-haiku-4-5", {"thinking": ADAPTIVE}, '"enabled", "budget_tokens"'),
        ("claude-opus-4-5", {"output_config": effort("max")}, "low, medium, high"),
    ],
)
def test_the_fix_names_the_spelling_that_this_model_takes(model, params, fix):
    (problem,) = problems({"max_tokens": 4096, **params}, CATALOG.facts(model))
    assert fix in problem.fix
