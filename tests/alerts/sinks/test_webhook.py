"""The webhook posts JSON to its address and nowhere else, and says plainly why it could
not.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from claudebatch.alerts.sinks.failure import DeliveryFailed
from claudebatch.alerts.sinks.webhook import WebhookSink
from tests.alerts.sinks.receiver import Receiver

BODY = b'{"v":1,"text":"80 %"}\n'


def post(receiver: Receiver, path: str = "/T0/secret?a=b", timeout_s: float = 5.0) -> None:
    WebhookSink(receiver.url + path, timeout_s=timeout_s).deliver(BODY)


def test_the_body_and_nothing_of_ours_besides_reaches_the_address() -> None:
    with Receiver() as receiver:
        post(receiver)
    [(head, body)] = receiver.requests
    first, *headers = head.splitlines()
    assert (first, body) == ("POST /T0/secret?a=b HTTP/1.1", BODY)
    assert sorted(line.partition(":")[0].lower() for line in headers) == [
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_taken(status: int) -> None:
    with Receiver(f"HTTP/1.1 {status} Fine\r\nContent-Length: 0\r\n\r\n".encode()) as receiver:
        post(receiver)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Receiver() as other:
        head = f"HTTP/1.1 {status} Go\r\nLocation: {other.url}/stolen\r\n"
        answer = f"{head}Content-Length: 0\r\n\r\n".encode()
        with (
            Receiver(answer) as receiver,
            pytest.raises(DeliveryFailed, match=f"{status}, and redirects are not"),
        ):
            post(receiver)
    assert len(receiver.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "it answered 500"),
        (b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n", "it answered 404"),
        (b"what?\r\n\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP|reset|aborted|RemoteDisconnected"),
        (b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n", "does not speak HTTP"),
    ],
)
def test_what_is_not_taken_says_why_and_not_where(answer: bytes, reason: str) -> None:
    with Receiver(answer) as receiver, pytest.raises(DeliveryFailed, match=reason) as failed:
        post(receiver)
    assert "secret" not in str(failed.value)


def test_one_that_never_answers_is_left_after_the_time_out() -> None:
    with (
        Receiver(None) as receiver,
        pytest.raises(DeliveryFailed, match=r"no answer within 0\.2 s"),
    ):
        post(receiver, timeout_s=0.2)


def test_nobody_at_home() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeliveryFailed, match="refused"):
        WebhookSink(f"http://127.0.0.1:{port}/secret", timeout_s=5).deliver(BODY)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_gets_no_alert(tmp_path: Path) -> None:
    made = [
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-keyout",
        "k",
        "-out",
        "c",
    ]
    subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", *made, *subject], cwd=tmp_path, check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    with (
        Receiver(tls=context) as receiver,
        pytest.raises(DeliveryFailed, match="TLS: CERTIFICATE_VERIFY_FAILED"),
    ):
        WebhookSink(receiver.url.replace("http://", "https://"), timeout_s=5).deliver(BODY)
    assert receiver.requests == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in (
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ):
            monkeypatch.setenv(name, proxy.url)
        post(receiver)
    assert len(receiver.requests) == 1
    assert proxy.requests == []
