"""Prompts that are made of columns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.errors import BadRow, ConfigError
from claudebatch.inputs import Defaults, RowTemplate, parse_line
from claudebatch.inputs.formats.text_table import TextTable
from claudebatch.inputs.row_template import TurnTemplate
from claudebatch.inputs.template import Template

ROW = {"review": "Great {tea}", "stars": 5, "tags": ["a"], "no text": None, "a.b": "x"}


def filled(source: str, row=ROW, **constants: str) -> str:
    return Template.parsed(source, constants).filled(row)


def row_template(source: str) -> RowTemplate:
    return RowTemplate((TurnTemplate("user", Template.parsed(source)),))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Classify: {review}", "Classify: Great {tea}"),
        ("{stars}/{ stars }", "5/5"),
        ("{{{review}}} {{}}", "{Great {tea}} {}"),
        ("{review:json} {tags} {stars:json}", '"Great {tea}" ["a"] 5'),
        ("[{no text}]", "[]"),
        ("{a.b}", "x"),
        ("no place", "no place"),
        ("{review} in {language}", "Great {tea} in German"),
    ],
)
def test_a_template_is_filled(source, text):
    assert filled(source, language="German") == text


def test_a_constant_wins_over_a_column():
    assert filled("{stars}", stars="many") == "many"


@pytest.mark.parametrize("source", ["", "  \n", "a { b", "a } b", "a {} b", "{:json}", "{a{b}"])
def test_a_template_that_cannot_be_meant_is_refused(source):
    with pytest.raises(ConfigError):
        Template.parsed(source)


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(BadRow) as caught:
        filled("{revew}")
    (problem,) = caught.value.problems
    assert problem.reason == 'no column "revew" for the template'
    assert problem.fix.startswith("the row has review, stars, tags, no text, a.b;")


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text.strip()))
def test_any_text_can_be_written_as_a_template(text):
    assert filled(text.replace("{", "{{").replace("}", "}}")) == text


def parsed(line: object, source: str = "Say {word}", **how):
    defaults = Defaults(max_tokens=9, template=row_template(source), **how)
    return parse_line(json.dumps(line).encode(), defaults, file="f", line=1)


def test_every_field_of_a_row_is_a_column_but_its_id_and_tags():
    prompt = parsed({"id": 7, "word": "hi", "model": "T", "temperature": 20, "tags": ["x"]})
    assert prompt.params == {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Say hi"}],
    }
    assert (prompt.id, prompt.model, prompt.tags) == ("7", None, ("x",))
    assert json.loads(prompt.columns) == {
        "word": "hi",
        "model": "T",
        "temperature": 20,
        "tags": ["x"],
    }


@pytest.mark.parametrize("own", [0, 0.5, "0"])
def test_an_id_that_counts_as_nothing_is_an_id(own):
    prompt = parsed({"id": own, "word": "hi"})
    assert (prompt.id, prompt.has_own_id, prompt.has_number_id) == (str(own), True, own != "0")
    assert not parsed({"id": None, "word": "hi"}).has_own_id


def test_a_text_is_a_row_with_one_column():
    assert parsed("hi", "Say {text}").params["messages"][0]["content"] == "Say hi"
    with pytest.raises(BadRow):
        parsed([1], "Say {text}")


def test_an_edit_of_the_template_makes_other_rows_and_one_of_a_column_beside_it_does_not():
    row = {"word": "hi", "note": "a"}
    assert parsed(row).digest != parsed(row, "Shout {word}").digest
    assert parsed(row).digest == parsed({**row, "note": "b"}).digest
    assert parsed(row).digest != parsed({**row, "word": "ho"}).digest


def test_a_filled_template_without_a_word_is_refused():
    with pytest.raises(BadRow) as caught:
        parsed({"word": " "}, "{word}")
    assert "is empty" in caught.value.problems[0].reason


def test_a_row_of_a_table_fills_it_too():
    table = TextTable(("id", "word"), ",")
    defaults = Defaults(max_tokens=9, template=row_template("Say {word}"))
    prompt = parse_line(b'a,"x, y"', defaults, file="f", line=2, form=table)
    assert (prompt.id, prompt.columns) == ("a", b'{"word":"x, y"}')
    assert prompt.params["messages"][0]["content"] == "Say x, y"
