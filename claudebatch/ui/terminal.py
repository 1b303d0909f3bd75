"""A stream we talk to: is it a terminal, may it be animated, may it be coloured, how
wide is it.

Colour and animation are two questions. `NO_COLOR` takes the colour and leaves the
progress; `FORCE_COLOR` colours a pipe and must not animate it: a log full of cursor
movements is what rich makes of it when asked directly. Talk never fails: it is not
worth a run. A closed terminal, a broken pipe or a full disk behind the stream silences
it. Reports on stdout are data, whose loss must be known: those terminals are made with
`must_write`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TextIO

from claudebatch.ui.sanitise import visible
from claudebatch.ui.wrapping import broken

if TYPE_CHECKING:
    from rich.console import Console

Colour = Literal["auto", "always", "never"]

_SGR = {
    "error": "\x1b[1;31m",
    "failed": "\x1b[31m",
    "warning": "\x1b[33m",
    "hint": "\x1b[36m",
    "good": "\x1b[32m",
}
_RESET = "\x1b[0m"
# Letters of ours that ASCII lacks, with a stand-in that reads the same.
_PLAIN_LETTERS = str.maketrans(
    {
        "·": "|",
        "…": "...",
        "→": "->",
        "–": "-",
        "±": "+/-",
        "×": "x",
        "━": "=",
        "╸": ">",
        "─": "-",
    }
)


class SafeStream:
    """A text stream whose writes never raise (but with *must_write*); the first real
    failure silences it for good.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        must_write: bool = False,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self._stream = stream
        self._on_broken = on_broken
        self._must_write = must_write
        # Mutable state, set by the first failed write.
        self.broken = False

    @property
    def encoding(self) -> str:
        """The stream's encoding; rich asks for it."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def plain(self) -> bool:
        """Whether it has ASCII letters at most: then bars are drawn of those."""
        try:
            # By trying: encodings that have blocks are too many to list.
            "█▁".encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            return True
        return False

    def isatty(self) -> bool:
        """Whether a terminal is behind it; a closed stream is none."""
        try:
            return self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """The file descriptor; raises `OSError` where there is none."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write *text* in the stream's own letters, or drop it."""
        # A lone surrogate in a file name would raise in the middle of a run.
        self._try(lambda: self._stream.write(_encodable(text, self.encoding)))
        return len(text)

    def flush(self) -> None:
        """Flush, or fall silent."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self.broken:
            return
        try:
            action()
        except BlockingIOError:
            if self._must_write:
                raise
            # A full pipe that must not block: this text is lost, the next may pass.
        except (OSError, ValueError):
            if self._must_write:
                raise
            self.broken = True
            if self._on_broken is not None:
                self._on_broken()


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN_LETTERS).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode("ascii")
    return text


class Terminal:
    """The properties of one output stream, and the only way to print on it."""

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str],
        *,
        colour: Colour = "auto",
        must_write: bool = False,
    ) -> None:
        self._environment = environment
        self.stream = SafeStream(stream, must_write=must_write)
        self.is_terminal = self.stream.isatty()
        self.is_dumb = environment.get("TERM", "").lower() in ("dumb", "unknown")
        self.animates = self.is_terminal and not self.is_dumb
        self.coloured = self._wants_colour(colour)

    def _wants_colour(self, colour: Colour) -> bool:
        if colour != "auto":
            return colour == "always"
        # Set and not empty, as no-color.org defines it.
        if self._environment.get("NO_COLOR") or self.is_dumb:
            return False
        if (
            self._environment.get("FORCE_COLOR")
            or self._environment.get("CLICOLOR_FORCE", "0") != "0"
        ):
            return True
        return self.is_terminal and self._environment.get("CLICOLOR") != "0"

    @property
    def width(self) -> int:
        """Columns: the terminal's own, else `COLUMNS`, else 80. Asked anew each time,
        for windows change.
        """
        try:
            # Not shutil's: that one asks stdout, which may be a file.
            columns = os.get_terminal_size(self.stream.fileno()).columns if self.is_terminal else 0
        except (OSError, ValueError):
            columns = 0
        stated = self._environment.get("COLUMNS", "")
        # A terminal of no columns is what some CI systems report.
        return columns or (int(stated) if stated.isdecimal() else 0) or 80

    @property
    def columns(self) -> int:
        """The width that a table has to fit; 0 without a screen: a pipe gets it all."""
        return self.width if self.is_terminal else 0

    def say(self, *lines: str, style: str | None = None) -> None:
        """Print *lines*, each sanitised, whole and on a line of its own."""
        self.say_all(lines, style=style)

    def say_all(self, lines: Iterable[str], *, style: str | None = None) -> None:
        """Print *lines* in one write, so that nothing comes between them."""
        self.say_styled((line, style) for line in lines)

    def say_styled(self, lines: Iterable[tuple[str, str | None]]) -> None:
        """The same of lines that have a style each."""
        text = "".join(self._styled(visible(line), style) + "\n" for line, style in lines)
        if text:
            self.stream.write(text)
            self.stream.flush()

    def _styled(self, line: str, style: str | None) -> str:
        return f"{_SGR[style]}{line}{_RESET}" if style and self.coloured else line

    def tell(self, lines: Iterable[str], *, style: str | None = None) -> None:
        """Print *lines* like `say_all`; on a terminal none is broken inside a word."""
        width = self.width
        if self.is_terminal:
            lines = [part for line in lines for part in broken(visible(line), width)]
        self.say_all(lines, style=style)

    def console(self) -> Console:
        """A rich console on this stream that obeys what is decided here; the first call
        imports rich.
        """
        # Rich is heavy: only a live display pays for it.
        from rich.console import Console  # noqa: PLC0415

        return Console(
            # Rich asks for four methods of a text stream.
            file=self.stream,  # type: ignore[arg-type]
            force_terminal=self.animates,
            force_interactive=self.animates,
            force_jupyter=False,
            # Sixteen colours: those that the user chose for dark or light.
            color_system="standard" if self.coloured else None,
            no_color=not self.coloured,
            legacy_windows=False,
            # Ids and messages hold brackets and colons that are none of rich's.
            markup=False,
            emoji=False,
            highlight=False,
            _environ=self._environment,
        )
