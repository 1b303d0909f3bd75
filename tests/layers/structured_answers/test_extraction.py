"""What is found in prose, and what is not."""

from __future__ import annotations

import pytest

from claudebatch.layers.structured_answers.extraction import BadExtract, check_extract, extracted

FENCED = 'Here you are:\n\n```json\n{"a": 1}\n```\nAnd more: ```py\nx\n```'


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        ("json", '{"a": [1, 2]}', {"a": [1, 2]}),
        ("json", FENCED, {"a": 1}),
        ("json", 'The answer is {"a": {"b": "}"}}, I think.', {"a": {"b": "}"}}),
        ("json", "In [brackets] there is [1, 2] at last.", [1, 2]),
        ("json", "Nothing here: {no} [json]", None),
        ("json", "", None),
        ("json", '{"a": NaN}', None),
        ("code", FENCED, '{"a": 1}'),
        ("code", "~~~\nx = 1\ny = 2\n~~~\n", "x = 1\ny = 2"),
        ("code", "````md\n```\nx\n```\n````\n", "```\nx\n```"),
        ("code", "no block", None),
        ("code", "```\nnever closed", None),
        ("xml:answer", "So: <answer>\n 42 </answer> <answer>43</answer>", "42"),
        ("xml:answer", '<answer kind="x">a < b</answer>', "a < b"),
        ("xml:answer", "<answers>42</answers>", None),
        (r"regex:Answer: (\w+)", "… Answer: yes, Answer: no", "yes"),
        (r"regex:\d+", "in 42 days", "42"),
        (r"regex:(?P<low>\d+)-(?P<high>\d+)", "from 1-9", {"low": "1", "high": "9"}),
        (r"regex:(a)|b", "b", None),
        (r"regex:\d+", "never", None),
    ],
)
def test_the_value_in_a_text(wanted: str, text: str, value: object):
    check_extract(wanted)
    assert extracted(wanted, text) == value


@pytest.mark.parametrize(
    "wanted",
    ["", "yaml", "xml", "xml:", "xml:a b", "xml:<a>", "regex", "regex:", "regex:(", "json:x"],
)
def test_what_says_nothing_is_refused(wanted: str):
    with pytest.raises(BadExtract):
        check_extract(wanted)


def test_a_million_brackets_do_not_take_for_ever():
    assert extracted("json", "[" * 200_000 + "{" * 200_000) is None
