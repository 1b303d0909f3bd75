"""One request to the API that costs nothing: does it answer, and with which status."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.headers import read_headers, server_date
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.wire_format import API_VERSION
from claudebatch.core.errors import CredentialError
from claudebatch.core.limit_headers import Limits

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_TIMEOUT_S = 15.0
_CONNECTIONS = 1
_RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The answer to a probe, or the reason why there is none."""

    url: str
    status: int | None
    """None: nothing answered."""
    error: str | None
    """The API's or the network's word for the failure."""
    seconds: float
    server_time: datetime | None
    limits: Limits | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int | None
    error: str | None
    headers: _RawHeaders


async def reach(
    *,
    api_key: str | None,
    base_url: str | None,
    model: str,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    secrets: Iterable[str] = (),
    route: NetworkRoute | None = None,
) -> ProbeResult:
    """Ask for the token count of two letters, which is free. Raises `ConfigError` or
    `CredentialError`.

    The result quotes none of the *secrets*, even where the server does.
    """
    hide = Redactor(secrets).hide
    route = route or NetworkRoute()
    async with _open_sdk(api_key, base_url, hide, route) as client:
        url = str(client.base_url)
        # Before the request: it would carry the key to this address.
        check_base_url(url)
        begun = now()
        answer = await _ask(client, model, route)
        facts = read_headers(answer.headers, now=wall())
        return ProbeResult(
            url=url,
            status=answer.status,
            error=answer.error and hide(answer.error),
            seconds=now() - begun,
            server_time=server_date(answer.headers),
            limits=facts.limits,
            simulated=facts.simulated,
        )


def _open_sdk(
    api_key: str | None, base_url: str | None, hide: Callable[[str], str], route: NetworkRoute
) -> AsyncAnthropic:
    # Heavy (a second): only a command that sends something pays for it.
    import anthropic  # noqa: PLC0415

    from claudebatch.clients.sdk_connection import open_http  # noqa: PLC0415

    http_client = open_http(_CONNECTIONS, route, hide)
    try:
        return anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            # A retry would hide the first failure, which is the one to show.
            max_retries=0,
            timeout=_TIMEOUT_S,
            open_telemetry=False,
            default_headers={"anthropic-version": API_VERSION},
            http_client=http_client,
        )
    except (anthropic.AnthropicError, ValueError) as error:
        reason = hide(str(error))
        raise CredentialError(
            "E215",
            f"the SDK does not accept the credentials: {reason}",
            fix="correct that, or set ANTHROPIC_API_KEY",
        ) from error


async def _ask(client: AsyncAnthropic, model: str, route: NetworkRoute) -> _Answer:
    import anthropic  # noqa: PLC0415

    from claudebatch.clients.connection_faults import explain  # noqa: PLC0415

    try:
        response = await client.messages.with_raw_response.count_tokens(
            model=model, messages=[{"role": "user", "content": "hi"}]
        )
        return _Answer(response.status_code, None, response.headers.raw)
    except anthropic.APIStatusError as error:
        kind = str(error.type or error.status_code)
        return _Answer(error.status_code, kind, error.response.headers.raw)
    except anthropic.APIConnectionError as error:
        # The SDK's own message is "Connection error." for all of them.
        fault = explain(error, route)
        return _Answer(None, f"{fault.text} ({fault.fix})" if fault.fix else fault.text, [])
