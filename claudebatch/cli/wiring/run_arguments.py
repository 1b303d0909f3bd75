"""The flags of `run` and `estimate`, sorted into options of the run and
configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from claudebatch.cli.options import Redo, names
from claudebatch.cli.run_flags import RunFlags
from claudebatch.cli.wiring.edit_flags import constants, model_pairs, parts
from claudebatch.cli.wiring.schema_flag import named_schema
from claudebatch.cli.wiring.text_or_file import jinja_file, system_prompt, text_or_file
from claudebatch.inputs import Selection
from claudebatch.setup.chosen_rows import chosen_rows
from claudebatch.setup.globs import expanded
from claudebatch.setup.run_options import RunOptions


def run_options(flags: RunFlags) -> RunOptions:
    """What of *flags* is no configuration."""
    return RunOptions(
        inputs=expanded(flags.inputs, _written(flags.output)),
        output=flags.output,
        output_format=flags.output_format,
        columns=names(flags.columns),
        no_escape=flags.no_escape,
        model=flags.model,
        limit=flags.limit,
        selection=_selection(flags),
        text=flags.text,
        shape=flags.shape,
        template=text_or_file(flags.template, "-t"),
        var=constants(flags.var),
        jinja=tuple(_jinja(flags)),
        examples=flags.examples,
        schema=named_schema(flags.schema),
        extract=flags.extract,
        extra=flags.extra,
        input_format=flags.input_format,
        sheet=flags.sheet,
        each_file=flags.each_file,
        no_check=flags.no_check,
        simulate=flags.simulate,
        fresh=flags.fresh,
        retry_failed=flags.retry_failed,
        retry_cut=flags.retry_cut,
        strict_endings=flags.strict_endings,
        redo="changed" if flags.redo is Redo.changed else None,
        no_cache=flags.no_cache,
        refresh_cache=flags.refresh_cache,
        ordered=flags.ordered,
        count_rows=flags.count_rows,
        unknown=flags.unknown.value,
        allow_unknown_model=flags.allow_unknown_model,
        model_map=model_pairs(flags.model_map),
        drop=parts(flags.drop),
        fail_on_empty=flags.fail_on_empty,
        exit_zero=flags.exit_zero,
        max_failures=flags.max_failures,
        detach=flags.detach,
        deadline=flags.deadline,
        # Rows that are about to be attached must not be sent beside it.
        collect=flags.collect or flags.attach is not None,
        attach=flags.attach or "",
        retry_batches=flags.retry_batches,
        command=("claudebatch", *sys.argv[1:]),
    )


def _selection(flags: RunFlags) -> Selection:
    return chosen_rows(
        rows=flags.rows,
        ids=None if flags.id is None else parts(flags.id),
        where=flags.where or (),
        sample=flags.sample,
        seed=flags.seed,
        limit=flags.limit,
    )


def _jinja(flags: RunFlags) -> Iterator[tuple[str, str]]:
    """The texts that come from files of Jinja2."""
    for name, given in (("template", flags.template), ("system", flags.system)):
        file = jinja_file(given)
        if file is not None:
            yield name, file


def _written(output: str | None) -> list[Path]:
    return [] if output is None or output == "-" else [Path(output)]


def config_flags(flags: RunFlags) -> dict[str, Any]:
    """What of *flags* wins over a configuration file, by its key there; None: was not
    said.
    """
    return {
        "system": system_prompt(flags.system),
        "max_tokens": flags.max_tokens,
        "budget": flags.budget,
        "image": flags.image or None,
        "document": flags.document or None,
        "files_root": flags.files_root,
        "repeat": flags.repeat,
        "schema_retries": flags.schema_retries,
        "tag": flags.tag,
        "concurrency": flags.concurrency,
        # The text of the option, as a file would have it.
        "on_bad_row": None if flags.on_bad_row is None else flags.on_bad_row.value,
        "max_outage": flags.max_outage,
        "stop_after": flags.stop_after,
        "prompt_caching": flags.prompt_caching,
        "via": "batch" if flags.batch else flags.via,
    }
