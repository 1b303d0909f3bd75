"""Requests made of rows: system prompt, turns and examples, in both languages of
templates.
"""

from __future__ import annotations

import sys

import pytest

from claudebatch.core.errors import BadRow, ConfigError
from claudebatch.inputs import Defaults, RowTemplate, parse_line
from claudebatch.inputs.examples import read_examples
from claudebatch.inputs.jinja_template import JinjaTemplate
from claudebatch.inputs.row_template import TurnTemplate
from claudebatch.inputs.template import Template

ROW = b'{"id": "a", "review": "Great {tea}", "lang": "de", "stars": 5, "none": null}'


def parsed(template: RowTemplate, data: bytes = ROW, **how):
    return parse_line(data, Defaults(max_tokens=9, template=template, **how), file="f", line=1)


def jinja(source: str, **constants: str) -> JinjaTemplate:
    return JinjaTemplate.parsed(source, constants)


def test_all_parts_are_made_of_one_row():
    template = RowTemplate(
        turns=(
            TurnTemplate("user", Template.parsed("Do you speak {lang}?")),
            TurnTemplate("assistant", Template.parsed("Yes.")),
            TurnTemplate("user", Template.parsed("Rate: {review}")),
        ),
        system=Template.parsed("You judge {{reviews}} in {lang}."),
        examples=({"role": "user", "content": "Rate: x"}, {"role": "assistant", "content": "bad"}),
    )
    prompt = parsed(template)
    assert prompt.params == {
        "max_tokens": 9,
        "system": "You judge {reviews} in de.",
        "messages": [
            {"role": "user", "content": "Rate: x"},
            {"role": "assistant", "content": "bad"},
            {"role": "user", "content": "Do you speak de?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Rate: Great {tea}"},
        ],
    }
    assert prompt.id == "a"


def test_a_system_turn_is_the_system_prompt():
    turns = (
        TurnTemplate("system", Template.parsed("In {lang}")),
        TurnTemplate("user", Template.parsed("Hi")),
    )
    assert parsed(RowTemplate(turns), system="Other").params["system"] == "In de"


@pytest.mark.parametrize(
    "change",
    [
        {"turns": (TurnTemplate("user", Template.parsed("B {review}")),)},
        {"system": Template.parsed("In {lang}, please")},
        {"examples": ({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"})},
    ],
)
def test_every_part_is_part_of_a_rows_digest(change):
    whole = {
        "turns": (TurnTemplate("user", Template.parsed("A {review}")),),
        "system": Template.parsed("In {lang}"),
    }
    one, other = RowTemplate(**whole), RowTemplate(**{**whole, **change})
    assert parsed(one).digest != parsed(other).digest
    assert one.identity != other.identity
    assert one.identity == RowTemplate(**whole).identity


def test_a_row_with_a_prompt_of_its_own_gets_what_it_lacks():
    template = RowTemplate(
        system=jinja("In {{ lang }}"),
        examples=({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}),
    )
    made = parsed(template, b'{"prompt": "Hi", "lang": "de"}').params
    assert (made["system"], len(made["messages"])) == ("In de", 3)
    own = parsed(template, b'{"prompt": "Hi", "lang": "de", "system": "Own"}').params
    assert own["system"] == "Own"


def test_what_a_conversation_breaks_is_told_as_of_any_line():
    turns = (
        TurnTemplate("user", Template.parsed("{none}")),
        TurnTemplate("assistant", Template.parsed("{lang}")),
    )
    with pytest.raises(BadRow, match="messages"):
        parsed(RowTemplate(turns))


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("{{ review }}!", "Great {tea}!"),
        ("{% if stars > 3 %}good{% else %}bad{% endif %}", "good"),
        ("{{ review | upper }} {{ stars + 1 }}", "GREAT {TEA} 6"),
        ("a{{ none }}b", "ab"),
        ("{% for word in review.split() %}[{{ word }}]{% endfor %}", "[Great][{tea}]"),
        ("{{ '<' }}{{ greeting }}", "<Hello"),
        ("{{ missing is defined }}", "False"),
    ],
)
def test_jinja_says_more(source, filled):
    template = RowTemplate((TurnTemplate("user", jinja(source, greeting="Hello")),))
    assert parsed(template).params["messages"] == [{"role": "user", "content": filled}]


def test_a_value_is_never_read_as_a_template():
    row = b'{"review": "{{ 7 * 7 }} {% raw %} {review}"}'
    for made in (jinja("{{ review }}"), Template.parsed("{review}")):
        content = parsed(RowTemplate((TurnTemplate("user", made),)), row).params["messages"][0][
            "content"
        ]
        assert content == "{{ 7 * 7 }} {% raw %} {review}"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a\n{{ revew }}", r"'revew' is undefined in line 2 of the template"),
        ("{{ lang.missing }}", "has no attribute 'missing' in line 1"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("{{ stars / 0 }}", "division by zero in line 1"),
        ("{{ [].append(1) }}", "unsafe|append"),
        ("{% include 'x' %}", "loader"),
    ],
)
def test_what_jinja_cannot_make_is_a_bad_row_with_its_columns(source, said):
    with pytest.raises(BadRow, match=said) as refused:
        parsed(RowTemplate((TurnTemplate("user", jinja(source)),)))
    (problem,) = refused.value.problems
    assert "id, review, lang, stars, none" in problem.fix


def test_what_jinja_cannot_read_is_told_with_its_line():
    with pytest.raises(ConfigError, match=r"ask\.j2:2: "):
        JinjaTemplate.parsed("a\n{% if %}", name="ask.j2")


def test_without_jinja_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError) as refused:
        jinja("x")
    assert "claudebatch[jinja]" in refused.value.fix


def examples(tmp_path, text: str, question=None, name: str = "ex.jsonl"):
    path = tmp_path / name
    path.write_text(text)
    return [turn["content"] for turn in read_examples(path, question)]


@pytest.mark.parametrize(
    "question", [Template.parsed("Rate: {review}"), jinja("Rate: {{ review }}")]
)
def test_an_example_is_asked_as_a_row_is(tmp_path, question):
    text = '{"input": "a", "output": "good"}\n{"review": "b", "output": {"x": 1}}\n'
    assert examples(tmp_path, text, question) == ["Rate: a", "good", "Rate: b", '{"x":1}']
    assert examples(tmp_path, "review,output\na,good\n", question, "ex.csv") == ["Rate: a", "good"]


def test_without_a_template_the_input_stands_as_it_is(tmp_path):
    assert examples(tmp_path, '{"input": "a {b}", "output": "c"}\n') == ["a {b}", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"input": "a"}\n', r'ex\.jsonl:1: the example has no "output"'),
        (
            '{"output": "a"}\n',
            r'has no "input" and not the columns of the template \(lang, review\)',
        ),
        ('{"input": "a", "output": "b"}\n', "not the columns of the template"),
        ("{broken\n", r"ex\.jsonl:1: "),
        ("", "has no example"),
        ('{"review": "a", "lang": "de", "output": "b"}\n' * 1001, "more than 1,000 examples"),
    ],
)
def test_a_bad_example_is_named(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        examples(tmp_path, text, Template.parsed("{review} {lang}"))
