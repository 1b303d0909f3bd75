"""`shared`: where it may stand, and what no message repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from claudebatch.config.load import load
from claudebatch.core.errors import ConfigError
from claudebatch.setup.shared_server import shared_prefix
from claudebatch.storage.shared_server.settings import SharedSettings

URL = "rediss://batch:s3cret@redis.example:6380/1"


def loaded(folder: Path, *, named: str | None = None, env: dict[str, str] | None = None):
    path = None if named is None else folder / named
    return load(path, {}, env={"HOME": str(folder), **(env or {})}, folder=folder)


def test_the_environment_names_it_over_the_file_and_its_password_is_not_shown(tmp_path):
    (tmp_path / "mine.yaml").write_text("shared: redis://other\n")
    found = loaded(tmp_path, named="mine.yaml", env={"CLAUDEBATCH_SHARED": URL})
    shared = found.settings.shared
    assert shared is not None
    assert (shared.url, shared.shown) == (URL, "redis.example:6380")
    assert "s3cret" not in repr(found.settings.shared) + found.settings.intake_text
    assert found.origins["shared"] == "CLAUDEBATCH_SHARED"


def test_without_it_nothing_is_shared(tmp_path):
    assert loaded(tmp_path).settings.shared is None


def test_a_file_that_is_merely_found_may_not_name_it(tmp_path):
    (tmp_path / "claudebatch.yaml").write_text("shared: redis://stranger\n")
    with pytest.raises(ConfigError, match="cannot be set by a file found") as refused:
        loaded(tmp_path)
    assert refused.value.id == "E110"
    assert loaded(tmp_path, named="claudebatch.yaml").settings.shared is not None


def test_account_and_certificates_stay_beside_the_address_of_the_environment(tmp_path):
    (tmp_path / "ours.pem").write_text("PEM")
    section = f"{{account: team-a, ca: {tmp_path / 'ours.pem'}}}"
    (tmp_path / "mine.yaml").write_text(f"shared: {section}\n")
    assert loaded(tmp_path, named="mine.yaml").settings.shared is None, "no address, no server"
    shared = loaded(tmp_path, named="mine.yaml", env={"CLAUDEBATCH_SHARED": URL}).settings.shared
    assert shared is not None
    found = (shared.url, shared.account, shared.ca)
    assert found == (URL, "team-a", str(tmp_path / "ours.pem"))


@pytest.mark.parametrize(
    ("url", "ca", "words"),
    [("rediss://h", "gone.pem", "no such file"), ("redis://h", "/dev/null", "without TLS")],
)
def test_certificates_that_nobody_would_look_at_are_refused(tmp_path, url, ca, words):
    (tmp_path / "mine.yaml").write_text(f"shared:\n  url: {url}\n  ca: {ca}\n")
    with pytest.raises(ConfigError, match=rf"mine\.yaml:3: shared\.ca .*{words}") as refused:
        loaded(tmp_path, named="mine.yaml")
    assert refused.value.id == "E875"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("answers", "answers"), ("claims", "claims"), ("off", "off"), ("true", "answers")],
)
def test_what_of_the_cache_is_shared(tmp_path, written, meant):
    (tmp_path / "mine.yaml").write_text(f"cache: {{shared: {written}}}\n")
    assert loaded(tmp_path, named="mine.yaml").settings.cache.shared == meant
    assert loaded(tmp_path).settings.cache.shared == "off"


def test_each_account_and_each_api_has_keys_of_its_own():
    plain = SharedSettings("redis://h", "h:6379")
    named = SharedSettings("redis://h", "h:6379", account="team-a")
    prefixes = {
        shared_prefix(settings, scope)
        for settings in (plain, named, replace(named, account="team-b"))
        for scope in ("2023-06-01", "2023-06-01 https://gateway.example")
    }
    assert len(prefixes) == 6
    assert all("team" not in prefix and "{" in prefix for prefix in prefixes)


@pytest.mark.parametrize(
    ("url", "id"),
    [
        ("http://host", "E873"),
        ("redis://:s3cret@", "E873"),
        ("redis://u:s3cret@host:port", "E873"),
        ("redis://u:s3 cret@host", "E873"),
        ("rediss://u:s3cret@host?ssl_cert_reqs=none", "E874"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(tmp_path, url, id):
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, env={"CLAUDEBATCH_SHARED": url})
    assert refused.value.id == id
    assert "s3" not in f"{refused.value} {refused.value.fix}"
