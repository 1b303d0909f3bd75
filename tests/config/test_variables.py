"""Variables of ours and of the SDK: empty means unset, and what only a shell expands is
refused.
"""

from __future__ import annotations

import os

import pytest

from claudebatch.config import unset_empty
from claudebatch.config.credentials import require_credential
from claudebatch.config.variables import check_variables, unknown_variables
from claudebatch.core.errors import ConfigError, ExitCode

KEY = "sk-ant-api03-abcdefghijklmnop"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_empty_means_unset(monkeypatch, value):
    names = ("ANTHROPIC_BASE_URL", "ANTHROPIC_PROFILE", "CLAUDEBATCH_STATE_DIR", "HOME")
    for name in (*names, "XDG_CACHE_HOME", "SSL_CERT_FILE", "OTHER"):
        monkeypatch.setenv(name, value)
    unset_empty()
    assert not any(name in os.environ for name in names)
    assert "OTHER" in os.environ, "what is not ours stays"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (KEY + "\n", "contains a line break"),
        (KEY + "\r", "contains a line break"),
        (KEY[:9] + "\n" + KEY[9:], "contains a line break"),
        (" " + KEY, "begins or ends with a space"),
        (KEY[:9] + " " + KEY[9:], "contains a space"),
        (f'"{KEY}"', "contains a quotation mark"),
        (f"'{KEY}'", "contains a quotation mark"),
        (KEY + "\u200b", "contains a character outside ASCII"),
        (KEY.replace("-", "\u2013"), "contains a character outside ASCII"),
    ],
)
@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_a_key_that_cannot_be_one_is_named_and_not_shown(tmp_path, name, value, words):
    with pytest.raises(ConfigError) as caught:
        require_credential({name: value}, home=tmp_path)
    assert caught.value.exit_code is ExitCode.USAGE
    assert (
        caught.value.message == f"{name} ({len(value)} characters) {words}, which a key never does"
    )
    assert KEY[:9] not in caught.value.message


@pytest.mark.parametrize("value", ["~/s", "$HOME/s", "${HOME}/s", '"/home/me/x"', "'/home/me/x'"])
@pytest.mark.parametrize("name", ["CLAUDEBATCH_STATE_DIR", "CLAUDEBATCH_CACHE_DIR"])
def test_a_place_that_only_a_shell_understands_is_refused(name, value):
    with pytest.raises(ConfigError) as caught:
        check_variables({name: value})
    assert caught.value.message.startswith(f"{name}={value}: ")


def test_a_misspelt_variable_of_ours_is_told_and_stops_nothing():
    env = {"CLAUDEBATCH_STATEDIR": "x", "CLAUDEBATCH_DEBUG": "1", "ANTHROPIC_MODLE": "y"}
    check_variables(env)
    assert [notice.text for notice in unknown_variables(env)] == [
        "CLAUDEBATCH_STATEDIR is set, but there is no such variable; did you mean "
        "CLAUDEBATCH_STATE_DIR?"
    ]


@pytest.mark.parametrize("name", ["MODLE", "MODEL", "BUDGET", "", "CONCURRENCY"])
def test_a_name_that_is_like_none_of_ours_gets_all_of_them(name):
    (notice,) = unknown_variables({f"CLAUDEBATCH_{name}": "x"})
    assert "did you mean" not in notice.text
    assert "known: CLAUDEBATCH_CACHE_DIR, " in notice.text
    assert notice.text.endswith("settings stand in claudebatch.yaml")
