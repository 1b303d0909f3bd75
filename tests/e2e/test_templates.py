"""From a table to labelled rows: the prompts come from its columns."""

from __future__ import annotations

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
    assert "2 rows" in done.err and "edited" in done.err
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
