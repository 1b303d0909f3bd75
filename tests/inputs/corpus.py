"""Writes what becomes of each file of the corpus into corpus.md.

python -m tests.inputs.corpus
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.notice import Notice
from claudebatch.inputs import BadLines, Defaults, format_of, parse_line
from claudebatch.inputs.formats import place_of
from claudebatch.setup.input_files import PreparedInputs
from claudebatch.setup.run_options import RunOptions
from tests.inputs.corpus_files import SECTIONS, Sample
from tests.inputs.test_every_format import asking

PAGE = Path(__file__).with_name("corpus.md")
# Files that people brought; they lie beside the repository, where they lie at all.
FIELD = Path(__file__).parents[3] / "shared" / "field"
FIELD_HEADING = "## Files from the field\n"
_SHOWN = 90
_PROBLEMS_SHOWN = 3


@dataclass(frozen=True)
class Outcome:
    """What becomes of one file."""

    kind: str = ""
    rows: int = 0
    prompt: str = ""
    said: tuple[str, ...] = ()

    def cells(self, name: str) -> str:
        """A row of the table."""
        prompt = [f"“{_short(self.prompt)}”"] if self.prompt else []
        told = _plain("; ".join([*prompt, *self.said]))
        return f"| {name} | {self.kind} | {self.rows} | {told} |\n"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "↵").replace("<", "&lt;")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def outcome(name: str, sample: Sample) -> Outcome:
    """What becomes of *sample*, called *name*, in the working folder."""
    told: list[str] = []

    def note(event: Any) -> None:
        if isinstance(event, Notice):
            told.append(f"{event.id} {event.text}")

    options = RunOptions(inputs=(name,), **sample.how)
    template = None if sample.template is None else asking(sample.template)
    defaults = Defaults(
        max_tokens=100,
        text=options.text,
        format=options.input_format,
        template=template,
    )
    try:
        with tempfile.TemporaryDirectory() as place:
            return _read(options, defaults, Path(place), note, told)
    except ClaudebatchError as error:
        return Outcome(said=(*told, f"{error.id} {error.message.partition(chr(10))[0]}"))


def _read(
    options: RunOptions, defaults: Defaults, place: Path, note: Any, told: list[str]
) -> Outcome:
    (file,) = PreparedInputs(options, place, note).files()
    form = format_of(file.path, defaults, name=file.name)
    bad, prompts = BadLines(), []
    for record in form.records(file.path):
        try:
            prompts.append(
                parse_line(record.data, defaults, file=file.name, line=record.number, form=form)
            )
        except BadRow as error:
            bad.add(*place_of(form, file.name, record), error.problems)
    first = prompts[0].params["messages"][-1]["content"] if prompts else ""
    return Outcome(form.name, len(prompts), str(first), (*told, *_said(bad)))


def _said(bad: BadLines) -> Iterator[str]:
    for number, equal in enumerate(bad):
        if number == _PROBLEMS_SHOWN:
            yield "…"
            return
        yield f"{equal.file}:{equal.lines}: {equal.problem.id} {equal.problem.reason}"


def outcomes(samples: dict[str, Sample]) -> dict[str, Outcome]:
    """What becomes of each, written into a folder of its own."""
    found = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, sample in samples.items():
                _write(Path(name), sample.data)
                found[name] = outcome(name, sample)
        finally:
            os.chdir(before)
    return found


def _write(path: Path, data: Any) -> None:
    if isinstance(data, bytes):
        path.write_bytes(data)
        return
    for inner, content in data.items():
        (path / inner).parent.mkdir(parents=True, exist_ok=True)
        (path / inner).write_bytes(content)


def field_samples() -> dict[str, Sample]:
    """The files from the field, where they are."""
    files = sorted(FIELD.iterdir()) if FIELD.is_dir() else []
    return {path.name: Sample(path.read_bytes()) for path in files}


def own_part() -> str:
    """The page down to the files from the field."""
    count = sum(map(len, SECTIONS.values()))
    text = (
        f"# What becomes of files\n\n{count} files as people have them, made by "
        "`corpus_files.py`, and those of the field.\n`python -m tests.inputs.corpus` writes this "
        "page. “…” is the first prompt.\n"
    )
    for heading, samples in SECTIONS.items():
        text += f"\n## {heading}\n\n{_table(outcomes(samples))}"
    return text + "\n"


def field_part() -> str:
    """The rest; without their content, which is not ours to show."""
    found = outcomes(field_samples())
    kept = {
        name: Outcome(one.kind, one.rows, "", tuple(said.partition(" (")[0] for said in one.said))
        for name, one in found.items()
    }
    return f"{FIELD_HEADING}\n{_table(kept)}"


def _table(found: dict[str, Outcome]) -> str:
    rows = "".join(one.cells(name) for name, one in found.items())
    return (
        f"| file | is read as | rows | first prompt, and what is said |\n|---|---|---|---|\n{rows}"
    )


def main() -> None:
    """Write the page."""
    field = (
        field_part()
        if FIELD.is_dir()
        else FIELD_HEADING + PAGE.read_text("utf-8").partition(FIELD_HEADING)[2]
    )
    PAGE.write_text(own_part() + field, encoding="utf-8")


if __name__ == "__main__":
    main()
