"""Certificates that cannot be used are named before anything is sent."""

from __future__ import annotations

import errno
import os
import ssl
from pathlib import Path

import pytest

from claudebatch.clients.network_route import NetworkRoute, check_key_log, tls_context
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.sdk_connection import open_http
from claudebatch.core.errors import ConfigError


def refusal(name: str, value: object) -> str:
    with pytest.raises(ConfigError) as caught:
        tls_context(NetworkRoute(certificates=str(value), certificates_from=name))
    assert caught.value.message.startswith(f"{name}={value}: ") and caught.value.fix
    return caught.value.message


def test_a_file_that_is_gone_a_folder_a_pipe_or_no_certificate_is_named(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "code.py").write_text("print()")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "gone.pem": "no such file",
        ".": "this is a folder",
        "pipe": "not a regular file",
        "empty.pem": "no certificate in this file",
        "code.py": "no certificate in this file",
        "code.py/x": "Not a directory",
        "n" * 300: "File name too long",
    }
    for name, words in expected.items():
        assert words in refusal("SSL_CERT_FILE", tmp_path / name)


def test_a_folder_without_hashed_certificates_would_trust_nobody_and_is_refused(tmp_path):
    assert "no such folder" in refusal("SSL_CERT_DIR", tmp_path / "gone")
    (tmp_path / "ca.pem").write_text("")
    assert "no certificate under its hash" in refusal("SSL_CERT_DIR", tmp_path)
    (tmp_path / "0a1b2c3d.0").write_text("")
    route = NetworkRoute(
        certificates=f"/nonexistent{os.pathsep}{tmp_path}", certificates_from="SSL_CERT_DIR"
    )
    assert isinstance(tls_context(route), ssl.SSLContext)


def test_a_folder_of_certificates_that_cannot_be_read_is_named_with_what_helps(
    tmp_path, monkeypatch
):
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "iterdir", full)
    route = NetworkRoute(certificates=str(tmp_path), certificates_from="SSL_CERT_DIR")
    with pytest.raises(ConfigError, match="this process has too many open files") as caught:
        tls_context(route)
    assert caught.value.id == "E213"
    assert "ulimit -n" in caught.value.fix and "unset the variable" in caught.value.fix


def test_plain_http_looks_at_no_certificate():
    context = tls_context(NetworkRoute(tls=False, certificates="/nonexistent"))
    assert context is not None and context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []


def test_without_a_variable_the_library_chooses():
    assert tls_context(NetworkRoute()) is None


def test_a_connection_that_cannot_be_set_up_is_told_without_its_secrets():
    # As the settings of a system may name it, which nobody has looked at before.
    route = NetworkRoute(proxy="http://me:hunter2@h:port")
    with pytest.raises(ConfigError, match="the connection cannot be set up") as caught:
        open_http(1, route, Redactor(["hunter2"]).hide)
    assert caught.value.id == "E217"
    assert "hunter2" not in caught.value.message


def test_a_file_for_keys_that_cannot_be_written_is_named_and_a_pipe_holds_up_nothing(tmp_path):
    (tmp_path / "file").write_text("kept\n")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "gone/keys": "no such file or folder",
        ".": "this is a folder, not a file",
        "pipe": "nobody reads this pipe",
        "file/keys": "a part of the path is a file",
        "n" * 300: "the name is too long",
    }
    for name, words in expected.items():
        with pytest.raises(ConfigError, match=words) as caught:
            check_key_log(str(tmp_path / name))
        assert caught.value.message.startswith(f"SSLKEYLOGFILE={tmp_path / name}: ")
    check_key_log(str(tmp_path / "file"))
    check_key_log(str(tmp_path / "new"))
    assert (tmp_path / "file").read_text() == "kept\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
