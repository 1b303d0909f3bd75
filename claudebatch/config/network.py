"""What the environment says of the way to the API: proxies and certificates, read
before anything is held.

A variable that this run does not use stops nothing, however wrong it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from claudebatch.clients.base_url import is_loopback
from claudebatch.clients.network_route import KEY_LOG, NetworkRoute, check_key_log
from claudebatch.core.errors import ConfigError

_API = "https://api.anthropic.com"
_PORTS = {"https": 443, "http": 80}
_EXAMPLE = "write http://HOST:PORT, or unset the variable"
# Of other HTTP libraries: our transport reads none of them.
_UNREAD = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE")
_CREDENTIALS = re.compile(r"^([^/]*://)?.*@", re.DOTALL)


def network_route(env: Mapping[str, str], base_url: str | None) -> NetworkRoute:
    """How requests to *base_url* (None: the API's own) leave; raises `ConfigError` for
    a variable on their way that cannot be used.
    """
    url = urlsplit(base_url or _API)
    unread = unread_variables(env)
    # Plain http stays on this machine: neither proxies nor certificates have a part.
    if url.scheme != "https":
        return NetworkRoute(tls=False, system_proxy=False, unread=unread)
    if env.get(KEY_LOG):
        check_key_log(env[KEY_LOG])
    proxies = dict(_named(env, ("https_proxy", "all_proxy")))
    proxy_from = next(iter(proxies), "")
    direct = _is_direct(url, env)
    source = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if env.get(name)), "")
    return NetworkRoute(
        proxy=None if direct or not proxies else _proxy_url(proxy_from, proxies[proxy_from]),
        proxy_from=proxy_from or "HTTPS_PROXY",
        system_proxy=not direct
        and not any(_named(env, ("https_proxy", "all_proxy", "http_proxy"))),
        certificates=env.get(source) or None,
        certificates_from=source or "SSL_CERT_FILE",
        unread=unread,
    )


def unread_variables(env: Mapping[str, str]) -> tuple[str, ...]:
    """Variables about certificates that are set, and that only others read."""
    return tuple(name for name in _UNREAD if env.get(name))


def masked(value: str) -> str:
    """The value of a variable about an address, without user and password."""
    return _CREDENTIALS.sub(lambda found: (found[1] or "") + "[hidden]@", value)


def _named(env: Mapping[str, str], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Name as it is written and value of each that is set, the first one first."""
    for name in names:
        # Lower case wins, and an empty one takes the upper one back, as for urllib.
        for spelling in (name, name.upper()):
            if spelling in env:
                if env[spelling].strip():
                    yield spelling, env[spelling].strip()
                break


def _is_direct(url: SplitResult, env: Mapping[str, str]) -> bool:
    host = (url.hostname or "").lower()
    if is_loopback(host):
        return True
    listed = dict(_named(env, ("no_proxy",)))
    port = url.port or _PORTS[url.scheme]
    entries = next(iter(listed.values()), "").split(",")
    return any(_covers(entry.strip().lower(), host, port) for entry in entries)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an *entry* of NO_PROXY is about *host*: a name and those below it, an
    address, a network, or `*`.
    """
    entry = entry.partition("://")[2] if "://" in entry else entry
    if entry in ("", "*"):
        return entry == "*"
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*):(\d+)", entry)
    if found:
        if int(found[2]) != port:
            return False
        entry = found[1]
    entry = entry.strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # one of them is a name
    entry = entry.removeprefix("*")
    return host.endswith(entry) if entry.startswith(".") else f".{host}".endswith(f".{entry}")


def _proxy_url(name: str, value: str) -> str:
    shown = f"{name}={masked(value)}"
    # As for every other program: without a scheme it is an HTTP proxy.
    url = value if "://" in value else f"http://{value}"
    scheme = url.partition("://")[0].lower()
    if scheme == "socks":
        raise ConfigError(
            "E222",
            f"{shown}: SOCKS proxies are not supported",
            fix="name an HTTP proxy (http://HOST:PORT), or put the API's host into NO_PROXY",
        )
    if scheme.startswith("socks"):
        raise ConfigError(
            "E223",
            f"{shown}: SOCKS proxies are not supported",
            fix="name an HTTP proxy (http://HOST:PORT), or put the API's host into NO_PROXY",
        )
    if scheme not in ("http", "https"):
        raise ConfigError("E224", f"{shown}: unknown scheme {scheme}://", fix=_EXAMPLE)
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise ConfigError("E225", f"{shown}: this is not the address of a proxy", fix=_EXAMPLE)
    return url
