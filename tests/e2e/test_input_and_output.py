"""Where prompts come from and where results go: files, standard input, standard output,
order, bad rows.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def lines(count):
    return "".join(json.dumps(row) + "\n" for row in prompts(count)).encode()


def test_results_on_standard_output_are_json_and_nothing_else(world, api):
    world.write("in.jsonl", prompts(20))
    done = world.claudebatch("run", "in.jsonl", "-o", "-")
    assert done.code == 0
    assert sorted(line["id"] for line in done.lines) == sorted(f"row-{n}" for n in range(20))
    assert "20 ok" in done.err


def test_results_on_standard_output_are_written_again_without_a_request(world, api):
    world.write("in.jsonl", prompts(3))
    first = world.claudebatch("run", "in.jsonl", "-o", "-")
    again = world.claudebatch("run", "in.jsonl", "-o", "-")
    assert (again.code, again.out, api.requests) == (0, first.out, 3)


def test_ordered_results_on_standard_output_are_in_the_inputs_order(world, serve):
    serve(latency="uniform:0.001,0.05")
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch("run", "in.jsonl", "-o", "-", "--ordered")
    assert [line["id"] for line in done.lines] == [f"row-{n}" for n in range(30)]


def test_ordered_results_in_a_file_are_in_the_inputs_order_also_after_an_unordered_session(
    world, serve
):
    api = serve(latency="uniform:0.001,0.5")
    world.write("in.jsonl", prompts(30))
    assert world.claudebatch(*RUN, "-n", "20").code == 0
    assert list(world.results()) != [f"row-{n}" for n in range(20)], (
        "they came as they were finished"
    )
    assert world.claudebatch(*RUN, "--ordered").code == 0
    assert list(world.results()) == [f"row-{n}" for n in range(30)]
    before = world.path("out.jsonl").read_bytes()
    assert world.claudebatch(*RUN, "--ordered").code == 0
    assert world.claudebatch(*RUN).code == 0
    assert (world.path("out.jsonl").read_bytes(), api.requests) == (before, 30)


def test_an_ordered_run_can_go_on_unordered_and_the_other_way_round(world, api):
    world.write("in.jsonl", prompts(8))
    for count, more in (("2", ["--ordered"]), ("4", []), ("6", ["--ordered"]), ("8", [])):
        assert world.claudebatch(*RUN, "-n", count, *more).code == 0
        assert len(world.results()) == int(count)
    assert api.requests == 8


def test_standard_input_without_o_answers_on_standard_output(world, api):
    done = world.claudebatch("run", "-", stdin=b'{"prompt": "hi"}\n')
    assert done.code == 0
    assert [line["status"] for line in done.lines] == ["succeeded"]
    again = world.claudebatch("run", "-", stdin=b'{"prompt": "hi"}\n')
    assert (again.out, api.requests) == (done.out, 1), (
        "the same prompts piped in again are the same run"
    )
    other = world.claudebatch("run", "-", stdin=b'{"prompt": "ho"}\n')
    assert len(other.lines) == 1
    assert api.requests == 2


def test_standard_input_with_o_is_kept_so_that_the_run_can_go_on(world, api):
    first = world.claudebatch("run", "-", "-o", "out.jsonl", "-n", "2", stdin=lines(5))
    assert (first.code, first.out) == (0, "")
    spooled = world.path("out.jsonl.claudebatch") / "input.jsonl"
    assert spooled.read_bytes() == lines(5)
    assert world.claudebatch("run", "-", "-o", "out.jsonl", stdin=lines(5)).code == 0
    assert api.requests == 5
    assert len(world.results()) == 5
    assert world.claudebatch("run", "-", "-o", "out.jsonl", terminal=True).code == 0
    assert api.requests == 5, "at a terminal there is nothing to read: the kept prompts go on"
    leftover = [path for path in world.files() if path.name.startswith("stdin-")]
    assert leftover == []


def test_standard_input_that_is_a_terminal_is_not_waited_for(world, api):
    for more in ((), ("-o", "out.jsonl")):
        done = world.claudebatch("run", "-", *more, terminal=True)
        assert (done.code, api.requests) == (2, 0)
        assert "standard input is a terminal and there is nothing to resume" in done.err


def test_several_inputs_are_one_run(world, api):
    world.write("a.jsonl", [{"id": "a", "prompt": "1"}, "plain"])
    world.write("b.jsonl", [{"id": "b", "prompt": "2"}, "plain"])
    done = world.claudebatch(
        "run", "a.jsonl", "b.jsonl", "-", "-o", "out.jsonl", stdin=b'{"id": "c", "prompt": "3"}'
    )
    assert done.code == 0
    results = world.results()
    assert {"a", "b", "c"} < set(results)
    assert len(results) == 5
    (first, second) = sorted(set(results) - {"a", "b", "c"})
    assert second == first + "-2", "equal lines without an id are told apart"
    assert api.requests == 4


def test_an_id_that_two_files_use_is_refused_with_both_places(world, api):
    world.write("a.jsonl", [{"id": 1, "prompt": "1"}])
    world.write("b.jsonl", ["x", {"id": "1", "prompt": "2"}])
    done = world.claudebatch("run", "a.jsonl", "b.jsonl", "-o", "out.jsonl")
    assert (done.code, api.requests) == (2, 0)
    assert 'b.jsonl:2: E347 duplicate id "1" (first used at a.jsonl:1): ' in done.err


def test_text_lines_are_prompts_as_they_stand(world, api):
    world.path("in.txt").write_text('What is "this"?\n\n{"prompt": 1}\n')
    assert world.claudebatch("run", "in.txt", "-o", "out.jsonl", "--text").code == 0
    assert sorted(api.asked()) == ['What is "this"?', '{"prompt": 1}']


BAD = [
    b'{"prompt": "good", "id": "good"}',
    b'{"prompt": "x", "temperature": 0.5}',
    b'{"prompt": "x", "max_tokenz": 5}',
    b"{broken",
    b'{"id": "nothing"}',
    b'{"prompt": "x", "max_tokens": "many"}',
    b'{"prompt": "x", "model": "claude-opus-5-5", "thinking": {"type": "disabled"}}',
    b'{"prompt": "x", "max_tokens": -1, "tools": 5}',
    b'{"id": "good", "prompt": "twin"}',
    b"\xff\xfe",
    b'{"prompt": "y", "id": "fine"}',
]


def test_bad_rows_are_all_reported_with_place_reason_and_fix_and_nothing_is_sent(world, api):
    world.path("in.jsonl").write_bytes(b"\n".join(BAD))
    done = world.claudebatch(*RUN)
    assert (done.code, done.out, api.requests) == (2, "", 0)
    told = [line.split(": ") for line in done.err.splitlines() if line.startswith("in.jsonl:")]
    assert [place.partition(":")[2] for place, *_ in told] == [
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "8",
        "10",
        "9",
    ]
    assert all(reason and fix for _, reason, *_, fix in told)
    assert "9 lines cannot be sent; nothing was sent" in done.err
    assert "--on-bad-row skip" in done.err
    assert not world.path("out.jsonl").exists()


def test_lines_that_are_left_out_are_named_in_every_session_and_the_rest_is_done(world, api):
    world.path("in.jsonl").write_bytes(b"\n".join(BAD))
    skip = ("--on-bad-row", "skip", "--log", "run.log")
    for number in (1, 2):
        done = world.claudebatch(*RUN, *skip)
        assert done.code == 1
        said = re.findall(r"in\.jsonl:(\d+) is left out: (?=\S+.*: \S)", done.err)
        assert said == ["2", "3", "4", "5", "6", "7", "8", "10", "9"]
        assert "9 lines are left out (--on-bad-row skip)" in done.err
        assert "; 9 lines left out" in done.err
        assert "next      jq -r .text out.jsonl" in done.err
        assert sorted(world.results()) == ["fine", "good"]
        assert sorted(api.asked()) == ["good", "y"]
        log = [json.loads(line) for line in world.path("run.log").read_text().splitlines()]
        assert [(e["file"], e["line"]) for e in log if e["event"] == "line_left_out"] == [
            ("in.jsonl", int(line)) for line in said
        ] * number
        assert log[-1]["lines_left_out"] == 9


def test_the_screen_names_the_first_ten_lines_that_are_left_out_and_the_events_all(world, api):
    world.path("in.jsonl").write_bytes(b'"fine"\n' + b"{broken\n" * 30)
    skip = ("--on-bad-row", "skip")
    assert world.claudebatch(*RUN, *skip).err.count(" is left out: ") == 10
    assert world.claudebatch("estimate", "in.jsonl", *skip).err.count(" is left out: ") == 10
    done = world.claudebatch(*RUN, *skip, "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    named = [event for event in events if event["event"] == "line_left_out"]
    assert [event["line"] for event in named] == list(range(2, 32))
    assert all(event["reason"] and event["fix"] for event in named)
    assert (done.code, events[-1]["exit_code"], events[-1]["lines_left_out"]) == (1, 1, 30)
    assert "30 lines left out" in world.claudebatch(*RUN, *skip, "-q").err
    world.path("in.jsonl").write_bytes(b'"fine"\n')
    assert world.claudebatch(*RUN, *skip).code == 0


@pytest.mark.parametrize("command", [("run", "--simulate"), ("run",), ("estimate",)], ids=str)
def test_a_results_file_in_a_folder_that_does_not_exist_is_a_mistake(world, api, command):
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(command[0], "in.jsonl", "-o", "no/such/out.jsonl", *command[1:])
    assert (done.code, api.requests) == (2, 0)
    assert "the folder of no/such/out.jsonl does not exist" in done.err
    assert "mkdir -p no/such" in done.err
    assert not world.path("no").exists()
    world.path("no/such").mkdir(parents=True)
    assert world.claudebatch(command[0], "in.jsonl", "-o", "no/such/out.jsonl").code == 0


def test_an_error_before_the_run_is_an_event_as_well(world, api):
    def last(*arguments):
        done = world.claudebatch("run", *arguments, "--json")
        events = [line for line in (done.out or done.err).splitlines() if line[0] == "{"]
        return done, json.loads(events[-1])

    done, event = last("missing.jsonl")
    assert (done.code, event["event"], event["exit_code"]) == (2, "error", 2)
    assert event["message"] == "missing.jsonl does not exist"
    assert (event["v"], event["problems"]) == (1, [])
    assert event["fix"]
    assert event["id"] in done.err
    world.path("in.jsonl").write_bytes(b"\n".join(BAD))
    done, event = last("in.jsonl", "-o", "out.jsonl")
    assert len(event["problems"]) >= 9
    assert event["problems"][0]["lines"] == "2"
    # Where results are to go to standard output, events are on the other stream.
    done, event = last("missing.jsonl", "-o", "-")
    assert done.out == ""
    assert event["event"] == "error"
    assert world.claudebatch("run", "missing.jsonl").out == ""
    # A dry run writes one report, or nothing.
    assert world.claudebatch("run", "missing.jsonl", "--dry-run", "--json").out == ""


@pytest.mark.parametrize(
    ("words", "id", "says"),
    [
        (("--budgte", "5"), "E002", "No such option: --budgte"),
        (("--max-tokens", "many"), "E0", "'many'"),
        (("--log-prompts",), "E061", "--log-prompts needs a log"),
        (("in.jsonl", "extra", "--no-such"), "E002", "--no-such"),
    ],
)
def test_an_error_of_the_option_parser_is_an_event(world, api, words, id, says):
    done = world.claudebatch("run", "in.jsonl", *words, "--json")
    (event,) = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, event["event"], event["exit_code"], event["v"]) == (2, "error", 2, 1)
    assert event["id"].startswith(id) and event["id"] in done.err
    assert says in event["message"] and "\n" not in event["message"]
    # Standard output is the results' then.
    for output in (("-o", "-"), ("-o-",), ("--output=-",)):
        done = world.claudebatch("run", "in.jsonl", *words, "--json", *output)
        assert done.out == ""
        assert json.loads(done.err.splitlines()[-1])["event"] == "error"
    assert world.claudebatch("run", "in.jsonl", *words).out == ""
    assert world.claudebatch("spend", *words, "--json").out == ""


def test_a_variable_that_cannot_be_used_is_an_event_too(world, api):
    world.environment["ANTHROPIC_BASE_URL"] = "no address"
    done = world.claudebatch("run", "in.jsonl", "--json")
    (event,) = [json.loads(line) for line in done.out.splitlines()]
    assert (event["event"], event["exit_code"]) == ("error", done.code)
    assert "ANTHROPIC_BASE_URL" in event["message"]


def test_an_input_that_is_mended_runs(world, api):
    world.path("in.jsonl").write_bytes(b'"one"\n{broken\n')
    assert world.claudebatch(*RUN).code == 2
    world.path("in.jsonl").write_bytes(b'"one"\n"two"\n')
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 2


@pytest.mark.parametrize("name", ["sonnet-5-5", "Sonnet-5.5", "claude-sonnet-5-5"])
def test_limits_for_a_pool_that_does_not_exist_are_refused_and_not_ignored(world, api, name):
    world.path("claudebatch.yaml").write_text(
        f"limits: {{pools: {{{name}: {{requests_per_minute: 5}}}}}}\n"
    )
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (2, 0)
    assert f"limits.pools.{name}: unknown pool" in done.err
    assert 'did you mean "sonnet-5.5"?' in done.err


def test_an_empty_input_is_no_error(world, api):
    for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
        world.path("in.jsonl").write_bytes(content)
        done = world.claudebatch(*RUN)
        assert done.code == 0
        assert "rows      none in the input" in done.err
    assert api.requests == 0


@pytest.mark.parametrize("more", [(), ("--fresh",), ("--dry-run",)], ids=str)
def test_results_are_only_written_to_files(world, api, more):
    world.write("in.jsonl", prompts(1))
    world.path("folder").mkdir()
    os.mkfifo(world.path("fifo"))
    before = world.files()
    for output, reason in (
        (".", "folder"),
        ("..", "folder"),
        ("/", "folder"),
        ("", "folder"),
        ("folder", "folder"),
        ("fifo", "regular"),
    ):
        done = world.claudebatch("run", "in.jsonl", "-o", output, *more)
        assert (done.code, api.requests) == (2, 0)
        assert reason in done.err
        assert "-o" in done.err
    assert world.files() == before
