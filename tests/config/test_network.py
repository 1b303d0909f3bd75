"""The way to the API as the environment has it: used variables are checked, unused ones
stop nothing.
"""

from __future__ import annotations

import pytest

from claudebatch.config.network import masked, network_route
from claudebatch.core.errors import ConfigError, ExitCode

GATEWAY = "https://gw.corp.test:8443/api"
LOOPBACK = "http://127.0.0.1:8080"
BAD = {
    "socks://127.0.0.1:1080": "SOCKS proxies are not supported",
    "socks5://127.0.0.1:1080": "SOCKS",
    "socks4a://127.0.0.1:1080": "SOCKS",
    "ftp://proxy:21": "unknown scheme ftp://",
    "htp://proxy:8080": "unknown scheme htp://",
    "http://": "not the address of a proxy",
    "http://proxy:port": "not the address of a proxy",
    "http://proxy:99999": "not the address of a proxy",
    "http://pro xy:1": "not the address of a proxy",
    "http://[::1": "not the address of a proxy",
    "http://proxy:8080\n": None,
    "'http://proxy:8080'": "unknown scheme",
}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", [value for value, words in BAD.items() if words])
def test_a_proxy_that_cannot_be_used_is_named_with_variable_and_value(name, value):
    with pytest.raises(ConfigError) as caught:
        network_route({name: value}, None)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.message.startswith(f"{name}={value}: ")
    assert BAD[value].removeprefix("write ") in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    ("base_url", "env"),
    [
        (LOOPBACK, {}),
        ("http://localhost:1", {}),
        ("https://127.0.0.1:8443", {}),
        ("https://[::1]:8443", {}),
        (None, {"NO_PROXY": "*"}),
        (None, {"no_proxy": "localhost, api.anthropic.com"}),
        (None, {"NO_PROXY": ".anthropic.com"}),
        (GATEWAY, {"NO_PROXY": "corp.test"}),
        (GATEWAY, {"NO_PROXY": "gw.corp.test:8443"}),
        ("https://10.1.2.3", {"NO_PROXY": "10.0.0.0/8"}),
    ],
)
def test_a_proxy_that_this_run_does_not_use_stops_nothing(value, base_url, env):
    route = network_route({"ALL_PROXY": value, "https_proxy": value, **env}, base_url)
    assert (route.proxy, route.system_proxy) == (None, False)


@pytest.mark.parametrize(
    ("env", "base_url"),
    [
        ({"NO_PROXY": "thropic.com"}, None),
        ({"NO_PROXY": "gw.corp.test:1"}, GATEWAY),
        ({"NO_PROXY": "11.0.0.0/8,["}, "https://10.1.2.3"),
        ({"NO_PROXY": ""}, None),
    ],
)
def test_no_proxy_is_only_about_the_hosts_in_it(env, base_url):
    assert network_route({"HTTPS_PROXY": "http://p:1", **env}, base_url).proxy == "http://p:1"


def test_lower_case_wins_and_an_empty_one_takes_the_upper_one_back():
    upper = {"HTTPS_PROXY": "http://upper:1", "ALL_PROXY": "http://all:1"}
    assert network_route(upper, None).proxy == "http://upper:1"
    assert network_route({**upper, "https_proxy": "lower:2"}, None).proxy == "http://lower:2"
    route = network_route({**upper, "https_proxy": ""}, None)
    assert (route.proxy, route.proxy_from) == ("http://all:1", "ALL_PROXY")
    assert network_route({"HTTPS_PROXY": "", "ALL_PROXY": " "}, None).system_proxy


def test_a_wrong_http_proxy_stops_no_https():
    assert network_route({"HTTP_PROXY": "socks://x"}, None).proxy is None


@pytest.mark.parametrize(
    "value", ["ftp://me:secret-of-mine@p:1", "socks://me:secret-of-mine@p", "me:secret-of-mine@p:x"]
)
def test_user_and_password_of_a_proxy_are_never_shown(value):
    with pytest.raises(ConfigError) as caught:
        network_route({"HTTPS_PROXY": value}, None)
    assert "secret-of-mine" not in caught.value.message + caught.value.fix
    assert "[hidden]@p" in caught.value.message
    assert masked("http://p:1") == "http://p:1"


def test_certificates_are_looked_at_for_https_only_and_the_file_wins():
    env = {"SSL_CERT_FILE": "/a", "SSL_CERT_DIR": "/b", "REQUESTS_CA_BUNDLE": "/c"}
    route = network_route(env, None)
    assert (route.certificates, route.certificates_from) == ("/a", "SSL_CERT_FILE")
    assert route.unread == ("REQUESTS_CA_BUNDLE",)
    only_folder = network_route({**env, "SSL_CERT_FILE": ""}, None)
    assert (only_folder.certificates, only_folder.certificates_from) == ("/b", "SSL_CERT_DIR")
    assert not network_route(env, LOOPBACK).tls


def test_a_file_for_keys_is_looked_at_for_https_only():
    env = {"SSLKEYLOGFILE": "/nonexistent/keys"}
    with pytest.raises(ConfigError, match="SSLKEYLOGFILE=/nonexistent/keys: no such file"):
        network_route(env, None)
    assert not network_route(env, LOOPBACK).tls
    assert network_route({"SSLKEYLOGFILE": ""}, None).tls
