"""Each third-party package comes in through one door, so that it can be replaced in one
place.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict

import pytest

from tests.house.files import PACKAGE, ROOT, imports, python_files, room, tree

DOORS = {
    "aiohttp": {"clients"},
    "aiolimiter": {"layers"},
    "anthropic": {"clients"},
    "diskcache": {"layers"},
    "filelock": {"storage"},
    "genai_prices": {"models"},
    "httpx2": {"clients"},
    "jinja2": {"inputs"},
    "jsonschema_rs": {"layers"},
    "platformdirs": {"config"},
    "pyarrow": {"inputs", "outputs"},
    "python_calamine": {"inputs"},
    "zstandard": {"inputs"},
    "ray": {"clients"},
    "redis": {"storage"},
    "rich": {"ui"},
    "typer": {"cli"},
    "yaml": {"config"},
    # JSON is spoken in several rooms, each of which turns bytes into words of its own:
    # streamed events (clients), the configuration's types (config), input lines
    # (jsonl), the API's messages (messages), facts about models (models), result lines
    # (results), and the other side of the wire (simulator).
    "msgspec": {"clients", "config", "core", "models", "simulator"},
}
MAY_BE_CLOSED = {"aiohttp"}
"""Doors that need not be used: the SDK's transport may be built with or without its own
package's name.
"""


def found() -> dict[str, set[str]]:
    rooms: defaultdict[str, set[str]] = defaultdict(set)
    for path in python_files("claudebatch"):
        for module in imports(path):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top != PACKAGE.name:
                rooms[top].add(room(path))
    return dict(rooms)


def test_every_package_comes_in_through_its_own_door_only():
    rooms = found()
    assert {
        name: rooms[name] - DOORS.get(name, set())
        for name in rooms
        if rooms[name] - DOORS.get(name, set())
    } == {}


def test_no_door_stands_open_that_nobody_uses():
    rooms = found()
    unused = {
        name: doors - rooms.get(name, set())
        for name, doors in DOORS.items()
        if name not in MAY_BE_CLOSED
    }
    assert {name: doors for name, doors in unused.items() if doors} == {}


def test_every_direct_dependency_has_a_door_and_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {line.split(">")[0].split("[")[0] for line in project["dependencies"]}
    reasons = (ROOT / "docs/dependencies.md").read_text()
    assert {name.replace("-", "_").replace("pyyaml", "yaml") for name in declared} <= set(DOORS)
    assert [name for name in sorted(declared) if f"| {name}" not in reasons] == []


STORES = {
    "DiskCacheStore": "layers/response_cache",
    "RedisBudget": "layers/budget",
    "RedisCacheStore": "layers/response_cache",
    "RunBudget": "layers/budget",
    "SharedBudget": "layers/budget",
    "LocalPool": "layers/rate_limit",
    "RedisPool": "layers/rate_limit",
    "open_local_pool": "layers/rate_limit",
    "JournalLog": "layers/record",
}
"""Each concrete store, and the only room that may know it besides the factory."""
FACTORY = "setup/stores.py"


def namers(store: str) -> set[str]:
    """The files of the package in which *store* is named."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in python_files("claudebatch")
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.ImportFrom) and store in {alias.name for alias in node.names})
        or (isinstance(node, ast.Name) and node.id == store)
        or (isinstance(node, ast.Attribute) and node.attr == store)
    }


@pytest.mark.parametrize("store", STORES)
def test_no_room_but_its_own_and_the_factory_names_a_store(store):
    found = namers(store)
    assert found, "else this test looks for a name that is gone"
    strangers = {name for name in found if not name.startswith(STORES[store] + "/")}
    assert strangers <= {FACTORY}
