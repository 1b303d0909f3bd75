"""Whether a value fits a JSON schema, in the sentences of jsonschema-rs. Pure: the same
schema and value give the same sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from claudebatch.core.jsonl import decode, encode

if TYPE_CHECKING:
    import jsonschema_rs

# Compiled schemas that are kept. A file mostly has one; one with a schema of its own in
# each line must not fill the memory.
_MOST_SCHEMAS = 64
# The sentence goes back to the model, which pays for it, and into the result line.
MOST_FAULTS = 3
LONGEST_FAULT = 300
"""Characters of one."""
# A pattern of a schema may not take for ever on an answer.
_BACKTRACKS = 100_000


class BadSchema(ValueError):
    """What is given as a schema is none; the text is the reason."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `BadSchema` for a schema that no value can be held against."""
    _validator(encode(schema))


def faults(schema: Mapping[str, Any], value: Any) -> str:
    """Why *value* does not fit *schema*, in one sentence; empty: it does. Raises
    `BadSchema`.
    """
    found = _validator(encode(schema)).iter_errors(value)
    return "; ".join(_sentence(error) for error in islice(found, MOST_FAULTS))


@lru_cache(maxsize=_MOST_SCHEMAS)
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    # Not at the start: most runs have no schema.
    import jsonschema_rs  # noqa: PLC0415

    try:
        return jsonschema_rs.Draft202012Validator(
            decode(schema),
            validate_formats=True,
            # A schema may name another document: nothing is fetched for it, and no file
            # of this machine is read.
            offline=True,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        reason = str(getattr(error, "message", error))
        path: Iterable[str | int] = getattr(error, "instance_path", ())
        raise BadSchema(_placed(path, reason)) from error


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    return _placed(error.instance_path, error.message)


def _placed(path: Iterable[str | int], reason: str) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    words = " ".join(reason.split())
    said = f"{where.removeprefix('.')}: {words}" if where else words
    return said if len(said) <= LONGEST_FAULT else f"{said[: LONGEST_FAULT - 1]}…"
