"""Templates in Jinja2, for what `{column}` cannot say: conditions, loops, filters. The
one room that knows the package.

Nothing of a row can do anything here: the sandbox refuses attributes that lead out of
it, and values are never read as templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from traceback import walk_tb
from typing import Any

from claudebatch.core.errors import BadRow, ConfigError, Problem
from claudebatch.inputs.template import columns_shown

SUFFIX = ".j2"
_FILE = "<template>"


@dataclass(frozen=True, slots=True)
class JinjaTemplate:
    """A text that Jinja2 makes of a row's columns. A column that is missing is an
    error, and null is nothing.
    """

    source: str
    columns: frozenset[str]
    """The names that it takes from outside, constants left out."""
    constants: Mapping[str, str]
    _compiled: Any

    @classmethod
    def parsed(
        cls, source: str, constants: Mapping[str, str] | None = None, *, name: str = "the template"
    ) -> JinjaTemplate:
        """The template that *source* spells, called *name*. Raises `ConfigError`."""
        try:
            # An extra, and slow to load.
            from jinja2 import StrictUndefined, TemplateSyntaxError, meta  # noqa: PLC0415
            from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                "E182",
                f"{name} ends in {SUFFIX}, and Jinja2 is not installed",
                fix="pip install 'claudebatch[jinja]', or write {column} in a file of another name",
            ) from error
        # Prompts are no HTML: nothing is escaped.
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            autoescape=False,
            finalize=lambda value: "" if value is None else value,
        )
        try:
            named = meta.find_undeclared_variables(environment.parse(source))
            compiled = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ConfigError(
                "E183", f"{name}:{error.lineno}: {error.message}", fix="see Jinja2's own pages"
            ) from error
        known = constants or {}
        return cls(source, frozenset(named) - known.keys(), known, compiled)

    @property
    def is_constant(self) -> bool:
        """Whether it is the same text for every row."""
        return not self.columns

    def filled(self, row: Mapping[str, Any]) -> str:
        """The text for *row*. Raises `BadRow`."""
        values = {**row, **self.constants}
        try:
            text: str = self._compiled.render(values)
        except Exception as error:
            # Whatever a filter or a loop meets in a value of another kind.
            raise BadRow(_problem(error, values)) from error
        return text


def _problem(error: Exception, values: Mapping[str, Any]) -> Problem:
    lines = [line for frame, line in walk_tb(error.__traceback__) if _is_ours(frame)]
    place = f" in line {lines[-1]} of the template" if lines else ""
    reason = str(error) or type(error).__name__
    return Problem("E184", f"{reason}{place}", f"the row has {columns_shown(values)}")


def _is_ours(frame: Any) -> bool:
    return bool(frame.f_code.co_filename == _FILE)
