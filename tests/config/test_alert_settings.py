"""Where alerts may go: only what can work, and only from a file that its user has
named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebatch.config.load import load
from claudebatch.core.errors import ConfigError
from tests.support.settings import settings_of

HOOK = "https://alerts.example.com/T0/secret-part"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (f"model: x\nalerts:\n  webhook: {HOOK}\n", 3, "alerts.webhook"),
        ("alerts:\n  at_percent: [50]\n  command: [touch, x]\n", 3, "alerts.command"),
        ("alerts: {command: [touch, x]}\n", 1, "alerts.command"),
        ("cache: &a {ttl: 1h}\nalerts:\n  <<: {command: [touch, x]}\n", 2, "alerts.command"),
    ],
)
def test_a_file_that_was_only_found_may_not_name_who_gets_alerts(project, text, line, key):
    file = project / "claudebatch.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(None, {}, env={}, folder=project)
    assert refused.value.message.startswith(f"{file}:{line}: {key} cannot be set")
    assert "-c" in refused.value.fix
    assert "config.yaml" in refused.value.fix
    assert "secret-part" not in refused.value.message + refused.value.fix


def test_the_same_file_may_once_its_user_names_it(project):
    file = project / "claudebatch.yaml"
    file.write_text(f"alerts:\n  webhook: {HOOK}\n  command: [notify-me]\n")
    named = load(file, {}, env={}, folder=project)
    by_variable = load(None, {}, env={"CLAUDEBATCH_CONFIG": str(file)}, folder=project)
    assert named.settings.alerts == by_variable.settings.alerts
    assert named.settings.alerts.sinks.command == ("notify-me",)


def test_the_users_own_file_may(project, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("HOME", str(tmp_path))
    from claudebatch.config.paths import Paths

    own = Paths.from_environment({}).user_config
    own.parent.mkdir(parents=True)
    own.write_text(f"alerts: {{webhook: '{HOOK}'}}\n")
    assert load(None, {}, env={}, folder=project).settings.alerts.sinks.webhook == HOOK


def test_a_found_file_may_say_that_nobody_gets_alerts(project):
    (project / "claudebatch.yaml").write_text(
        "alerts:\n  webhook: null\n  command: null\n  at_percent: [90]\n"
    )
    assert load(None, {}, env={}, folder=project).settings.alerts.at_percent == (90,)


@pytest.mark.parametrize(
    "url", [HOOK, "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/", "https://h:8443"]
)
def test_https_and_this_machine_itself_are_addresses(tmp_path, url):
    file = tmp_path / "c.yaml"
    file.write_text(f"alerts: {{webhook: '{url}'}}\n")
    assert load(file, {}, env={}, folder=tmp_path).settings.alerts.sinks.webhook == url


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("alerts: {webhook: 'http://alerts.example.com/secret'}", "must use https"),
        ("alerts: {webhook: 'http://127.0.0.1.example.com/secret'}", "must use https"),
        ("alerts: {webhook: 'http://10.0.0.1/secret'}", "must use https"),
        ("alerts: {webhook: 'ftp://h/secret'}", "is not a web address"),
        ("alerts: {webhook: 'file:///secret'}", "is not a web address"),
        ("alerts: {webhook: 'https://'}", "is not a web address"),
        ("alerts: {webhook: 'https://h:99999/secret'}", "is not a web address"),
        ("alerts: {webhook: 'https://[::1/secret'}", "is not a web address"),
        ("alerts: {webhook: ''}", "is not a web address"),
        ("alerts: {webhook: 'https://u:secret@h/'}", "user name"),
        ("alerts: {webhook: 'https://h/secret x'}", "cannot contain spaces"),
        ('alerts: {webhook: "https://h/\\r\\nX-A: secret"}', "cannot contain spaces"),
        ("alerts: {webhook: 'https://hé/secret'}", "non-ASCII"),
        ("alerts: {command: []}", "must start with a program"),
        ("alerts: {command: ['']}", "must start with a program"),
        ('alerts: {command: ["a\\0b"]}', "NUL"),
        ("alerts: {command: 'rm -rf x'}", "expected a list"),
        ("alerts: {at_percent: [0]}", "expected a whole number of at least 1"),
        ("alerts: {at_percent: [101]}", "expected a whole number of at most 100"),
        ("alerts: {timeout: 0}", "must be above 0"),
        ("alerts: {timeout: 2m}", "at most 60 s"),
        ("alerts: {timeout: soon}", "not a duration"),
        ("monitor: {pause: 0}", "must be above 0"),
        ("monitor: {pause: 2d}", "at most 86400 s"),
        ("monitor: {on_spike: explode}", "must be warn or pause or stop"),
        ("monitor: {deviations: -1}", "expected a number of at least 0"),
    ],
)
def test_what_cannot_work_is_refused_where_it_stands_and_without_the_address(
    tmp_path, setting, reason
):
    file = tmp_path / "c.yaml"
    file.write_text(f"model: x\n{setting}\n")
    with pytest.raises(ConfigError) as refused:
        load(file, {}, env={}, folder=tmp_path)
    assert refused.value.message.startswith(f"{file}:2: ")
    assert reason in refused.value.message
    assert refused.value.fix
    assert "secret" not in refused.value.message + refused.value.fix


def test_the_address_is_kept_out_of_run_folders_and_changes_no_run(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"alerts: {{webhook: '{HOOK}'}}\nmonitor: {{on_spike: stop}}\n")
    settings = load(file, {}, env={}, folder=tmp_path).settings
    assert settings.intake_text == settings_of().intake_text
    assert HOOK not in settings.intake_text
