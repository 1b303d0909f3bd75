from collections import Counter
from pathlib import Path

import pytest

from claudebatch.core.jsonl import read_lines
from claudebatch.inputs import Defaults, parse_line
from claudebatch.inputs.fields import CHECKS, REFUSED
from claudebatch.inputs.openai_body import NEUTRAL, TRANSLATED, WITHOUT_EQUAL

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_inputs").glob("*.jsonl"))


def prompts_of(path):
    defaults = Defaults(max_tokens=2048)
    return [
        parse_line(line.data, defaults, file=path.name, line=line.number)
        for line in read_lines(path)
    ]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_sample_line_is_a_prompt_that_all_current_models_take(path):
    prompts = prompts_of(path)
    assert prompts
    for prompt in prompts:
        assert prompt.params["messages"][-1]["role"] != "assistant"
        assert prompt.params.get("thinking", {"type": "adaptive"}) == {"type": "adaptive"}
        assert prompt.params.get("tool_choice", {"type": "auto"})["type"] in ("auto", "none")
    own = Counter(prompt.id for prompt in prompts if prompt.has_own_id)
    assert max(own.values()) == 1


def test_the_first_sample_shows_duplicates_tags_models_and_own_ids():
    prompts = prompts_of(ROOT / "sample_inputs" / "prompts.jsonl")
    assert len(prompts) == 24
    assert len({prompt.digest for prompt in prompts}) == 22
    assert {prompt.model for prompt in prompts} >= {None, "claude-opus-5-5", "claude-haiku-5-5"}
    assert any(prompt.tags for prompt in prompts)
    assert any(prompt.attributes for prompt in prompts)


def test_the_reference_names_every_field():
    reference = (ROOT / "docs" / "input-format.md").read_text(encoding="utf-8")
    for name in [*CHECKS, *REFUSED, *TRANSLATED, *WITHOUT_EQUAL, *NEUTRAL]:
        assert f"`{name}" in reference, name
