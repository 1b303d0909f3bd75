"""A plugin of pytest that changes one number before anything of the program is loaded:
`MUTANT='module:NAME=value' pytest -p tests.mutants.patch ...`.

The module is run from a changed source, so that what is reckoned from the number
changes with it. Nothing in the program knows of this.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from pathlib import Path


class _Replace(ast.NodeTransformer):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value
        self.times = 0

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if [getattr(target, "id", None) for target in node.targets] == [self._name]:
            node.value = ast.parse(self._value, mode="eval").body
            self.times += 1
        return node


def change(module: str, name: str, value: str) -> None:
    """Load *module* with *name* as *value*."""
    users = [loaded for loaded in sys.modules if loaded.startswith("claudebatch.layers")]
    assert not users, f"too late: {users} are loaded"
    loaded = importlib.import_module(module)
    path = Path(str(loaded.__file__))
    replace = _Replace(name, value)
    tree = ast.fix_missing_locations(replace.visit(ast.parse(path.read_text())))
    assert replace.times == 1, f"{module} has no {name}"
    exec(compile(tree, str(path), "exec"), loaded.__dict__)


if mutant := os.environ.get("MUTANT"):
    _module, _, _change = mutant.partition(":")
    change(_module, *_change.split("="))
