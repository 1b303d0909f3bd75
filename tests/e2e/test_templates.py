"""From a table to labelled rows: the prompts come from its columns."""

from __future__ import annotations

import json

TABLE = 'id,review,lang\na,"Great tea, {really}",en\nb,Schlecht,de\n'
RUN = ("run", "in.csv", "-o", "out.jsonl", "--ordered")


def asked(api) -> list[str]:
    return sorted(body["messages"][0]["content"] for body in api.bodies)


def test_prompts_are_made_of_columns_and_an_edit_asks_again(world, api):
    world.path("in.csv").write_text(TABLE)
    assert world.claudebatch(*RUN, "-t", "Classify: {review}", "-q").code == 0
    assert asked(api) == ["Classify: Great tea, {really}", "Classify: Schlecht"]
    assert [row["input"]["lang"] for row in world.results().values()] == ["en", "de"]
    done = world.claudebatch(*RUN, "-t", "Is it praise? {review} {{{lang}}}")
    assert done.code == 0, done.err
    assert api.requests == 4
    assert "Is it praise? Schlecht {de}" in asked(api)
    said = "the template was edited: 2 rows differ from what was answered; they are asked again"
    assert said in done.err
    again = world.claudebatch(*RUN, "-t", "Is it praise? {review} {{{lang}}}")
    assert (again.code, api.requests) == (0, 4)


def test_a_template_comes_from_a_file_or_the_configuration_with_constants(world, api):
    world.path("in.csv").write_text(TABLE)
    world.path("ask.txt").write_text("{greeting}: {review}\n")
    command = (*RUN, "-t", "@ask.txt", "--var", "greeting=Hello")
    assert world.claudebatch(*command, "-q").code == 0
    world.configure("template: 'Now {lang}'\n")
    assert world.claudebatch("run", "in.csv", "-o", "b.jsonl", "-q").code == 0
    assert asked(api) == ["Hello: Great tea, {really}", "Hello: Schlecht", "Now de", "Now en"]


def test_what_is_wrong_is_said_before_anything_is_sent(world, api):
    world.path("in.csv").write_text(TABLE)
    for template, said in [
        ("{revew}", 'in.csv:2-3: E397 no column "revew" for the template'),
        ("a { b", "error[E181]"),
        ("@none.txt", "-t @none.txt: no such file"),
    ]:
        done = world.claudebatch(*RUN, "-t", template)
        assert done.code == 2
        assert said in done.err
    assert world.claudebatch(*RUN, "-t", "{lang}", "--var", "x").code == 2
    assert api.requests == 0


def test_an_edited_row_is_not_the_templates_fault(world, api):
    world.path("in.csv").write_text(TABLE)
    assert world.claudebatch(*RUN, "-t", "Classify: {review}", "-q").code == 0
    world.path("in.csv").write_text(TABLE.replace("Schlecht", "Gut"))
    done = world.claudebatch(*RUN, "-t", "Classify: {review}")
    assert "1 row was edited" in done.err and "template" not in done.err
    assert api.requests == 3


def test_system_prompt_turns_and_examples_are_made_of_columns(world, api):
    world.path("in.csv").write_text(TABLE)
    world.path("ex.jsonl").write_text('{"input": "Fine", "output": "praise"}\n')
    world.path("sys.j2").write_text(
        "{% if lang == 'de' %}Auf Deutsch.{% else %}In English.{% endif %}"
    )
    command = ("run", "in.csv", "-o", "out.jsonl", "--examples", "ex.jsonl", "-s", "@sys.j2")
    done = world.claudebatch(*command, "-t", "Classify: {review}")
    assert done.code == 0, done.err
    systems = sorted(body["system"] for body in api.bodies)
    assert systems == ["Auf Deutsch.", "In English."]
    for body in api.bodies:
        turns = [(message["role"], message["content"]) for message in body["messages"]]
        assert turns[:2] == [("user", "Classify: Fine"), ("assistant", "praise")]
    # Only what is said of German rows changes, and only those are asked again.
    world.path("sys.j2").write_text("{% if lang == 'de' %}Deutsch!{% else %}In English.{% endif %}")
    done = world.claudebatch(*command, "-t", "Classify: {review}")
    assert "the template was edited: 1 row differs" in done.err
    assert api.requests == 3
    world.path("ex.jsonl").write_text('{"input": "Fine", "output": "Praise"}\n')
    assert world.claudebatch(*command, "-t", "Classify: {review}").code == 0
    assert api.requests == 5


def test_the_configuration_has_several_turns(world, api):
    world.path("in.csv").write_text(TABLE)
    world.configure(
        "system: 'You speak {lang}.'\n"
        "messages:\n"
        "  - {role: user, content: 'Read: {review}'}\n"
        "  - {role: assistant, content: 'Read.'}\n"
        "  - {role: user, content: 'Praise or {{complaint}}?'}\n"
    )
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    (german,) = [body for body in api.bodies if body["system"] == "You speak de."]
    assert [message["content"] for message in german["messages"]] == [
        "Read: Schlecht",
        "Read.",
        "Praise or {complaint}?",
    ]
    world.configure("template: 'x {review}'\n")
    assert "E190" in world.claudebatch(*RUN).err


def test_braces_of_a_system_prompt_stay_where_rows_have_their_own_prompts(world, api):
    world.write("in.jsonl", [{"prompt": "Hi"}])
    assert world.claudebatch(*RUN[:1], "in.jsonl", "-s", 'Answer as {"a": 1}').code == 0
    assert api.bodies[0]["system"] == 'Answer as {"a": 1}'


def test_the_requests_can_be_seen_before_they_are_sent(world, api):
    world.path("in.csv").write_text(TABLE + "".join(f"n{n},x {n},en\n" for n in range(5)))
    command = ("render", "in.csv", "-t", "Classify: {review}", "-m", "haiku", "-s", "In {lang}")
    shown = world.claudebatch(*command, "--json")
    assert shown.code == 0, shown.err
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "n0"]
    assert lines[1] == {
        "id": "b",
        "file": "in.csv",
        "line": 3,
        "rule": "--model",
        "request": {
            "model": "claude-haiku-5-5",
            "max_tokens": 8192,
            "system": "In de",
            "messages": [{"role": "user", "content": "Classify: Schlecht"}],
        },
    }
    # What is shown is what is sent.
    assert world.claudebatch("run", *command[1:], "-n", "3", "-o", "out.jsonl", "-q").code == 0
    asked_for = [line["request"] for line in lines]
    assert all(body in asked_for for body in api.bodies)
    assert len(api.bodies) == len(asked_for) == 3
    pretty = world.claudebatch(*command, "--id", "b").out
    assert json.loads(pretty) == lines[1]
    assert pretty.splitlines()[5:7] == ['  "request": {', '    "model": "claude-haiku-5-5",']
    bad = world.claudebatch("render", "in.csv", "-t", "{revew}")
    assert (bad.code, bad.out) == (2, "") and "in.csv:2-4" in bad.err
    assert world.claudebatch("render", "-", "-t", "{review}").code == 2
    assert len(world.claudebatch(*command, "--sample", "2", "--json").out.splitlines()) == 2
