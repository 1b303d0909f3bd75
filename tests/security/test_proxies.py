"""The key and the prompts of a request in the clear never go through a proxy, whatever
the environment says.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.redaction import Redactor
from claudebatch.config.credentials import secrets
from claudebatch.core.errors import ConfigError
from tests.e2e.world import prompts
from tests.security.stranger import Stranger
from tests.support.canary import CANARY, spellings

PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def proxy():
    started = Stranger()
    yield started
    started.close()


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("command", ["run", "rehearsal", "doctor"])
def test_a_proxy_of_the_environment_sees_nothing_of_what_is_said_to_this_machine(
    world, api, proxy, name, command
):
    world.environment[name] = proxy.url
    world.write("in.jsonl", prompts(2))
    words = ("doctor",) if command == "doctor" else ("run", "in.jsonl", "-o", "out.jsonl")
    more = ("--simulate",) if command == "rehearsal" else ()
    done = world.claudebatch(*words, *more)
    assert proxy.asked == []
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com",
        "https://gw.example/v1/us",
        "http://127.0.0.1:8",
        "http://[::1]:8",
    ],
)
def test_addresses_that_keep_the_key_are_taken(url):
    check_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.1",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "ws://x",
        "https://",
        "x",
        "",
        "a b",
    ],
)
def test_addresses_that_do_not_are_refused(url):
    with pytest.raises(ConfigError):
        check_base_url(url)


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("https://gw.example/claude/v1/", "https://gw.example/claude"),
        ("http://127.0.0.1:8/v1/messages", "http://127.0.0.1:8"),
    ],
)
def test_an_address_that_ends_in_v1_is_refused_with_the_right_one(url, right):
    with pytest.raises(ConfigError) as refused:
        check_base_url(url)
    assert "/v1" in refused.value.message
    assert refused.value.fix.endswith(f" {right}")


def test_secrets_are_found_in_every_spelling():
    hide = Redactor([CANARY]).hide
    words = [
        quote(CANARY, safe=""),
        *(base64.b64encode(f"{'x' * n}{CANARY}:y".encode()).decode() for n in range(6)),
    ]
    for word in (CANARY, *words, *(word.replace("+", "-").replace("/", "_") for word in words)):
        assert not any(
            spelling in hide(f"before {word} after").encode() for spelling in spellings()
        )
    assert hide(f"a {CANARY} b") == "a [hidden] b"
    assert hide("see https://me:mine@host/x") == "see https://[hidden]@host/x"
    assert hide("nothing to see: https://host/a@b") == "nothing to see: https://host/a@b"


def test_short_words_are_no_secrets():
    assert Redactor(["prod", ""]).hide("a prod text") == "a prod text"


def test_what_is_secret_in_an_environment():
    env = {
        "ANTHROPIC_API_KEY": "key-key-key-key",
        "ANTHROPIC_CUSTOM_HEADERS": "authorization: Bearer gateway-token\nno header\nx-org: org",
        "https_proxy": "http://me:mine@proxy",
        "HTTP_PROXY": "http://[",
        "PATH": "/bin",
    }
    assert set(secrets(env)) == {
        "key-key-key-key",
        "Bearer gateway-token",
        "gateway-token",
        "org",
        "mine",
    }
