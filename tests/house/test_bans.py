"""The ban-list bans: clocks, chance, waiting, the environment and unpickling are
refused outside their doors.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.files import ROOT, name, python_files, tree

BANNED = {
    "a clock": (
        "import time\ntime.time()",
        "from time import monotonic\nmonotonic()",
        "import time\ntime.perf_counter()",
    ),
    "a calendar": (
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import date\ndate.today()",
        "from datetime import UTC, datetime\ndatetime.now(UTC)",
    ),
    "chance": (
        "import random\nrandom.random()",
        "from random import choice\nchoice([1])",
        "import secrets\nsecrets.token_hex()",
        "import os\nos.urandom(8)",
        "import uuid\nuuid.uuid4()",
    ),
    "a wait": (
        "import asyncio\nasyncio.sleep(1)",
        "import time\ntime.sleep(1)",
        "from asyncio import sleep\nsleep(1)",
    ),
    "the environment": (
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "from os import environ\nenviron",
    ),
    "unpickling": (
        "import pickle",
        "from pickle import loads\nloads",
        "import marshal",
        "import shelve",
        "import yaml\nyaml.load('')",
        "import yaml\nyaml.unsafe_load('')",
    ),
    "a file of a name that others can guess": (
        "import tempfile\ntempfile.mktemp()",
        "from tempfile import mktemp\nmktemp",
    ),
    "loading code by name": ("import importlib\nimportlib.import_module('x')", "import runpy"),
    "a library of C": ("import ctypes",),
    "the network without its door": (
        "import urllib.request\nurllib.request.urlopen('https://x')",
        "from urllib.request import urlopen\nurlopen",
    ),
}
SNIPPETS = [(what, code) for what, codes in BANNED.items() for code in codes]


def ruff() -> str:
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.exists() else shutil.which("ruff")
    return found or pytest.fail("ruff is not installed: install requirements-dev.lock")


def codes_of(code: str, where: str) -> set[str]:
    """What ruff, as this project sets it up, says of *code* in the file *where*."""
    done = subprocess.run(
        [
            ruff(),
            "check",
            "--no-cache",
            "--output-format",
            "json",
            "--stdin-filename",
            str(ROOT / where),
            "-",
        ],
        input=f'"""A module."""\n\n{code}\n',
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return {found["code"] for found in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("what", "code"), SNIPPETS, ids=[code.replace("\n", "; ") for _, code in SNIPPETS]
)
def test_library_code_cannot_use(what, code):
    assert "TID251" in codes_of(code, "claudebatch/engine/new.py"), f"{what} is not banned"


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("eval('1')", "S307"),
        ("exec('x = 1')", "S102"),
        ("import os\nos.system('true')", "S605"),
        ("import subprocess\nsubprocess.run('true', shell=True, check=True)", "S602"),
        ("import os\nos.chmod('x', 0o777)", "S103"),
        ("import ssl\nssl._create_unverified_context()", "S323"),
    ],
)
def test_running_text_as_code_and_opening_what_is_closed_is_refused(code, rule):
    assert rule in codes_of(code, "claudebatch/engine/new.py")


def test_nothing_is_compiled_or_imported_by_name():
    """`compile` and `__import__` have no rule of ruff's."""
    named = {
        f"{name(path)}: {node.func.id}"
        for path in python_files("claudebatch")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("eval", "exec", "compile", "__import__", "globals", "input")
    }
    assert named == set()


def test_config_may_read_the_environment():
    assert "TID251" not in codes_of("import os\nos.environ['A']", "claudebatch/config/__init__.py")


def test_an_injected_generator_is_not_chance():
    code = "import random\nrng = random.Random(1)\nrng.random()"
    assert "TID251" not in codes_of(code, "claudebatch/engine/new.py")


def test_relative_imports_and_prints_are_refused_too():
    assert {"TID252", "T201"} <= codes_of(
        "from . import engine\nprint(engine)", "claudebatch/engine/new.py"
    )


LIFTED = {
    "claudebatch/__main__.py": "where time comes in",
    "claudebatch/cli/account_batches.py": "where time comes in",
    "claudebatch/cli/sender_process.py": "where time comes in",
    "claudebatch/cli/doctor/doctor_command.py": "where time comes in",
    "claudebatch/cli/wiring/shared_views.py": "where time comes in",
    "claudebatch/cli/dates.py": "where time comes in",
    "claudebatch/cli/models.py": "where time comes in",
    "claudebatch/cli/wiring/render_requests.py": "where time comes in",
    "claudebatch/cli/wiring/launch.py": "where time comes in",
    "claudebatch/cli/simulate.py": "where time comes in",
    "claudebatch/engine/run_place.py": "a name that must differ",
}


def test_a_ban_is_lifted_only_at_a_door_and_with_its_reason():
    for path in python_files("claudebatch"):
        for line in re.findall(r"^.*noqa: TID251.*$", path.read_text(), re.MULTILINE):
            assert LIFTED.get(name(path), "nowhere else") in line, f"{name(path)}: {line.strip()}"
