"""How the lines of a run's input are read."""

from __future__ import annotations

from claudebatch.config.settings import Settings
from claudebatch.inputs import Defaults, Template
from claudebatch.setup.run_options import RunOptions


def read_as(options: RunOptions, settings: Settings) -> Defaults:
    """What the command and the configuration say of lines. Raises `ConfigError`."""
    source = settings.template if options.template is None else options.template
    template = None
    if source is not None:
        template = Template.parsed(source, dict(options.var))
    return Defaults(
        max_tokens=settings.max_tokens,
        system=settings.system,
        text=options.text,
        format=options.input_format,
        check=not options.no_check,
        edits=options.edits,
        extra=options.extra,
        template=template,
    )
