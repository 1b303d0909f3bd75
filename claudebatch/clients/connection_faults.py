"""Why a connection failed, in words, and whether another try could end otherwise.

Imports `aiohttp`, which only comes with the SDK: only `client.py` imports this, and
only once something is to be sent.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from claudebatch.clients.base_url import is_loopback
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.core.os_faults import os_fault

# Names that do not exist; EAI_AGAIN is a resolver that does not answer for now.
_NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
# OpenSSL's codes of a failed verification.
_OTHER_NAME = {62, 64}
_EXPIRED = {9, 10}
_TRUST = "name the PEM file of the authority that signed it in SSL_CERT_FILE"
_ADDRESS = "check ANTHROPIC_BASE_URL"
_CLOCK = "check the clock of this machine, or have the certificate renewed"
# The process has met a limit of its own: no fault of the server.
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class ConnectionFault:
    """What is wrong with a connection."""

    text: str
    fix: str = ""
    certain: bool = False
    """Another try would end the same way, unless something is changed."""


def explain(error: BaseException, route: NetworkRoute) -> ConnectionFault:
    """What *error*, or the exception that caused it, says about the connection."""
    causes = [error, *_causes(error)]
    for cause in causes:
        fault = _of(cause, route)
        if fault is not None:
            return fault
    deepest = causes[min(1, len(causes) - 1)]
    return ConnectionFault(str(deepest) or type(deepest).__name__)


def _of(error: BaseException, route: NetworkRoute) -> ConnectionFault | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate(error.host, error.certificate_error, route)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refusal(error, route)
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectionFault(
            f"{_place(error)} does not speak TLS: {_reason(error.os_error)}",
            f"{_ADDRESS}: is it meant to be plain http?",
            certain="WRONG_VERSION_NUMBER" in str(error.os_error),
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, route)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectionFault(f"no connection within 10 s: {error}")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ConnectionFault("the server closed the connection without an answer")
    return None


def _certificate(host: str, error: Exception, route: NetworkRoute) -> ConnectionFault:
    code = getattr(error, "verify_code", 0)
    reason = getattr(error, "verify_message", "") or _reason(error)
    fix = _TRUST
    if code in _OTHER_NAME:
        fix = _ADDRESS
    elif code in _EXPIRED:
        fix = _CLOCK
    elif route.certificates is not None:
        fix = f"{_TRUST}; now it is {route.certificates_from}={route.certificates}"
    elif route.unread:
        fix = f"{_TRUST}; {route.unread[0]} is not read"
    return ConnectionFault(f"the certificate of {host} is refused: {reason}", fix, certain=True)


def _proxy_refusal(error: aiohttp.ClientHttpProxyError, route: NetworkRoute) -> ConnectionFault:
    if error.status == 407:
        return ConnectionFault(
            f"the proxy of {route.proxy_from} wants a user and a password (407)",
            f"write them into {route.proxy_from}: http://USER:PASSWORD@HOST:PORT",
            certain=True,
        )
    return ConnectionFault(
        f"the proxy of {route.proxy_from} answers {error.status} instead of a connection",
        f"check {route.proxy_from}, or put the API's host into NO_PROXY",
        certain=400 <= error.status < 500 and error.status not in (408, 429),
    )


def _no_connection(error: aiohttp.ClientConnectorError, route: NetworkRoute) -> ConnectionFault:
    place, cause = _place(error), error.os_error
    # The host is the proxy's where the connection to it failed.
    by_proxy = isinstance(error, aiohttp.ClientProxyConnectionError) or _is_proxy(error, route)
    named = f"the proxy {place} of {route.proxy_from}" if by_proxy else place
    fix = f"check {route.proxy_from}" if by_proxy else _ADDRESS
    if isinstance(cause, socket.gaierror):
        gone = cause.errno in _NO_NAME
        text = "no such host" if gone else f"its name cannot be looked up now: {_reason(cause)}"
        return ConnectionFault(f"{named}: {text}", f"{fix} and the network", certain=gone)
    if cause.errno in _LOCAL:
        fault = os_fault(cause)
        return ConnectionFault(f"no connection to {place}: {fault.reason}", fault.fix)
    if cause.errno == errno.ECONNREFUSED:
        # A host of its own may be starting up; what is meant to run here would run.
        here = is_loopback(error.host)
        start = f"start what should listen there, or {fix}" if here else fix
        return ConnectionFault(f"nothing listens on {named}", start, certain=here)
    return ConnectionFault(f"no connection to {named}: {_reason(cause)}", fix)


def _is_proxy(error: aiohttp.ClientConnectorError, route: NetworkRoute) -> bool:
    return route.proxy is not None and f"//{error.host}:" in route.proxy.replace("@", "//")


def _place(error: aiohttp.ClientConnectorError) -> str:
    host = f"[{error.host}]" if ":" in error.host else error.host
    return host if error.port == 443 else f"{host}:{error.port}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os_fault(error).reason
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


class CertainFaults:
    """Counts faults that no further try mends, as long as nothing was ever answered.

    An account that has answered once is reachable: later the same fault is an outage
    like any other, which a run waits out.
    """

    def __init__(self) -> None:
        # Mutable: whether anything was answered, and when the first fault was seen.
        self._answered = False
        self._first_at: float | None = None

    def answered(self) -> None:
        """Something has answered, whatever it said."""
        self._answered = True

    def ends_run(self, fault: ConnectionFault, *, began: float, now: float) -> bool:
        """Whether *fault* is the second of its kind: of a try that *began* after the
        first had failed. Requests that left together count as one try.
        """
        if not fault.certain or self._answered:
            return False
        if self._first_at is None:
            self._first_at = now
            return False
        return began >= self._first_at
