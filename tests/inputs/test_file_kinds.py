"""A file that is not JSON lines is called by its kind, and the command that is said
makes JSON lines of it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import STDIN, read_lines
from claudebatch.inputs import BadLines, Defaults, parse_line
from claudebatch.inputs.file_kinds import FILE_KINDS
from claudebatch.inputs.formats import open_format
from claudebatch.inputs.line_kinds import LINE_KINDS
from claudebatch.inputs.recipes import PLACEHOLDER, converted
from tests.inputs.file_samples import FILES, LINES, LINES_WITHOUT_RECIPE, ROWS

DEFAULTS = Defaults(max_tokens=100)
# Their samples are the beginnings of such files only.
NOT_CONVERTED_HERE = {
    *("a Word document", "a PDF", "an archive (zip)", "an archive (tar)", "an image"),
}


def refusal(path, **how) -> ClaudebatchError:
    with pytest.raises(ClaudebatchError) as caught:
        open_format(path, **{"name": str(path), **how})
    return caught.value


def run(command: str, folder) -> None:
    """Do what was said, as a user would: in a shell."""
    tools = [word for word in command.replace("|", " | ").split() if shutil.which(word)]
    needed = {part.split()[0] for part in command.split(" | ")}
    if needed - set(tools):
        pytest.skip(f"{needed - set(tools)} is not at hand")
    subprocess.run(command, shell=True, cwd=folder, check=True, timeout=60)


def prompts(path) -> list:
    open_format(path, name=str(path))
    return [
        parse_line(line.data, DEFAULTS, file=path.name, line=line.number).params["messages"]
        for line in read_lines(path)
    ]


def bad_lines(path) -> BadLines:
    open_format(path, name=str(path))
    found = BadLines()
    for line in read_lines(path):
        try:
            parse_line(line.data, DEFAULTS, file=str(path), line=line.number)
        except BadRow as bad:
            found.add(str(path), line.number, bad.problems)
    return found


def test_each_kind_has_a_sample_and_the_reverse():
    assert [kind.name for kind in FILE_KINDS] == list(FILES)
    assert len(LINE_KINDS) == len(LINES) + len(LINES_WITHOUT_RECIPE)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_named_with_its_command(tmp_path, name):
    path = tmp_path / "with a space" / FILES[name][0]
    path.parent.mkdir()
    path.write_bytes(FILES[name][1])
    found = refusal(path)
    assert found.message.startswith(f"{path} is {name}")
    fix, command = (found.fix or "").split("\n")
    assert fix.endswith(":")
    assert f"'{path}'" in command
    if PLACEHOLDER in command:
        assert f"in place of {PLACEHOLDER}" in fix
    piped = refusal(path, name=STDIN)
    assert piped.message.startswith(f"stdin is {name}")
    assert str(tmp_path) not in (piped.fix or "")


@pytest.mark.parametrize("name", [name for name in FILES if name not in NOT_CONVERTED_HERE])
def test_the_command_makes_json_lines_of_the_file(tmp_path, name):
    path = tmp_path / "with a space" / FILES[name][0]
    path.parent.mkdir()
    path.write_bytes(FILES[name][1])
    command = (refusal(path).fix or "").split("\n")[1].replace(PLACEHOLDER, "words")
    made = tmp_path / "with a space" / converted(str(path)).split("/")[-1]
    run(command, tmp_path)
    assert path.read_bytes() == FILES[name][1]
    assert prompts(made)[0][0]["content"] == "one"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_each_order_of_the_bytes_of_utf_16_is_converted(tmp_path, encoding):
    path = tmp_path / "in.jsonl"
    path.write_bytes(ROWS.decode().encode(encoding))
    run((refusal(path).fix or "").split("\n")[1], tmp_path)
    assert len(prompts(tmp_path / "in-2.jsonl")) == 2


@pytest.mark.parametrize("name", sorted(NOT_CONVERTED_HERE))
def test_the_other_commands_are_whole_commands(tmp_path, name):
    path = tmp_path / FILES[name][0]
    path.write_bytes(FILES[name][1])
    command = (refusal(path).fix or "").split("\n")[1]
    code = command.split("'")[1] if command.startswith("python3") else "0"
    compile(code, name, "exec")
    assert str(path) in command
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True, timeout=60)


@pytest.mark.parametrize("reason", LINES)
def test_a_line_that_is_not_json_is_named_and_its_command_mends_the_file(tmp_path, reason):
    path = tmp_path / "in.jsonl"
    path.write_bytes(LINES[reason])
    (found,) = bad_lines(path)
    assert reason in found.problem.reason
    assert found.command
    run(found.command, tmp_path)
    assert prompts(tmp_path / "in-2.jsonl")


@pytest.mark.parametrize("reason", LINES_WITHOUT_RECIPE)
def test_a_line_without_a_recipe_is_named_with_its_fix(reason):
    with pytest.raises(BadRow) as caught:
        parse_line(LINES_WITHOUT_RECIPE[reason], DEFAULTS, file="f", line=1)
    (problem,) = caught.value.problems
    assert reason in problem.reason
    assert problem.fix
    assert problem.recipe is None


# One thing differs from the files above.
ROWS_AFTER_ALL = {
    "a prompt with a comma": b"Tell me, please\nAnd, again\n",
    "lists of messages": b'[{"role": "user", "content": "one"}]\n' * 2,
    "one list of messages": b'[{"role": "user", "content": "one"}]',
    "a long list of messages": b'[{"role": "user", "content": "' + b"x" * 100_000 + b'"}]\n',
    "a torn row": b'{"prompt": "on\n' + ROWS,
    "JSON strings": b'"a,b"\n"c,d"\n',
    "nothing": b"",
    "blank lines": b"\n\n \n",
    "one long row": b'{"prompt": "' + b"y" * 100_000 + b'"}\n' + ROWS,
    "rows that end in CR LF": ROWS.replace(b"\n", b"\r\n"),
    "a NUL first": b"\x00\x00\x00" + ROWS,
}


@pytest.mark.parametrize("name", ROWS_AFTER_ALL)
def test_json_lines_and_plain_text_are_left_to_the_reader_of_lines(tmp_path, name):
    path = tmp_path / "in.jsonl"
    path.write_bytes(ROWS_AFTER_ALL[name])
    open_format(path, name=str(path))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (b"name;city\nAnn;Oslo\n", "name, city"),
        (b'"id","question asked"\n1,"x"\n', "id, question asked"),
        (b'product,review\n1,"two\nlines"\n', "product, review"),
    ],
)
def test_a_table_is_known_by_its_shape_whatever_it_is_called(tmp_path, table, columns):
    path = tmp_path / "in.txt"
    path.write_bytes(table)
    found = open_format(path, name=str(path)).name
    assert found.startswith("CSV") and found.endswith(f"(columns {columns})")


def test_plain_text_may_look_like_anything_but_not_be_binary(tmp_path):
    for kind in FILE_KINDS:
        path = tmp_path / FILES[kind.name][0]
        path.write_bytes(FILES[kind.name][1])
        if kind.text:
            open_format(path, name=str(path), text=True)
        else:
            assert kind.name in refusal(path, text=True).message


def test_the_command_for_an_image_makes_a_request_of_it(tmp_path):
    path = tmp_path / "in.png"
    path.write_bytes(FILES["an image"][1])
    run((refusal(path).fix or "").split("\n")[1], tmp_path)
    ((message,),) = prompts(tmp_path / "in.jsonl")
    image, question = message["content"]
    assert base64.b64decode(image["source"]["data"]) == path.read_bytes()
    assert (image["source"]["media_type"], question["text"]) == ("image/png", "QUESTION")


def test_a_command_overwrites_no_file(tmp_path):
    path = tmp_path / "in.json"
    path.write_bytes(FILES["text whose lines end in CR alone"][1])
    (tmp_path / "in.jsonl").touch()
    (tmp_path / "in-2.jsonl").touch()
    assert f"> {tmp_path}/in-3.jsonl" in (refusal(path).fix or "")


def test_what_is_no_regular_file_is_refused_with_a_fix(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fixes = {pipe: "use -", tmp_path: "name the files", tmp_path / "no": "check the name"}
    # So that a reader of the pipe fails this test and does not hang it.
    feed = os.open(pipe, os.O_RDWR)
    os.write(feed, b"1\n" * 4096)
    for path, fix in fixes.items():
        assert fix in (refusal(path).fix or "")
    os.close(feed)


def test_the_reference_names_every_kind():
    page = (Path(__file__).parents[2] / "docs" / "input-format.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    for name in FILES:
        kind, _, detail = (
            name.removesuffix(", not JSON lines").removesuffix(", not UTF-8").partition(" (")
        )
        assert kind.removeprefix("one ") in words, name
        assert detail.rstrip(")") in words, name
