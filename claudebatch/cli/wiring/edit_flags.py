"""`--model-map`, `--drop` and `--var`, read from their text."""

from __future__ import annotations

from collections.abc import Sequence

from claudebatch.core.errors import ClaudebatchError


def parts(text: str | None) -> tuple[str, ...]:
    """The parts of *text* between its commas, empty ones left out."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def model_pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """The pairs `A=B` of *text*. Raises `ClaudebatchError`."""
    return tuple(map(_pair, parts(text)))


def _pair(text: str) -> tuple[str, str]:
    model, _, other = (part.strip() for part in text.partition("="))
    if not model or not other:
        raise ClaudebatchError(
            "E029",
            f"--model-map: {text!r} is not OLD=NEW",
            fix="write gpt-4o-mini=haiku,gpt-4o=opus",
        )
    return model, other


def constants(texts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """The pairs of *texts*, each NAME=VALUE. Raises `ClaudebatchError`."""
    return tuple(map(_constant, texts or ()))


def _constant(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise ClaudebatchError(
            "E037", f"--var: {text!r} is not NAME=VALUE", fix="write --var language=German"
        )
    return name.strip(), value
