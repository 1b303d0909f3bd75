"""What went in comes out, whatever the form: held against other people's readers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.made_results import answered, failed, made
from tests.support.output_readers import (
    pyarrow,
    read_json_lines,
    read_markdown,
    read_parquet,
    read_separated,
    read_sqlite,
    unpacked,
)

HOSTILE = (
    "plain",
    "",
    " blanks around ",
    'says "yes", twice',
    "two\nlines",
    "a\r\nb\rc",
    "tab\there",
    "semi;colon|bar",
    "back\\slash \\| <b>x</b>",
    "é 日本語 🦀 \u2028 \u202e \x00 \x1b[31m",
    "'quoted'",
    "NULL",
    "None",
    "nan",
    "1e5",
    "007",
    "-5",
    "=1+1",
    "x" * 100_000,
)
ROWS = [answered(f"row-{n}", text, review=text, n=n) for n, text in enumerate(HOSTILE)]
TYPED = [
    answered("a", "x", whole=1, big=2**60, huge=10**40, part=1.5, mixed=1, yes=True, tags=["é", 1]),
    answered("b", "y", whole=-7, big=3, huge=1, part=2, mixed="1", yes=False, tags={"k": None}),
    failed("c", whole=None),
    answered(4, "z"),
]


def text(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_texts_come_back_from_csv_and_tsv_as_they_were(form, tmp_path):
    found = read_separated(made(form, ROWS, tmp_path), {"csv": ",", "tsv": "\t"}[form])
    assert [row["review"] for row in found] == list(HOSTILE)
    assert [row["answer"] for row in found] == list(HOSTILE)
    assert [row["n"] for row in found] == [str(n) for n in range(len(HOSTILE))]


def test_texts_come_back_from_sqlite_as_they_were(tmp_path):
    found = read_sqlite(made("sqlite", ROWS, tmp_path), tmp_path)
    assert [(row["review"], row["answer"], row["n"]) for row in found] == [
        (text, text, n) for n, text in enumerate(HOSTILE)
    ]


def test_texts_come_back_from_parquet_as_they_were(tmp_path):
    pyarrow()
    found = read_parquet(made("parquet", ROWS, tmp_path))
    assert [(row["review"], row["answer"], row["n"]) for row in found] == [
        (text, text, n) for n, text in enumerate(HOSTILE)
    ]


def test_texts_come_back_from_json_lines_as_they_were(tmp_path):
    assert read_json_lines(made("jsonl", ROWS, tmp_path)) == ROWS
    chosen = read_json_lines(made("jsonl", ROWS, tmp_path, "answer", "input.review"))
    assert chosen == [{"answer": text, "input.review": text} for text in HOSTILE]


def test_texts_come_back_from_markdown_but_for_their_line_ends(tmp_path):
    found = read_markdown(made("markdown", ROWS, tmp_path, "id", "answer"))
    ends = ("\r\n", "\n", "\r", "\u2028")
    wanted = list(HOSTILE)
    for end in ends:
        wanted = [text.replace(end, "<br>") for text in wanted]
    # A reader drops blanks around a cell, and this one keeps them.
    assert [row["answer"] for row in found] == wanted


def test_plain_text_has_each_answer_below_its_id(tmp_path):
    rows = [answered("a", "one\n\ntwo"), failed("b"), answered("c\nd", "three")]
    assert made("text", rows, tmp_path).decode() == (
        "==> a <==\none\n\ntwo\n\n"
        "==> b <==\n(no answer: overloaded_error: Overloaded)\n\n"
        '==> "c\\nd" <==\nthree\n\n'
    )
    chosen = made("text", rows[:1], tmp_path, "status", "cost_usd")
    assert chosen.decode() == "==> a <==\nsucceeded\n0.000098\n\n"


def test_columns_of_one_type_have_it_and_no_digit_is_lost(tmp_path):
    found = read_sqlite(made("sqlite", TYPED, tmp_path), tmp_path)
    assert [row["whole"] for row in found] == [1, -7, None, None]
    assert [row["big"] for row in found] == [2**60, 3, None, None]
    assert [row["huge"] for row in found] == [str(10**40), "1", None, None]
    assert [row["part"] for row in found] == [1.5, 2.0, None, None]
    assert [row["mixed"] for row in found] == ["1", "1", None, None]
    assert [row["yes"] for row in found] == [1, 0, None, None]
    assert [row["tags"] for row in found] == ['["é",1]', '{"k":null}', None, None]
    assert [row["id"] for row in found] == ["a", "b", "c", "4"]
    assert [row["cost_usd"] for row in found] == [0.000098, 0.000098, None, 0.000098]
    assert [row["error"] for row in found][2] == "overloaded_error: Overloaded"


def test_parquet_has_types_too_and_dollars_are_exact(tmp_path):
    pyarrow()
    found = read_parquet(made("parquet", TYPED, tmp_path))
    assert [row["whole"] for row in found] == [1, -7, None, None]
    assert [row["big"] for row in found] == [2**60, 3, None, None]
    assert [row["huge"] for row in found] == [str(10**40), "1", None, None]
    assert [row["part"] for row in found] == [1.5, 2.0, None, None]
    assert [row["yes"] for row in found] == [True, False, None, None]
    assert sum(row["cost_usd"] or 0 for row in found) == Decimal("0.000294")


def test_a_long_number_beside_a_fraction_stays_text(tmp_path):
    rows = [answered("a", "x", n=2**53 + 1), answered("b", "y", n=0.5)]
    found = read_sqlite(made("sqlite", rows, tmp_path), tmp_path)
    assert [row["n"] for row in found] == [str(2**53 + 1), "0.5"]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
FIELDS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON_VALUES, max_size=4
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(FIELDS, max_size=5), st.sampled_from([",", "\t"]))
def test_any_fields_come_back_from_csv(tmp_path, fields, separator):
    rows = [answered(f"row-{n}", "x", **some) for n, some in enumerate(fields)]
    names = dict.fromkeys(name for some in fields for name in some)
    columns = [f"input.{name}" for name in names]
    # A list of names in one option has no commas in them, and no two that differ in
    # case.
    if len({name.lower() for name in columns}) < len(columns):
        return
    data = made("csv" if separator == "," else "tsv", rows, tmp_path, "id", *columns)
    found = read_separated(data, separator)
    assert found == [
        {"id": f"row-{n}"} | {f"input.{name}": text(some.get(name)) for name in names}
        for n, some in enumerate(fields)
    ]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_any_fields_make_a_table_that_sqlite_reads(tmp_path, fields):
    rows = [answered(f"row-{n}", "x", **some) for n, some in enumerate(fields)]
    found = read_sqlite(made("sqlite", rows, tmp_path), tmp_path)
    assert [row["id"] for row in found] == [row["id"] for row in rows]


@pytest.mark.parametrize("compression", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "sqlite"])
def test_compressed_it_is_the_same_file(form, compression, tmp_path):
    if compression == ".zst":
        pyarrow()
    plain = made(form, ROWS, tmp_path)
    assert unpacked(made(form + compression, ROWS, tmp_path), compression) == plain


@pytest.mark.parametrize("form", ["csv", "tsv", "markdown", "jsonl", "text", "sqlite", "parquet"])
def test_no_rows_are_a_table_without_rows(form, tmp_path):
    if form == "parquet":
        pyarrow()
    data = made(form, [], tmp_path)
    match form:
        case "csv" | "tsv":
            separator = "," if form == "csv" else "\t"
            assert data.decode().split(separator)[:2] == ["id", "answer"]
            assert read_separated(data, separator) == []
        case "markdown":
            assert read_markdown(data) == []
        case "sqlite":
            assert read_sqlite(data, tmp_path) == []
        case "parquet":
            assert read_parquet(data) == []
        case _:
            assert data == b""


def test_pandas_opens_them(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not among the test packages")
    (tmp_path / "x.csv").write_bytes(made("csv", TYPED, tmp_path))
    frame = pandas.read_csv(tmp_path / "x.csv")
    assert list(frame["whole"].dropna()) == [1, -7]
    assert frame["cost_usd"].sum() == pytest.approx(0.000294)
    pyarrow()
    (tmp_path / "x.parquet").write_bytes(made("parquet", TYPED, tmp_path))
    assert list(pandas.read_parquet(tmp_path / "x.parquet")["id"]) == ["a", "b", "c", "4"]


def test_lines_of_an_anthropic_batch(tmp_path):
    rows = [answered("a", "x"), failed("b"), answered(7, "y")]
    found = read_json_lines(made("anthropic-batch", rows, tmp_path))
    assert found == [
        {"custom_id": "a", "result": {"type": "succeeded", "message": rows[0]["message"]}},
        {
            "custom_id": "b",
            "result": {
                "type": "errored",
                "error": {
                    "type": "error",
                    "error": {"type": "overloaded_error", "message": "Overloaded"},
                    "request_id": "req_2",
                },
            },
        },
        {"custom_id": "7", "result": {"type": "succeeded", "message": rows[2]["message"]}},
    ]


def test_lines_of_an_openai_batch(tmp_path):
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"q": "é"}}
    tool = answered("b", "x")
    tool["message"] |= {"content": [call], "stop_reason": "tool_use"}
    tool["message"]["usage"] |= {"cache_read_input_tokens": 6}
    rows = [answered("a", "x"), tool, failed("c"), failed("d", status=None)]
    one, two, three, four = read_json_lines(made("openai-batch", rows, tmp_path))
    body = one["response"]["body"]
    assert (one["custom_id"], one["error"], one["response"]["status_code"]) == ("a", None, 200)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "x"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == 24
    choice = two["response"]["body"]["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {
        "name": "look",
        "arguments": '{"q":"é"}',
    }
    assert two["response"]["body"]["usage"]["prompt_tokens"] == 30
    assert three["response"]["status_code"] == 529
    assert three["response"]["body"]["error"]["message"] == "Overloaded"
    assert (four["response"], four["error"]["code"]) == (None, "timeout")
