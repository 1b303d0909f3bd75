"""The list of models held against the installed SDK: a model, an alias or an end of
life that only the SDK knows fails here.
"""

from datetime import UTC, datetime
from typing import get_args

from anthropic.types.model import Model
from anthropic.types.organization.allowed_inference_geo import AllowedInferenceGeo

from claudebatch.models.api_rules.places import GEOGRAPHIES
from claudebatch.models.catalog import Catalog

CATALOG = Catalog.load()
# Newer than the list of the SDK are none; it drops what is retired only later.
_NAMES = {name for part in get_args(Model) for name in get_args(part)}


def test_the_models_and_aliases_are_those_of_the_sdk():
    ours = {name for facts in CATALOG for name in (facts.id, *facts.aliases)}
    assert ours == _NAMES


def test_the_days_of_retirement_are_those_of_the_sdk():
    from anthropic._data.deprecated_models import DEPRECATED_MODELS

    theirs = {name: _day(text) for name, text in DEPRECATED_MODELS.items()}
    ours = {
        name: facts.retires_at
        for facts in CATALOG
        for name in (facts.id, *facts.aliases)
        if facts.retires_at is not None
    }
    assert ours == theirs


def _day(text: str) -> str:
    month, day, year = text.replace(",", "").split()
    plain = f"{month} {day.rstrip('dhnrst')} {year}"
    return datetime.strptime(plain, "%B %d %Y").replace(tzinfo=UTC).date().isoformat()


def test_the_geographies_are_those_of_the_sdk():
    assert set(get_args(AllowedInferenceGeo)) == set(GEOGRAPHIES)
