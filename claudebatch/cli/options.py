"""The options that several commands have in common."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.dates import asked_time
from claudebatch.core.asked_time import AskedTime


# Lower-case names: typer shows them as the values to be written.
class OnBadRow(StrEnum):
    """What a line that cannot be sent does to the run."""

    stop = "stop"
    skip = "skip"


class Redo(StrEnum):
    """The answered rows that are asked again."""

    changed = "changed"


class Unknown(StrEnum):
    """What is done about rows that an earlier session may have been billed for without
    an answer.
    """

    retry = "retry"
    skip = "skip"
    ask = "ask"


# Parsers of our own: the option parser's words name Python types, not examples.
def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        # Refused below, with the same words as every other amount.
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        raise BadValue(
            "E058", f"{text!r} is not an amount of dollars above 0; try --budget 5 or --budget 2.50"
        )
    return amount


def _whole(text: str) -> int:
    if not (_is_whole(text) and int(text) > 0):
        raise BadValue("E059", f"{text!r} is not a whole number above 0; try 100")
    return int(text)


def _whole_from_0(text: str) -> int:
    if not _is_whole(text):
        raise BadValue("E060", f"{text!r} is not a whole number from 0; try 10")
    return int(text)


def _is_whole(text: str) -> bool:
    # 20 digits are no count but a slip, and int() of thousands takes seconds.
    return text.isascii() and text.isdecimal() and 0 < len(text) < 20


def names(text: str | None) -> tuple[str, ...] | None:
    """The names in a list such as `id, answer`; None where none was given."""
    if text is None:
        return None
    found = tuple(name for part in text.split(",") if (name := part.strip()))
    if not found:
        raise BadValue("E063", "--columns names no column; try --columns id,answer")
    return found


# Options of several commands; those of `run` alone stand in run_flags.py.
Inputs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT", help="Files of prompts (JSONL, CSV, Parquet, …), patterns, or - for stdin."
    ),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Results file; - for stdout.", show_default=False
    ),
]
OutputFormat: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--output-format",
        metavar="FORMAT",
        help="Format, if the suffix does not say it: csv, sqlite, text, openai-batch, csv.gz.",
        show_default=False,
    ),
]
Columns: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Columns of a table, in this order: id,answer,input.review.",
        show_default=False,
    ),
]
NoEscape: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-escape", help="Leave cells as they are that a spreadsheet takes for a formula."
    ),
]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Settings file (YAML).", show_default=False
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Model for rows that name none, such as haiku; wins over the rules.",
    ),
]
AllowUnknownModel: TypeAlias = Annotated[
    bool,
    typer.Option("--allow-unknown-model", help="Allow models that claudebatch does not know yet."),
]
ModelMap: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="A=B,...", help="Replace model names in the input: gpt-4o-mini=haiku."),
]
Drop: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FIELD,...", help="Remove these fields from every line.")
]
System: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--system",
        "-s",
        metavar="TEXT",
        help="System prompt for rows without one; @FILE reads it from FILE (@@ for a literal @).",
    ),
]
MaxTokens: TypeAlias = Annotated[
    int | None, typer.Option(parser=_whole, metavar="N", help="max_tokens for rows without it.")
]
Budget: TypeAlias = Annotated[
    Decimal | None,
    typer.Option(
        parser=_dollars, metavar="USD", help="Spending cap of the whole run; never exceeded."
    ),
]
SendVia: TypeAlias = Annotated[
    Literal["live", "batch", "auto"] | None,
    typer.Option(
        "--via",
        help="live: at once; batch: half the price, within 24 hours; auto: whatever can wait.",
    ),
]
PromptCacheMarks: TypeAlias = Annotated[
    Literal["auto", "respect", "off"] | None,
    typer.Option(
        "--prompt-caching",
        help="Mark what rows share for the API's prompt cache: auto, respect (their own marks), "
        "off.",
    ),
]
AsBatch: TypeAlias = Annotated[
    bool, typer.Option("--batch", help="The same as --via batch.", show_default=False)
]
Deadline: TypeAlias = Annotated[
    AskedTime | None,
    typer.Option(
        parser=asked_time,
        metavar="TIME",
        help="All answers by this time: what can wait goes by batch. 6h, 2d, 07:00.",
    ),
]
Tag: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Label for reports and for caps that runs share.")
]
Concurrency: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-j",
        parser=_whole,
        metavar="N",
        help="Maximum parallel requests per model (default: adaptive).",
    ),
]
Processes: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--processes",
        parser=_whole,
        metavar="N",
        help="Send from N processes; one decides (default: 1).",
    ),
]
Engine: TypeAlias = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="Where those processes are: local, or ray (ray://HOST:6379) for many hosts.",
    ),
]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option("--limit", "-n", parser=_whole, metavar="N", help="Only the first N rows."),
]
Sample: TypeAlias = Annotated[
    int | None,
    typer.Option(
        parser=_whole, metavar="N", help="N rows by chance, the same ones again each time."
    ),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(parser=_whole_from_0, metavar="N", help="Another sample: --seed 1.")
]
RowNumbers: TypeAlias = Annotated[
    str | None, typer.Option("--rows", metavar="SPANS", help="Rows by number: 10-20,40.")
]
RowIds: TypeAlias = Annotated[
    str | None, typer.Option("--id", metavar="ID,...", help="Rows by id.")
]
Where: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Rows by column: lang=de, 'lang!=de', 'review~tea' (contains); repeatable.",
    ),
]
NoCheck: TypeAlias = Annotated[
    bool,
    typer.Option("--no-check", help="Also send lines that break the API's own rules."),
]
ExtraFields: TypeAlias = Annotated[
    Literal["keep", "ignore", "refuse"],
    typer.Option(
        "--extra",
        metavar="WHAT",
        help="Fields beside the prompt: keep them for the results, ignore or refuse.",
    ),
]
TemplateText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--template",
        "-t",
        metavar="TEXT|@FILE",
        help="Make the prompts of columns: 'Classify: {review}'; @FILE.j2 is Jinja2.",
    ),
]
Constants: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A value for the template; repeatable."),
]
Examples: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Example answers before every prompt: a file with input and output."
    ),
]
ImageColumns: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--image", metavar="COLUMN", help="Send the images that this column names; repeatable."
    ),
]
DocumentColumns: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--document", metavar="COLUMN", help="Send the PDFs and texts that this column names."
    ),
]
FilesRoot: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Files to be sent lie below DIR (default: the input's folder)."
    ),
]
Repeat: TypeAlias = Annotated[
    int | None,
    typer.Option(parser=_whole, metavar="N", help="N independent answers to each row."),
]
Schema: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FIELDS",
        help="Answers fit a JSON schema: a file, or 'name, age int, tags [str]'.",
        show_default=False,
    ),
]
SchemaRetries: TypeAlias = Annotated[
    int | None,
    typer.Option(
        parser=_whole_from_0,
        metavar="N",
        help="Ask again up to N times what does not fit its schema (default: 2).",
    ),
]
Extract: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="Take a value out of answers in prose: json, code, xml:TAG or regex:PATTERN.",
        show_default=False,
    ),
]
InputFormat: TypeAlias = Annotated[
    Literal["jsonl", "json", "csv", "tsv", "text", "parquet", "arrow", "excel"] | None,
    typer.Option(
        "--input-format",
        metavar="FORMAT",
        help="What the input is, if its looks mislead: jsonl, json, csv, tsv or text.",
    ),
]
Sheet: TypeAlias = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="The sheet of a workbook (default: the first)."),
]
EachFile: TypeAlias = Annotated[
    bool,
    typer.Option("--each-file", help="Every text file of the folders named is a prompt."),
]
Shape: TypeAlias = Annotated[
    Literal[
        "alpaca",
        "bedrock",
        "gemini",
        "mt-bench",
        "openai-chat",
        "openai-responses",
        "sharegpt",
        "vertex",
    ]
    | None,
    typer.Option(
        "--shape", metavar="NAME", help="Whose lines these are; see `claudebatch shapes`."
    ),
]
Text: TypeAlias = Annotated[
    bool, typer.Option("--text", help="Every input line is a prompt in plain text, not JSON.")
]
Simulate: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--simulate", help="Rehearse with simulated answers: no key, no network, no cost."
    ),
]
Fresh: TypeAlias = Annotated[
    bool, typer.Option("--fresh", help="Start over; old results are kept as .previous.")
]
RetryFailed: TypeAlias = Annotated[
    bool, typer.Option("--retry-failed", help="Also ask failed rows again.")
]
RetryCut: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--retry-cut", help="Also ask rows again whose answers were cut off (see --max-tokens)."
    ),
]
RedoRows: TypeAlias = Annotated[
    Redo | None,
    typer.Option(help="changed: also ask rows again that were answered with other settings."),
]
NoCache: TypeAlias = Annotated[
    bool,
    typer.Option("--no-cache", help="Do not use or fill the response cache; send duplicates, too."),
]
RefreshCache: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--refresh-cache", help="Ask anew what is in the response cache, and keep the new answers."
    ),
]
BadRows: TypeAlias = Annotated[
    OnBadRow | None,
    typer.Option(help="Invalid lines: stop before anything is sent, or skip them."),
]
FailOnEmpty: TypeAlias = Annotated[
    bool,
    typer.Option("--fail-on-empty", help="Exit 2 instead of 0 if the input has no rows."),
]
MaxFailures: TypeAlias = Annotated[
    int | None,
    typer.Option(parser=_whole_from_0, metavar="N", help="Exit 0 with up to N failed rows."),
]
StopAfter: TypeAlias = Annotated[
    int | None,
    typer.Option(
        parser=_whole_from_0,
        metavar="N",
        help="Stop after N rows in a row that were refused alike; 0: never.",
    ),
]
AllColumns: TypeAlias = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Every column, however narrow the terminal is."),
]
CountRows: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--count",
        parser=_whole,
        metavar="K",
        help="Let the API count K rows of each model (free; needs a key).",
    ),
]
