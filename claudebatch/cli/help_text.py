"""Help that can be copied from: no line is broken inside a word or a command, at any
width of the terminal.

The option parser's own wrapping breaks `-m claude-haiku-5-5` at a hyphen.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from claudebatch.ui.wrapping import wrapped, wrapped_command

# Which class that is, and of which module, differs between the versions of typer.
_Formatter: Any = typer.Context.formatter_class
_NARROWEST = 30
_WIDEST = 110
# The column of option names takes no more than this.
_NAMES = 30
_TWO_COLUMNS = 58
# A type that says nothing to a reader.
_LIST = " <list[str]>"
# Deeper than this, a line of a help text is an example or an item of a list.
_ITEM_INDENT = 4


class _HelpFormatter(_Formatter):  # type: ignore[misc]  # only known when it runs
    """Writes help texts and lists of options in whole words."""

    def __init__(self, indent_increment: int = 2, **widths: int | None) -> None:
        columns = min(shutil.get_terminal_size().columns, _WIDEST)
        widths["width"] = widths.get("width") or max(columns - 2, _NARROWEST)
        super().__init__(indent_increment, **widths)

    def write_text(self, text: str) -> None:
        """Write the paragraphs of *text*: examples line by line, the others filled."""
        items_before = False
        for number, paragraph in enumerate(_paragraphs(text)):
            items = paragraph[0].startswith(" " * _ITEM_INDENT)
            # Examples stand in one block.
            if number and not (items and items_before):
                self.write("\n")
            for line in self._item_lines(paragraph) if items else self._filled(paragraph):
                self.write(line + "\n")
            items_before = items

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = _NAMES, col_spacing: int = 2
    ) -> None:
        """Write names and what they mean in two columns."""
        margin = " " * self.current_indent
        rows = [(name.removesuffix(_LIST), meaning) for name, meaning in rows]
        longest = max((len(name) for name, _ in rows), default=0)
        # Where two columns were words under words, meanings stand below names.
        beside = self.width >= _TWO_COLUMNS
        column = min(longest, col_max) + col_spacing if beside else _ITEM_INDENT
        indent = margin + " " * column
        for name, meaning in rows:
            first = f"{margin}{name:<{column}}"
            if len(name) > column - col_spacing:
                self.write(margin + name + "\n")
                first = indent
            for line in wrapped(meaning, self.width, first=first, indent=indent):
                self.write(line + "\n")

    def _filled(self, paragraph: Sequence[str]) -> list[str]:
        margin = " " * self.current_indent
        text = " ".join(line.strip() for line in paragraph)
        return wrapped(text, self.width, first=margin, indent=margin)

    def _item_lines(self, paragraph: Sequence[str]) -> Iterator[str]:
        for line in paragraph:
            item = line.strip()
            margin = " " * (self.current_indent + _ITEM_INDENT)
            if "claudebatch " in item:
                yield from wrapped_command(item, self.width, first=margin, indent=margin + "  ")
                continue
            # The second column of a list, if it is one.
            deeper = margin + " " * (item.rfind("  ") + 2 if "  " in item else 0)
            first, _, rest = item.rpartition("  ")
            start = margin + first + "  " if first else margin
            yield from wrapped(rest, self.width, first=start, indent=deeper)


class _HelpContext(typer.Context):
    formatter_class = _HelpFormatter


class _WholeWords:
    """What commands and groups of them have in common."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence in full: the list of commands breaks lines itself."""
        del limit
        return super().get_short_help_str(1000)  # type: ignore[misc,no-any-return]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What may stand behind the command's name; without braces around a name."""
        pieces = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [piece.replace("{", "").replace("}", "") for piece in pieces]


class HelpCommand(_WholeWords, TyperCommand):
    """A command with such help."""

    context_class = _HelpContext


class HelpGroup(_WholeWords, TyperGroup):
    """Commands under one name, with such help."""

    context_class = _HelpContext


def _paragraphs(text: str) -> Iterator[list[str]]:
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        if lines:
            yield lines
