"""Examples of good answers, from a file of input and output pairs: turns that stand
before those of every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from claudebatch.core.errors import BadRow, ConfigError
from claudebatch.core.jsonl import encode_in_order
from claudebatch.inputs.formats import open_format
from claudebatch.inputs.row_template import TextTemplate
from claudebatch.inputs.template import columns_shown

_INPUT, _OUTPUT = "input", "output"
# Every request holds them all.
_MOST = 1000


def read_examples(path: Path, question: TextTemplate | None) -> tuple[Mapping[str, str], ...]:
    """The turns of the examples in the file at *path*: JSON lines, JSON or a table.

    The user's turn is the *question* filled with the columns of the example; where it
    lacks them, with its `input` in the place of the only column; without a question,
    its `input` as it stands. The answer is its `output`. Raises `ClaudebatchError`.
    """
    form = open_format(path, name=str(path), text=False, wanted=None)
    turns: list[Mapping[str, str]] = []
    for record in form.records(path):
        place = f"{path}:{record.number}"
        try:
            turns += _turns(form.value(record.data), question, place)
        except BadRow as error:
            problem = error.problems[0]
            raise ConfigError("E185", f"{place}: {problem.reason}", fix=problem.fix) from error
        if len(turns) > 2 * _MOST:
            raise ConfigError(
                "E186", f"{path} has more than {_MOST:,} examples", fix="every request holds all"
            )
    if not turns:
        raise ConfigError("E187", f"{path} has no example", fix='write {"input": …, "output": …}')
    return tuple(turns)


def _turns(value: Any, question: TextTemplate | None, place: str) -> Iterator[Mapping[str, str]]:
    if not isinstance(value, dict) or not value.get(_OUTPUT):
        there = columns_shown(value) if isinstance(value, dict) else "no columns"
        raise ConfigError(
            "E188",
            f'{place}: the example has no "{_OUTPUT}", which is the answer',
            fix=f"it has {there}",
        )
    asked = _asked(value, question)
    if asked is None or not asked.strip():
        needed = sorted(question.columns) if question is not None else []
        raise ConfigError(
            "E189",
            f'{place}: the example has no "{_INPUT}"'
            + (f" and not the columns of the template ({', '.join(needed)})" if needed else ""),
            fix=f"it has {columns_shown(value)}",
        )
    yield {"role": "user", "content": asked}
    yield {"role": "assistant", "content": _text(value[_OUTPUT])}


def _asked(value: Mapping[str, Any], question: TextTemplate | None) -> str | None:
    given = value.get(_INPUT)
    if question is None:
        return None if given is None else _text(given)
    # First: an example may well have a column that is called "input".
    if question.columns <= value.keys():
        return question.filled(value)
    if given is None or len(question.columns) != 1:
        return None
    (column,) = question.columns
    return question.filled({column: given})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode_in_order(value).decode()
