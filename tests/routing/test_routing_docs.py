"""docs/routing.md: its examples work as they stand, and its tables are whole."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from claudebatch.core.domain import Prompt
from claudebatch.models.catalog import Catalog, ModelFacts
from claudebatch.routing.conditions import _PARSERS
from claudebatch.routing.request import token_estimator
from claudebatch.routing.router import Router
from claudebatch.routing.rules import parse_rules

TEXT = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
CATALOG = Catalog.load()


def router(block):
    return Router(
        parse_rules(block.get("routes", []), "routes"),
        block["model"],
        fallbacks=block.get("fallbacks", {}),
        estimate_tokens=token_estimator(CATALOG, block["model"]),
    )


def line(text="hi", *, tags=(), attributes=None, **params):
    params = {"max_tokens": 1_024, "messages": [{"role": "user", "content": text}], **params}
    return Prompt("1", params, tags=tags, attributes=attributes or {})


@pytest.mark.parametrize("block", [block for block in BLOCKS if "model" in block])
def test_every_example_parses_and_names_known_models(block):
    assert [model for model in router(block).models if not CATALOG.known(model)] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if "models" in block])
def test_the_facts_of_the_examples_are_taken(block):
    catalog = Catalog.load(block["models"])
    for model, facts in block["models"].items():
        assert catalog.facts(model).max_output == facts["max_output"]


def test_every_example_is_looked_at():
    assert len(BLOCKS) == 5
    assert all("model" in block or "models" in block for block in BLOCKS)


SCHEMA = {"format": {"type": "json_schema", "schema": {}}}


@pytest.mark.parametrize(
    ("block", "prompt", "rule"),
    [
        (0, line(tags=("legal",)), "hard"),
        (0, line("word " * 100), "short"),
        (0, line("word " * 2_000), "default"),
        (0, line(tools=[{"name": "t", "input_schema": {}}]), "default"),
        (1, line("Prove that 2 is even"), "proofs"),
        (1, line("Improve this"), "default"),
        (2, line(attributes={"plan": "gold", "beta": "true"}), "gold customers"),
        (2, line(attributes={"plan": "gold"}), "default"),
        (2, line(tags=("hard",)), "hard or long"),
        (2, line(output_config=SCHEMA), "extraction"),
    ],
)
def test_the_examples_route_as_the_page_says(block, prompt, rule):
    assert router(BLOCKS[block]).route(prompt).rule == rule


def test_the_page_names_every_condition_and_every_fact():
    assert [name for name in _PARSERS if f"| `{name}:" not in TEXT] == []
    assert [
        field.name
        for field in fields(ModelFacts)
        if field.name != "id" and f"`{field.name}`" not in TEXT
    ] == []
