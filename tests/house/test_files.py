"""What holds for every file: its first words, and what it must not contain."""

from __future__ import annotations

import ast
import re
import stat

import pytest

from tests.house.files import PACKAGE, ROOT, imports, name, project_files, python_files, tree

_ABSOLUTE = re.compile(r"(?<![\w.:~<>{}$)/\]*\\%^|?-])/[A-Za-z_][\w.-]*/[\w./-]*")
_ON_PURPOSE = (
    # What every POSIX system has.
    *(
        "/proc/",
        "/dev/full",
        "/dev/null",
        "/dev/shm",
        "/dev/stdout",
        "/dev/fd/1",
        "/dev/zero",
        "/bin/sh",
        "/usr/bin/env",
    ),
    # Paths of an API.
    *("/v1/", "/gateway/", "/T0/secret"),
    # Invented ones, in examples and in tests of how paths are made.
    *("/home/ana", "/home/me", "/xdg/", "/s/", "/c/", "/data/out.jsonl", "/somewhere/"),
    *("/nonexistent/", "/etc/passwd", "/tmp/evil.so"),
)
_GENERATED = {"requirements.lock", "requirements-build.lock", "requirements-dev.lock", "LICENSE"}
_REGISTRY = re.compile(
    "|".join(
        ("pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "index" + r"-url[ =]\S*:")
    )
)
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}


def texts():
    for path in project_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.mark.parametrize("path", python_files("claudebatch", "benchmarks"), ids=name)
def test_a_module_begins_with_what_it_is_for(path):
    assert (ast.get_docstring(tree(path)) or "").strip()


def test_nothing_is_pickled_anywhere():
    users = {
        name(path)
        for path in python_files()
        for module in imports(path)
        if module.split(".")[0] in UNPICKLERS
    }
    assert users <= {name(path) for path in python_files("tests")}, (
        "only a test may make hostile pickles"
    )


def test_every_folder_of_the_package_is_a_package():
    folders = {path.parent for path in python_files("claudebatch")}
    assert [
        name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()
    ] == []


def absolute_paths(text: str) -> set[str]:
    """The absolute paths in *text* that are no agreed ones."""
    return {path for path in _ABSOLUTE.findall(text) if not path.startswith(_ON_PURPOSE)}


def test_no_file_knows_the_machine_it_was_written_on():
    found = {
        name(path): paths
        for path, text in texts()
        if path.name not in _GENERATED and (paths := absolute_paths(text))
    }
    found.pop("tests/house/test_files.py", None)  # the list above
    assert found == {}


@pytest.mark.parametrize("path", ["/Users" + "/ana/x", "/srv" + "/build/", "/home" + "/bob/.cache"])
@pytest.mark.parametrize("around", ["{}", '"{}"', "cd {} && make", "(see {})", "PATH={}:b"])
def test_an_absolute_path_is_seen_wherever_it_stands(path, around):
    assert absolute_paths(around.format(path)) in ({path}, {path + ""})


@pytest.mark.parametrize(
    "text", ["https://host/a/b", "tests/house/x", "~/a/b", "</b/a>", "$HOME/a/b"]
)
def test_addresses_and_relative_paths_are_none(text):
    assert absolute_paths(text) == set()


def test_no_file_names_a_package_registry():
    assert [name(path) for path, text in texts() if _REGISTRY.search(text)] == []


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-build.lock", "requirements-dev.lock"]
)
def test_a_lock_file_pins_every_package_with_hashes_and_nothing_else(lock):
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    form = re.compile(
        r"[a-z0-9][a-z0-9._-]*==[\w.+!-]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+"
    )
    assert [entry.splitlines()[0] for entry in entries if not form.fullmatch(entry)] == []


def pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+==[^ ]+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_tests_run_on_exactly_what_users_run_on():
    assert pinned("requirements.lock") | pinned("requirements-build.lock") <= pinned(
        "requirements-dev.lock"
    )


def test_every_declared_requirement_is_locked():
    project = (ROOT / "pyproject.toml").read_text()
    wanted = {
        found.lower()
        for found in re.findall(r'^  "([\w.-]+)(?:\[\w+\])?[<>=]', project, re.MULTILINE)
    }
    locked = {entry.partition("==")[0] for entry in pinned("requirements-dev.lock")}
    assert "anthropic" in wanted
    assert wanted <= locked


def test_scripts_can_be_run():
    for script in (ROOT / ".ci").iterdir():
        assert script.stat().st_mode & stat.S_IXUSR, script.name


def test_data_files_lie_where_the_package_takes_them_along():
    assert {path.suffix for path in project_files() if path.is_relative_to(PACKAGE)} <= {
        ".py",
        ".json",
        ".lua",
        ".typed",
    }
