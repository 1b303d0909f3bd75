"""config.example.yaml is the schema in words: every key, at its default."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
import yaml

from claudebatch.config.load import load
from claudebatch.config.sections import Config
from claudebatch.core.errors import ConfigError
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook
from claudebatch.routing.rules import parse_rules
from claudebatch.simulator import SIMULATE_LATENCY

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
TEXT = EXAMPLE.read_text()


def keys(section: Any, prefix: str = "") -> set[str]:
    """Every setting below *section*, dotted; free mappings such as `routes` have none
    below them.
    """
    found = set()
    for name, kind in get_type_hints(section).items():
        found.add(prefix + name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found |= keys(kind, f"{prefix}{name}.")
    return found


def written(data: Any, prefix: str = "") -> set[str]:
    found = set()
    for name, value in data.items():
        found.add(prefix + name)
        if isinstance(value, dict):
            found |= written(value, f"{prefix}{name}.")
    return found


def loaded(path: Path) -> Config:
    return load(path, {}, env={}, folder=path.parent).config


def test_it_is_the_defaults():
    assert loaded(EXAMPLE) == Config()


def test_it_names_every_setting_there_is():
    assert written(yaml.safe_load(TEXT)) == keys(Config)


@pytest.mark.parametrize("key", sorted(keys(Config)))
def test_a_misspelt_setting_is_refused_with_the_line_and_the_nearest_name(key, tmp_path):
    parents, _, name = key.rpartition(".")
    line = f"{name}x: 1"
    file = tmp_path / "claudebatch.yaml"
    file.write_text(
        f"# a comment\n{parents}: {{{line}}}\n" if parents else f"# a comment\n{line}\n"
    )
    with pytest.raises(
        ConfigError, match=rf'claudebatch\.yaml:2: unknown setting "{re.escape(key)}x"'
    ) as refused:
        loaded(file)
    assert f'"{name}"' in refused.value.fix


def uncommented(section: str) -> Any:
    """What stands commented out below an empty *section*, as if it were set."""
    block = re.search(rf"^( *){section}: (?:\[\]|{{}}).*\n((?:#.*\n)+)", TEXT, re.MULTILINE)
    lines = [line.removeprefix("#") for line in block[2].splitlines()]
    return yaml.safe_load(f"{section}:\n" + "\n".join(lines))[section]


def test_the_examples_in_its_comments_are_valid(tmp_path):
    sections = {name: uncommented(name) for name in ("prices", "routes", "fallbacks", "models")}
    file = tmp_path / "claudebatch.yaml"
    file.write_text(yaml.safe_dump({**sections, "limits": {"pools": uncommented("pools")}}))
    config = loaded(file)
    assert len(parse_rules(config.routes, "routes")) == 2
    assert Catalog.load(config.models).pool_of("claude-opus-6") == "opus-6"
    assert PriceBook.load(config.prices, at=datetime(2026, 11, 22, tzinfo=UTC)).knows_fast(
        "claude-opus-6"
    )
    assert config.limits.pools["opus-5.5"].requests_per_minute == 50


def test_the_latency_it_names_is_the_simulators_own():
    assert f"null: {SIMULATE_LATENCY}" in TEXT
