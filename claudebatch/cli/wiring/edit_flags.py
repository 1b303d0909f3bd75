"""`--model-map` and `--drop`: the changes to every line, read from their text."""

from __future__ import annotations

from claudebatch.core.errors import ClaudebatchError
from claudebatch.inputs import LineEdits


def line_edits(model_map: str | None, drop: str | None) -> LineEdits:
    """The edits that the options ask for. Raises `ClaudebatchError`."""
    return LineEdits(
        model_map=dict(_pair(text) for text in _parts(model_map)), drop=frozenset(_parts(drop))
    )


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    # The first sign: no name of a model of ours has one.
    model, _, other = (part.strip() for part in text.partition("="))
    if not model or not other:
        raise ClaudebatchError(
            f"--model-map: {text!r} names no two models", fix="write gpt-4o-mini=haiku,gpt-4o=opus"
        )
    return model, other
