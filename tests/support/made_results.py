"""Result lines of made-up rows, for those who turn them into other forms."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from claudebatch.outputs.forms import form_of
from claudebatch.outputs.line_values import ResultLines
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.write import write_results


def answered(id: str | int, text: str, **fields: Any) -> dict[str, Any]:
    """A row with an answer; *fields* are its own."""
    usage = {"input_tokens": 24, "output_tokens": 5}
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    return {
        "id": id,
        "status": "succeeded",
        "text": text,
        "model": "claude-sonnet-5-5",
        "ending": "complete",
        "stop_reason": "end_turn",
        "usage": usage,
        "cost_usd": "0.000098",
        "attempts": 1,
        "request_id": "req_1",
        "line": 1,
        "file": "in.jsonl",
        **({"input": fields} if fields else {}),
        "message": message,
    }


def failed(id: str | int, *, status: int | None = 529, **fields: Any) -> dict[str, Any]:
    """A row without one."""
    error = {
        "type": "overloaded_error" if status else "timeout",
        "status": status,
        "message": "Overloaded",
        "request_id": "req_2" if status else None,
        "retryable": True,
    }
    return {
        "id": id,
        "status": "failed",
        "model": "claude-sonnet-5-5",
        "attempts": 8,
        "error": error,
        "line": 2,
        "file": "in.jsonl",
        **({"input": fields} if fields else {}),
    }


def lines_of(rows: Sequence[dict[str, Any]]) -> ResultLines:
    """The lines of *rows*, as a journal gives them."""

    def lines(messages: bool):
        for row in rows:
            kept = {name: row[name] for name in row if messages or name != "message"}
            yield json.dumps(kept, ensure_ascii=False).encode() + b"\n"

    return lines


def made(
    form: str,
    rows: Sequence[dict[str, Any]],
    scratch: Path,
    *columns: str,
    escape: bool = False,
) -> bytes:
    """The bytes of *rows* in a *form*."""
    file = io.BytesIO()
    layout = TableLayout(columns or None, escape)
    count = write_results(
        lines_of(rows), form_of(None, form), layout, file, scratch=scratch / "scratch.db"
    )
    assert count == len(rows)
    assert not (scratch / "scratch.db").exists()
    return file.getvalue()
