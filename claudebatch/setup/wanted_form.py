"""The form that the answers of a run are wanted in, checked before anything is sent."""

from __future__ import annotations

from typing import Any

from claudebatch.config.settings import Settings
from claudebatch.core.errors import ConfigError, all_at_once
from claudebatch.core.jsonl import InvalidJson, decode
from claudebatch.inputs.schema_words import KNOWN_TYPES, BadWords, schema_in_words
from claudebatch.layers.structured_answers.extraction import BadExtract, check_extract
from claudebatch.layers.structured_answers.validation import BadSchema, check_schema
from claudebatch.models.api_rules.closed_schemas import output_schema
from claudebatch.setup.run_options import RunOptions

_EXAMPLE = "write --schema 'name, age int, tags [str]', or the name of a JSON file"


def wanted_schema(options: RunOptions, settings: Settings) -> dict[str, Any] | None:
    """The schema that all answers have to fit; None: there is none. Raises
    `ConfigError`.
    """
    if options.schema is None:
        return None if settings.schema is None else read_schema(settings.schema, "schema")
    return read_schema(options.schema.text, options.schema.name)


def read_schema(text: str, name: str) -> dict[str, Any]:
    """The schema of *text*, JSON or a few words, called *name*. Raises `ConfigError`
    with everything that the API would refuse of it.
    """
    schema = _json(text, name) if text.lstrip()[:1] in ("{", "[") else _words(text, name)
    faults = [
        ConfigError("E193", f"{name}: {problem.reason}", fix=problem.fix)
        for problem in output_schema(schema)
    ]
    if not faults:
        try:
            check_schema(schema)
        except BadSchema as error:
            reason = f"{name} is no JSON schema: {error}"
            faults.append(ConfigError("E192", reason, fix="correct it there"))
    if faults:
        raise all_at_once(faults)
    return schema


def wanted_extract(options: RunOptions, settings: Settings) -> str:
    """What is to be found in all answers; empty: nothing. Raises `ConfigError`."""
    wanted = options.extract or settings.extract or ""
    if not wanted:
        return ""
    if options.schema is not None or settings.schema is not None:
        raise ConfigError(
            "E195",
            "a schema and extract are both given: an answer that fits a schema has no prose",
            fix="give one of them",
        )
    try:
        check_extract(wanted)
    except BadExtract as error:
        raise ConfigError(
            "E194",
            f"extract: {error}",
            fix="write json, code, xml:answer or regex:'Answer: (.*)'",
        ) from error
    return wanted


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        schema = decode(text.encode())
        reason = "no JSON object"
    except InvalidJson as error:
        schema, reason = None, str(error)
    if not isinstance(schema, dict):
        raise ConfigError("E196", f"{name} is {reason}", fix=_EXAMPLE)
    return schema


def _words(text: str, name: str) -> dict[str, Any]:
    try:
        return schema_in_words(text)
    except BadWords as error:
        raise ConfigError(
            "E191", f"{name}: {error}", fix=f"{_EXAMPLE}; types are {KNOWN_TYPES}"
        ) from error
