"""Settings of the pace: nothing need be configured, and what cannot be meant is
refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebatch.config.load import load
from claudebatch.config.sections import Config
from claudebatch.core.errors import ConfigError
from tests.support.settings import settings_of


def read(tmp_path: Path, text: str, **flags: object) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, flags, env={}, folder=Path("/nonexistent")).config


def test_by_default_limits_and_requests_in_flight_are_found_out_and_nothing_is_left_to_others():
    config = Config()
    assert (config.limits.tier, config.limits.headroom, config.concurrency) == (
        "auto",
        "0%",
        "auto",
    )


@pytest.mark.parametrize("tier", ["auto", "start", "build", "scale", "none"])
def test_every_tier_can_be_named(tmp_path: Path, tier: str):
    assert read(tmp_path, f"limits: {{tier: {tier}}}\n").limits.tier == tier


@pytest.mark.parametrize("headroom", ["10%", "0%", 0.1, 0])
def test_headroom_is_a_share(tmp_path: Path, headroom: object):
    assert read(tmp_path, f"limits: {{headroom: {headroom}}}\n").limits.headroom == headroom


@pytest.mark.parametrize("headroom", ["100%", 1, "120%", "-5%", "some"])
def test_who_leaves_everything_to_others_is_refused(tmp_path: Path, headroom: object):
    with pytest.raises(ConfigError, match=r"c\.yaml:1: .*limits\.headroom"):
        read(tmp_path, f"limits: {{headroom: {headroom}}}\n")


def test_requests_in_flight_are_a_number_or_auto_and_the_flag_wins(tmp_path: Path):
    assert read(tmp_path, "concurrency: 5\n").concurrency == 5
    assert read(tmp_path, "concurrency: auto\n").concurrency == "auto"
    assert read(tmp_path, "concurrency: auto\n", concurrency=7).concurrency == 7


@pytest.mark.parametrize(("text", "watches"), [("auto", True), ("off", False), ("'off'", False)])
def test_watching_answers_is_switched_off_by_a_word(tmp_path: Path, text: str, watches: bool):
    limits = settings_of(limits=yaml_of(tmp_path, text)).limits
    assert limits.watch_output is watches


def yaml_of(tmp_path: Path, text: str) -> dict[str, object]:
    return {
        "watch_output": read(tmp_path, f"limits: {{watch_output: {text}}}\n").limits.watch_output
    }


@pytest.mark.parametrize("text", ["on", "always", "3"])
def test_watching_answers_is_auto_or_off(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match=r"c\.yaml:1: .*limits\.watch_output"):
        read(tmp_path, f"limits: {{watch_output: {text}}}\n")
