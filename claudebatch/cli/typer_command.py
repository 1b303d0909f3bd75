"""A command with many options, written as a function of one frozen dataclass.

typer reads a command's options from its signature. The signature is made from the
dataclass's fields, so that the options are named once and travel as one object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, get_type_hints

FlagsT = TypeVar("FlagsT")


def typer_command(
    kind: type[FlagsT],
    *,
    without: Collection[str] = (),
    instead: Mapping[str, Any] | None = None,
) -> Callable[[Callable[[FlagsT], None]], Callable[..., None]]:
    """Make a function of one *kind* a command with an option for each of its fields.

    Fields named in *without* are no options of this command and stay at their
    defaults; *instead* has the annotations that differ here.
    """
    annotations = get_type_hints(kind, include_extras=True) | dict(instead or {})
    parameters = [
        _parameter(field, annotations[field.name])
        for field in fields(kind)  # type: ignore[arg-type]  # a dataclass, which no type says
        if field.name not in without
    ]

    def decorate(function: Callable[[FlagsT], None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            function(kind(**given))

        # Not functools.wraps: it would show typer the one parameter beneath.
        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        command.__module__ = function.__module__
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        vars(command)["__signature__"] = inspect.Signature(parameters)
        return command

    return decorate


def _parameter(field: Field[Any], annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=annotation,
    )
