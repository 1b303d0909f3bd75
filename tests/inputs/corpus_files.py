"""Files as people have them, each made here: what becomes of them is in corpus.md."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.inputs.file_samples import FILES, LINES, PACKED
from tests.support.encrypted_workbook import encrypted_workbook
from tests.support.input_writers import FILES as WRITERS
from tests.support.input_writers import arrow_stream, feather, parquet, workbook

REVIEWS = [
    {"id": "r1", "product": "Lamp", "review": "Bright, and easy to switch on."},
    {"id": "r2", "product": "Desk", "review": 'The "oak" is paint.\nSent it back.'},
    {"id": "r3", "product": "Über", "review": "Schön – aber teuer: 5 €"},
]
PROMPTS = [{"id": row["id"], "prompt": row["review"], "lang": "en"} for row in REVIEWS]
ASK = "Praise or complaint? {review}"


@dataclass(frozen=True)
class Sample:
    """One file, and how it is read."""

    data: bytes | Mapping[str, bytes]
    """Its bytes; of a folder those of the files in it."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Options of the run."""
    template: str | None = None


def _lines(*values: Any) -> bytes:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def _talk(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _openai(number: int) -> dict[str, Any]:
    body = {"messages": [{"role": "system", "content": "Be brief."}, *_talk(f"Question {number}")]}
    return {
        "custom_id": f"q-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }


def _anthropic(number: int) -> dict[str, Any]:
    return {"custom_id": f"q-{number}", "params": {"max_tokens": 9, "messages": _talk("Hi")}}


LINE_FILES = {
    "prompts.jsonl": Sample(_lines(*PROMPTS)),
    "windows.jsonl": Sample(_lines(*PROMPTS).replace(b"\n", b"\r\n")),
    "bom.jsonl": Sample(b"\xef\xbb\xbf" + _lines(*PROMPTS)),
    "blank-lines.jsonl": Sample(b"\n" + _lines(*PROMPTS).replace(b"\n", b"\n\n")),
    "no-last-line-end.jsonl": Sample(_lines(*PROMPTS).rstrip()),
    "strings.jsonl": Sample(_lines("Why is the sky blue?", "And the sea?")),
    "chats.jsonl": Sample(_lines(*({"messages": _talk(row["review"])} for row in REVIEWS))),
    "lists.jsonl": Sample(_lines(_talk("one"), _talk("two"))),
    "openai-batch.jsonl": Sample(_lines(_openai(1), _openai(2))),
    "anthropic-batch.jsonl": Sample(_lines(_anthropic(1), _anthropic(2))),
    "mixed-shapes.jsonl": Sample(_lines("one", PROMPTS[0], _openai(1), _anthropic(2))),
    "numbers-as-ids.jsonl": Sample(_lines({"id": 1, "prompt": "one"}, {"id": 2, "prompt": "two"})),
    "nulls-of-exporters.jsonl": Sample(_lines({"prompt": "one", "system": None, "tags": None})),
    "long-line.jsonl": Sample(_lines({"prompt": "word " * 60_000})),
    "torn-end.jsonl": Sample(_lines(*PROMPTS)[:-20]),
    "empty.jsonl": Sample(b""),
    "only-blanks.jsonl": Sample(b"\n  \n"),
    "a-typo.jsonl": Sample(_lines({"promt": "one"})),
    "a-question.jsonl": Sample(_lines({"question": "Where?", "answer": "Here."})),
    "no-prompts.jsonl": Sample(_lines(*REVIEWS)),
    "no-prompts-and-a-template.jsonl": Sample(_lines(*REVIEWS), template=ASK),
    "alpaca.jsonl": Sample(_lines({"instruction": "Add.", "input": "1 2", "output": "3"})),
    "sharegpt.jsonl": Sample(_lines({"conversations": [{"from": "human", "value": "Hi"}]})),
    "temperature.jsonl": Sample(_lines({"prompt": "one", "temperature": 0.2})),
    "gpt-model.jsonl": Sample(_lines({"prompt": "one", "stop": ["x"], "n": 1})),
    **{f"{'-'.join(words.split())}.jsonl": Sample(data) for words, data in LINES.items()},
}
JSON_FILES = {
    "array.json": Sample(json.dumps(PROMPTS).encode()),
    "indented-array.json": Sample(json.dumps(PROMPTS, indent=2, ensure_ascii=False).encode()),
    "array-of-texts.json": Sample(b'["one", "two"]'),
    "requests.json": Sample(json.dumps({"requests": [_anthropic(1), _anthropic(2)]}).encode()),
    "data-and-more.json": Sample(json.dumps({"data": PROMPTS, "version": 2}, indent=1).encode()),
    "indented-values.jsonl": Sample(
        b"\n".join(json.dumps(row, indent=1).encode() for row in PROMPTS)
    ),
    "empty-array.json": Sample(b"[]"),
    "broken-array.json": Sample(b'[{"prompt": "one"},\n {"prompt": two}]'),
    "cut-array.json": Sample(b'[{"prompt": "one"},\n {"prompt": "tw'),
}
_CSV = WRITERS["in.csv"](REVIEWS)
TABLE_FILES = {
    "prompts.csv": Sample(WRITERS["in.csv"](PROMPTS)),
    "reviews.csv": Sample(_CSV, template=ASK),
    "reviews-without-a-template.csv": Sample(_CSV),
    "excel-german.csv": Sample(b"\xef\xbb\xbf" + WRITERS["semicolons.csv"](REVIEWS), template=ASK),
    "excel-sep-line.csv": Sample(b"sep=;\r\n" + WRITERS["semicolons.csv"](REVIEWS), template=ASK),
    "excel-windows-1252.csv": Sample(_CSV.decode().encode("cp1252"), template=ASK),
    "excel-unicode-text.txt": Sample(
        WRITERS["in.tsv"](REVIEWS).decode().encode("utf-16"), template=ASK
    ),
    "pandas-with-index.csv": Sample(b",review\n0,good\n1,bad\n", template=ASK),
    "reviews.tsv": Sample(WRITERS["in.tsv"](REVIEWS), template=ASK),
    "bars.csv": Sample(b"id|review\n1|good\n", template=ASK),
    "table-called.txt": Sample(_CSV, template=ASK),
    "one-column.csv": Sample(b"prompt\nWhy?\nHow?\n"),
    "cells-as-json.csv": Sample(b'prompt,max_tokens,tags\nHi,50,"[""a""]"\n'),
    "formulas.csv": Sample(b"id,review\n1,=1+1\n2,@SUM(A1)\n", template=ASK),
    "heading-only.csv": Sample(b"id,prompt\n"),
    "empty.csv": Sample(b""),
    "empty-cell.csv": Sample(b"id,prompt\n1,\n2,two\n"),
    "ragged.csv": Sample(b"id,prompt\n1,one,more\n2\n3,three\n"),
    "open-quote.csv": Sample(b'id,prompt\n1,"one\n2,two\n'),
    "quote-in-cell.csv": Sample(b'id,prompt\n1,a 5" nail\n'),
    "column-twice.csv": Sample(b"id,prompt,prompt\n1,one,two\n"),
    "column-without-name.csv": Sample(b"id,,prompt\n1,one,two\n"),
    "trailing-comma.csv": Sample(b"id,prompt,\n1,one,\n"),
}
TEXT_FILES = {
    "poem.txt": Sample(b"Roses are red,\nViolets are blue\n"),
    "poem-as-text.txt": Sample(b"Roses are red,\nViolets are blue\n", {"text": True}),
    "prompts.yaml": Sample(b"- prompt: one\n- prompt: two\n"),
    "page.html": Sample(b"<!DOCTYPE html>\n<html><body>Hello</body></html>\n"),
    "notes": Sample(
        {
            "b.txt": "zweitens\n".encode("utf-16"),
            "a.md": b"# First\n",
            "2026/c.txt": b"third",
            ".DS_Store": b"\0\0\0\1Bud1",
            "photo.jpg": b"\xff\xd8\xff\xe0",
            "latin.txt": b"caf\xe9",
            "empty.txt": b"",
        },
        {"each_file": True},
    ),
    "scans": Sample({"a.pdf": b"%PDF-1.7\n"}, {"each_file": True}),
}


def _file_name(kind: str) -> str:
    words = kind.partition(",")[0].replace("(", "").replace(")", "").split()
    return "-".join(words) + Path(FILES[kind][0]).suffix


OTHER_FILES = {
    **{_file_name(kind): Sample(data) for kind, (_, data) in FILES.items()},
    "in.tar.gz": Sample(gzip.compress(FILES["an archive (tar)"][1])),
}
PACKED_FILES = {
    **{f"prompts.jsonl{suffix}": Sample(data) for suffix, data in PACKED.items()},
    "reviews.csv.gz": Sample(gzip.compress(_CSV), template=ASK),
    "two-members.jsonl.gz": Sample(gzip.compress(_lines("one")) + gzip.compress(_lines("two"))),
    "cut.jsonl.gz": Sample(gzip.compress(_lines(*PROMPTS))[:-9]),
    "packed.parquet.bz2": Sample(bz2.compress(parquet(PROMPTS))),
    "packed.xlsx.xz": Sample(lzma.compress(workbook(PROMPTS))),
    "a-pdf.gz": Sample(gzip.compress(b"%PDF-1.7\n")),
}


def _typed() -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "review": text,
            "when": dt.datetime.fromisoformat("2026-11-30T12:00"),
            "price": Decimal("1.50"),
            "tags": ["a", "b"],
            "photo": b"\xff",
        }
        for number, text in enumerate(["good", None, "bad"], 1)
    ]


def _sheets() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Cover"
    book.active["B2"] = "Reviews of 2026"
    sheet = book.create_sheet("Reviews")
    for row in (["id", "review", "day"], [1, "good", dt.date(2026, 11, 30)], [], [2, "bad", None]):
        sheet.append(row)
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


def _ods() -> bytes:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p>'
            "</table:table-cell>"
            for cell in row
        )
        + "</table:table-row>"
        for row in (("id", "prompt"), ("a", "one"), ("b", "two"))
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces}><office:body>'
        f'<office:spreadsheet><table:table table:name="Rows">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", '<?xml version="1.0"?><manifest/>')
        archive.writestr("content.xml", content)
    return into.getvalue()


BINARY_TABLES = {
    "prompts.parquet": Sample(parquet(PROMPTS)),
    "typed.parquet": Sample(parquet(_typed()), template="{review}: {tags}, {price} on {when}"),
    "chats.parquet": Sample(parquet([{"messages": _talk(row["review"])} for row in REVIEWS])),
    "reviews-without-a-template.parquet": Sample(parquet(REVIEWS)),
    "prompts.feather": Sample(feather(PROMPTS)),
    "prompts.arrows": Sample(arrow_stream(PROMPTS)),
    "cut.parquet": Sample(parquet(PROMPTS)[:-30]),
    "text-asked-for.parquet": Sample(parquet(PROMPTS), {"text": True}),
    "prompts.xlsx": Sample(workbook(PROMPTS)),
    "sheets.xlsx": Sample(_sheets(), template=ASK),
    "sheets-and-a-name.xlsx": Sample(_sheets(), {"sheet": "Reviews"}, template="{day} {review}"),
    "sheets-and-a-wrong-name.xlsx": Sample(_sheets(), {"sheet": "Reviws"}),
    "password.xlsx": Sample(encrypted_workbook()),
    "cut.xlsx": Sample(workbook(PROMPTS)[:-200]),
    "libre.ods": Sample(_ods()),
}
SECTIONS: dict[str, dict[str, Sample]] = {
    "JSON lines": LINE_FILES,
    "JSON": JSON_FILES,
    "Tables of text": TABLE_FILES,
    "Parquet, Arrow and workbooks": BINARY_TABLES,
    "Text": TEXT_FILES,
    "Compressed": PACKED_FILES,
    "Other kinds": OTHER_FILES,
}
