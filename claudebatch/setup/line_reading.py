"""How the lines of a run's input are read."""

from __future__ import annotations

from pathlib import Path

from claudebatch.config.settings import Settings
from claudebatch.inputs import Defaults, RowTemplate
from claudebatch.inputs.attached_files import FileColumns
from claudebatch.inputs.examples import read_examples
from claudebatch.inputs.jinja_template import JinjaTemplate
from claudebatch.inputs.row_template import TextTemplate, TurnTemplate
from claudebatch.inputs.template import Template
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.wanted_form import wanted_extract, wanted_schema


def read_as(options: RunOptions, settings: Settings) -> Defaults:
    """What the command and the configuration say of lines. Raises
    `ClaudebatchError`.
    """
    system, template = settings.system, _template(options, settings)
    if template is not None and template.system is not None:
        # What a template makes is the row's own; no other one stands in for it.
        system = None
    elif system is not None and _is_template(options, settings):
        system = _text(options, "system", system).filled({})
    return Defaults(
        max_tokens=settings.max_tokens,
        system=system,
        text=options.text,
        format=options.input_format,
        check=not options.no_check,
        edits=options.edits,
        extra=options.extra,
        shape=options.shape,
        template=template,
        files=FileColumns(settings.image, settings.document, settings.files_root),
        repeat=settings.repeat,
        schema=wanted_schema(options, settings),
        extract=wanted_extract(options, settings),
    )


def _template(options: RunOptions, settings: Settings) -> RowTemplate | None:
    turns = _turns(options, settings)
    system = None
    if settings.system is not None and _is_template(options, settings):
        made = _text(options, "system", settings.system)
        system = None if made.is_constant else made
    found = RowTemplate(turns, system, (), options.var)
    if options.examples is not None:
        pairs = read_examples(Path(options.examples), found.question())
        found = RowTemplate(turns, system, pairs, options.var)
    # Without any, lines are read the fast way.
    return found if turns or system is not None or found.examples else None


def _is_template(options: RunOptions, settings: Settings) -> bool:
    """Whether the system prompt is one. Beside rows with prompts of their own it stands
    as it is: braces are common in it.
    """
    asks = options.template is not None or settings.template is not None or settings.messages
    return bool(settings.system) and ("system" in dict(options.jinja) or bool(asks))


def _turns(options: RunOptions, settings: Settings) -> tuple[TurnTemplate, ...]:
    if options.template is not None:
        return (TurnTemplate("user", _text(options, "template", options.template)),)
    if settings.template is not None:
        return (TurnTemplate("user", Template.parsed(settings.template, dict(options.var))),)
    return tuple(
        TurnTemplate(turn.role, Template.parsed(turn.content, dict(options.var)))
        for turn in settings.messages
    )


def _text(options: RunOptions, name: str, source: str) -> TextTemplate:
    """The template *source* of the option *name*, in the language of its file."""
    constants = dict(options.var)
    file = dict(options.jinja).get(name)
    if file is not None:
        return JinjaTemplate.parsed(source, constants, name=file)
    return Template.parsed(source, constants)
