"""Files that are not JSON lines are refused before anything is made or sent, whatever
they are called and however they come in.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import resource
import shutil
from pathlib import Path

import pytest

from tests.e2e.world import prompts
from tests.inputs.file_samples import FILES, LINES

# Files that people brought; they lie beside the repository, where they lie at all.
FIELD = Path(__file__).parents[3] / "shared" / "field"


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_another_kind_is_sent(world, api, name):
    path = world.path(FILES[name][0])
    path.write_bytes(FILES[name][1])
    before = world.files()
    done = world.claudebatch("run", path.name, "-o", "out.jsonl")
    assert (done.code, api.requests) == (2, 0)
    assert f"\nerror[E304]: {path.name} is {name}" in done.err
    assert "  hint: " in done.err
    assert world.files() == before


def test_no_line_that_is_not_json_is_sent_and_its_command_is_shown(world, api):
    for number, (reason, data) in enumerate(LINES.items()):
        world.path("in.jsonl").write_bytes(data)
        done = world.claudebatch("run", "in.jsonl", "-o", f"out{number}.jsonl")
        assert (done.code, api.requests) == (2, 0)
        told, command = done.err.splitlines()[1:3]
        assert told.startswith("in.jsonl:")
        assert reason in told
        assert command.endswith(" < in.jsonl > in-2.jsonl")


def test_standard_input_is_called_stdin_with_the_line(world, api):
    lines = b'{"prompt": "a"}\n\n{"promt": "b"}\n{"prompt": "c"},\n'
    done = world.claudebatch("run", "-", stdin=lines)
    assert (done.code, api.requests) == (2, 0)
    assert "stdin:3: E338 no prompt" in done.err
    assert "stdin:4: E323 a comma follows the value" in done.err
    assert "\n    sed 's/,[[:space:]]*$//'\n" in done.err
    assert str(world.home) not in done.err
    done = world.claudebatch("run", "-", stdin=b"%PDF-1.4\n")
    assert "error[E304]: stdin is a PDF\n" in done.err
    twice = world.claudebatch("run", "-", stdin=b'{"id": 1, "prompt": "a"}\n' * 2)
    assert 'stdin:2: E347 duplicate id "1" (first used at stdin:1)' in twice.err
    assert api.requests == 0


def test_equal_problems_are_said_once_and_all_lines_counted(world, api):
    world.write("in.jsonl", [{"prompt": "a", "temperature": 0.5}] * 51)
    done = world.claudebatch("run", "in.jsonl")
    _, first, *others = done.err.splitlines()
    assert first.startswith('in.jsonl:1-51: E343 "temperature"')
    assert others[0] == "error[E319]: 51 lines cannot be sent; nothing was sent"
    assert api.requests == 0


def test_rows_that_are_lists_of_messages_are_sent(world, api):
    world.write("in.jsonl", [[{"role": "user", "content": row["prompt"]}] for row in prompts(2)])
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl")
    assert (done.code, api.requests) == (0, 2), done.err


# By the start of the file's name: what is said of it.
SAID = {
    "04": "Claude makes no embeddings",
    "08": "this is an MT-bench row",
    "14": "",
    "15": "this is one message",
    "18": "a Python dict",
    "19": "a comma follows the value",
    "22": "byte order mark",
    "23": "lines end in CR alone",
    "25": "several JSON values on one line",
    "26": 'did you mean "method"?',
    "40": "",
    "41": '"mcp_servers" belongs to a beta',
    "42": '"context_management" belongs to a beta',
    "43": '"output_format" is the beta\'s name',
    "49": "this is a LangChain conversation",
    "59": 'if "query" is the prompt',
    "76": '"promt" looks like "prompt"',
}


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
@pytest.mark.parametrize("number", SAID)
def test_a_file_that_somebody_brought_is_called_what_it_is(world, api, number):
    (path,) = FIELD.glob(f"{number}-*")
    shutil.copyfile(path, world.path(path.name))
    done = world.claudebatch("run", path.name, "-o", "out.jsonl")
    assert (done.code == 0) is (SAID[number] == ""), done.err
    assert SAID[number] in done.err
    assert done.code == 0 or api.requests == 0


# Those of other tools that are read as they are.
READ_AS = {
    "05": "alpaca",
    "09": "sharegpt",
    "11": "bedrock",
    "16": "alpaca",
    "48": "openai-chat",
    "63": "gemini",
}


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
@pytest.mark.parametrize("number", READ_AS)
def test_a_file_of_another_tool_runs_as_it_was_brought(world, api, number):
    (path,) = FIELD.glob(f"{number}-*")
    shutil.copyfile(path, world.path(path.name))
    done = world.claudebatch("run", path.name, "-o", "out.jsonl")
    assert done.code == 0, done.err
    assert f"read as {READ_AS[number]}: " in done.err
    assert api.requests == len(world.results()) > 0


@pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not here")
@pytest.mark.parametrize(("number", "rows"), [("17", 1), ("20", 2), ("21", 1)])
def test_a_file_of_another_format_that_somebody_brought_is_read(world, api, number, rows):
    (path,) = FIELD.glob(f"{number}-*")
    shutil.copyfile(path, world.path(path.name))
    done = world.claudebatch("run", path.name, "-o", "out.jsonl", "--ordered")
    assert done.code == 0, done.err
    assert len(world.results()) >= rows


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_compressed_table_is_read_resumed_and_unpacked_again_when_it_changes(world, api, suffix):
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    name, table = f"in.csv{suffix}", "id,prompt,lang\na,one,de\nb,two,fr\n"
    world.path(name).write_bytes(pack(table.encode()))
    run = ("run", name, "-o", "out.jsonl", "--ordered", "-q")
    assert world.claudebatch(*run).code == 0
    rows = world.results().values()
    assert [(row["line"], row["file"], row["input"]["lang"]) for row in rows] == [
        (2, name, "de"),
        (3, name, "fr"),
    ]
    world.path(name).write_bytes(pack((table + "c,three,it\n").encode()))
    assert world.claudebatch(*run).code == 0
    assert (api.requests, len(world.results())) == (3, 3)
    assert len(list(world.path("out.jsonl.claudebatch").glob("input-*"))) == 1
    told = world.claudebatch("estimate", name, "--json")
    assert json.loads(told.out)["rows"] == 3


def test_a_damaged_compressed_file_sends_nothing(world, api):
    world.path("in.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "one"}\n' * 99)[:-9])
    done = world.claudebatch("run", "in.jsonl.gz", "-o", "out.jsonl")
    assert done.code == 2
    assert "in.jsonl.gz is damaged" in done.err
    assert api.requests == 0


def test_a_bad_row_of_a_table_is_named_with_its_line(world, api):
    world.path("in.csv").write_text('id,prompt\na,"one\nmore"\nb\nc,two\n')
    done = world.claudebatch("run", "in.csv", "-o", "out.jsonl")
    assert done.code == 2
    assert "in.csv:4: " in done.err
    assert "the row has 1 cell, the heading 2" in done.err
    assert api.requests == 0


def test_cells_spell_the_values_of_fields(world, api):
    world.path("in.csv").write_text(
        'prompt,max_tokens,tags,model,stars\nHi,50,"[""a""]",haiku,5\nHo,,,,\n'
    )
    assert world.claudebatch("run", "in.csv", "-o", "out.jsonl", "--ordered").code == 0
    bodies = {body["messages"][0]["content"]: body for body in api.bodies}
    assert (bodies["Hi"]["max_tokens"], bodies["Hi"]["model"]) == (50, "claude-haiku-5-5")
    assert bodies["Ho"]["model"] != "claude-haiku-5-5"
    assert [row["input"]["stars"] for row in world.results().values()] == ["5", ""]


def test_a_system_prompt_comes_from_a_file_and_a_name_is_never_sent_as_one(world, api):
    world.write("in.jsonl", prompts(1))
    world.path("sys.txt").write_text("Answer in French.\n")
    assert world.claudebatch("run", "in.jsonl", "-o", "a.jsonl", "-s", "@missing.txt").code == 2
    assert api.requests == 0
    done = world.claudebatch(
        *("run", "in.jsonl", "-o", "a.jsonl", "-s", "@sys.txt"), "--log", "log", "--log-prompts"
    )
    assert done.code == 0, done.err
    assert '"system":"Answer in French."' in world.path("log").read_text()


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_input_without_rows_is_told_each_time_and_ends_well(world, api, text):
    world.path("in.jsonl").write_text(text)
    for command in (("run", "-o", "out.jsonl"), ("run", "-o", "out.jsonl"), ("estimate",)):
        done = world.claudebatch(*command, "in.jsonl")
        assert done.code == 0
        assert "in.jsonl has no rows: there is nothing to send" in done.err
    bad = b"no JSON\n"
    world.path("in.jsonl").write_bytes(bad)
    done = world.claudebatch("run", "in.jsonl", "-o", "b.jsonl", "--on-bad-row", "skip")
    assert "has no rows" not in done.err
    piped = world.claudebatch("run", "-", stdin=text.encode())
    assert "stdin has no rows" in piped.err
    assert api.requests == 0


def test_a_file_that_finds_no_room_to_be_unpacked_sends_nothing(world, api):
    rows = b"".join(b'{"prompt": "%d"}\n' % n for n in range(400_000))
    world.path("in.jsonl.gz").write_bytes(gzip.compress(rows, 1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    try:
        done = world.claudebatch("run", "in.jsonl.gz", "-o", "out.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (done.code, api.requests) == (6, 0), done.err
    assert "error[E699]: in.jsonl.gz cannot be unpacked: the file is larger" in done.err
    assert not list(world.path("out.jsonl.claudebatch").glob("input-*")), "no half of a copy"
