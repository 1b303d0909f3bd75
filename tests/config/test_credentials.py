"""Whether there is a credential, asked of every source that the SDK knows."""

from __future__ import annotations

import pytest

from claudebatch.config.credentials import require_credential
from claudebatch.core.errors import CredentialError, ExitCode

FEDERATED = {"ANTHROPIC_FEDERATION_RULE_ID": "r", "ANTHROPIC_ORGANIZATION_ID": "o"}


@pytest.mark.parametrize(
    "env",
    [
        {"ANTHROPIC_API_KEY": "k"},
        {"ANTHROPIC_AUTH_TOKEN": "t"},
        {"ANTHROPIC_PROFILE": "p"},
        {"ANTHROPIC_IDENTITY_TOKEN": "t", **FEDERATED},
        {"ANTHROPIC_IDENTITY_TOKEN_FILE": "/t", **FEDERATED},
    ],
    ids=lambda env: next(iter(env)),
)
def test_each_source_of_the_sdk_is_enough(env, tmp_path):
    require_credential(env, home=tmp_path)


def test_a_profile_on_disk_is_enough_wherever_it_lies(tmp_path):
    usual, own = tmp_path / ".config" / "anthropic", tmp_path / "own"
    for folder, env in ((usual, {}), (own, {"ANTHROPIC_CONFIG_DIR": str(own)})):
        folder.mkdir(parents=True)
        with pytest.raises(CredentialError):
            require_credential({"ANTHROPIC_CONFIG_DIR": str(folder)}, home=tmp_path / "elsewhere")
        (folder / "default.json").write_text("{}")
        require_credential(env, home=tmp_path)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"ANTHROPIC_API_KEY": ""},
        {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"},
        {"ANTHROPIC_IDENTITY_TOKEN": "t"},
        {"ANTHROPIC_IDENTITY_TOKEN": "t", "ANTHROPIC_FEDERATION_RULE_ID": "r"},
        FEDERATED,
        {"ANTHROPIC_CONFIG_DIR": "/nonexistent"},
    ],
    ids=str,
)
def test_without_one_the_error_says_how_to_get_on(env, tmp_path):
    with pytest.raises(CredentialError) as caught:
        require_credential(env, home=tmp_path)
    assert caught.value.exit_code is ExitCode.AUTH
    assert "ANTHROPIC_API_KEY is not set" in caught.value.message
    assert "export ANTHROPIC_API_KEY=" in caught.value.fix
    assert "--simulate" in caught.value.fix


@pytest.mark.parametrize("name", ["gone", "file", "n" * 5000])
def test_a_folder_of_profiles_that_is_none_is_named(name, tmp_path):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / name)
    with pytest.raises(CredentialError) as caught:
        require_credential({"ANTHROPIC_CONFIG_DIR": place}, home=tmp_path)
    assert caught.value.message.endswith(f"no profile in ANTHROPIC_CONFIG_DIR={place}")
