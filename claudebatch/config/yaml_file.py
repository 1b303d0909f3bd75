"""A YAML file as plain data, with the line of every key. PyYAML's safe loader only."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from claudebatch.core.errors import ConfigError

# Aliases of aliases can make a file of a few lines as large as one likes.
_MOST_KEYS = 100_000
_MOST_BYTES = 10_000_000
_OPTION = "-c/--config"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The content of one file, and on which line each dotted key stands."""

    path: Path
    data: dict[str, Any]
    lines: dict[str, int]

    def where(self, key: str) -> str:
        """`file:line` of *key*, or of the nearest key above it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.path}:{self.lines[key]}" if key else str(self.path)


def read_yaml(path: Path, *, named_by: str = _OPTION) -> YamlFile:
    """The mapping in the file at *path*, which *named_by* names; raises `ConfigError`
    naming file and line.
    """
    data, lines = _parsed(path, _loader(path, named_by))
    # An empty file, or comments only.
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            "E126", f"{path}: the top level must be a mapping", fix="see config.example.yaml"
        )
    return _with_rules(YamlFile(path, data, lines))


def _loader(path: Path, named_by: str) -> yaml.SafeLoader:
    """What reads the text of the file."""
    try:
        text = _text(path, named_by)
        return yaml.SafeLoader(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            "E119", f"{path}: cannot read the configuration: {reason}", fix=f"check {named_by}"
        ) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(
            "E120",
            f"{path}:{line}: the control character {error.character!r} is not allowed in YAML",
            fix="remove it",
        ) from error


def _parsed(path: Path, loader: yaml.SafeLoader) -> tuple[Any, dict[str, int]]:
    """The content, and the line of each setting; *loader* is used up."""
    try:
        node = loader.get_single_node()
        lines = dict(islice(_lines(path, node), _MOST_KEYS + 1)) if node is not None else {}
        if len(lines) > _MOST_KEYS:
            raise ConfigError(
                "E121",
                f"{path}: more than {_MOST_KEYS:,} settings",
                fix="check what its aliases repeat",
            )
        return loader.construct_document(node) if node is not None else {}, lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError("E122", f"{path}:{line}: {_problem(error)}", fix=_fix(error)) from error
    except RecursionError as error:
        raise ConfigError(
            "E124", f"{path}: nested too deep", fix="no setting needs more than a few levels"
        ) from error
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML's own constructors stumble over values such as the date 2026-99-99.
        raise ConfigError(
            "E125", f"{path}: a value that YAML cannot read: {error}", fix="put it in quotes"
        ) from error
    finally:
        loader.dispose()


def _with_rules(file: YamlFile) -> YamlFile:
    """*file*, in which `rules` may stand for `routes`."""
    if "rules" not in file.data:
        return file
    if "routes" in file.data:
        raise ConfigError(
            "E156",
            f"{file.where('rules')}: rules and routes are the same setting",
            fix=f"keep one of them (routes: {file.where('routes')})",
        )
    data = {"routes" if key == "rules" else key: value for key, value in file.data.items()}
    lines = {re.sub(r"^rules\b", "routes", key): line for key, line in file.lines.items()}
    return YamlFile(file.path, data, lines)


def _problem(error: yaml.MarkedYAMLError) -> str:
    return error.problem.replace("'\\t'", "tab") if error.problem else "not valid YAML"


def _fix(error: yaml.MarkedYAMLError) -> str:
    return "use spaces, not tabs" if "\\t" in (error.problem or "") else "fix this line"


def _text(path: Path, named_by: str) -> str:
    # Maybe a pipe, or /dev/zero: never more than can be a configuration.
    with path.open("rb") if named_by == _OPTION else os.fdopen(_at_once(path), "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
        if not raw and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ENXIO, "nobody writes into this pipe")
    if len(raw) > _MOST_BYTES:
        raise ConfigError(
            "E127", f"{path}: more than {_MOST_BYTES:,} bytes", fix=f"check {named_by}"
        )
    return raw.decode("utf-8-sig")


def _at_once(path: Path) -> int:
    # A pipe that an option names is waited for; a variable may name one that somebody
    # has left behind.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _lines(path: Path, node: yaml.Node, prefix: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = f"{prefix}{key.value}" if isinstance(key, yaml.ScalarNode) else prefix + "?"
            line = key.start_mark.line + 1
            # YAML lets the last one win, without a word.
            if name in seen:
                raise ConfigError(
                    "E128",
                    f'{path}:{line}: "{name}" is set twice (before in line {seen[name]})',
                    fix="keep one of them",
                )
            seen[name] = line
            yield name, line
            yield from _lines(path, value, name + ".")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield f"{prefix}{index}", item.start_mark.line + 1
            yield from _lines(path, item, f"{prefix}{index}.")
