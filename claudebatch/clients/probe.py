"""One question to the API that costs nothing: does it answer, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from claudebatch.clients.base_url import DIRECT_IN_THE_CLEAR, check_base_url
from claudebatch.clients.client import API_VERSION
from claudebatch.clients.headers import read_headers
from claudebatch.clients.redaction import Redactor
from claudebatch.core.domain import Limits
from claudebatch.core.errors import CredentialError

_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came back."""

    url: str
    status: int | None
    """None: nothing answered."""
    error: str | None
    """The API's or the network's word for what went wrong."""
    seconds: float
    server_time: datetime | None
    limits: Limits | None
    simulated: bool


async def reach(
    *,
    api_key: str | None,
    base_url: str | None,
    model: str,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    secrets: Iterable[str] = (),
) -> ProbeResult:
    """Ask for the token count of two letters, which is free. Raises `ConfigError` or
    `CredentialError`.

    None of the *secrets* is in what comes back, whoever quotes it.
    """
    hide = Redactor(secrets).hide
    # Heavy (a second): only a command that sends something pays for it.
    import anthropic  # noqa: PLC0415

    try:
        client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=_PATIENCE_S,
            open_telemetry=False,
            default_headers={"anthropic-version": API_VERSION},
            http_client=anthropic.DefaultAioHttpClient(
                follow_redirects=False, mounts=DIRECT_IN_THE_CLEAR
            ),
        )
    except (anthropic.AnthropicError, ValueError) as error:
        reason = hide(str(error))
        raise CredentialError(
            f"the SDK refuses the credentials: {reason}", fix="set ANTHROPIC_API_KEY"
        ) from error
    async with client:
        url = str(client.base_url)
        check_base_url(url)
        begun = now()
        status, wrong, raw = None, None, []
        try:
            asked = client.messages.with_raw_response
            response = await asked.count_tokens(
                model=model, messages=[{"role": "user", "content": "hi"}]
            )
            status, raw = response.status_code, response.headers.raw
        except anthropic.APIStatusError as error:
            status, wrong, raw = (
                error.status_code,
                str(error.type or error.status_code),
                error.response.headers.raw,
            )
        except anthropic.APIConnectionError as error:
            wrong = f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}"
        facts = read_headers(raw, now=wall())
        return ProbeResult(
            url,
            status,
            wrong and hide(wrong),
            now() - begun,
            _date(raw),
            facts.limits,
            facts.simulated,
        )


def _date(raw: list[tuple[bytes, bytes]]) -> datetime | None:
    value = next((value for name, value in raw if name.lower() == b"date"), None)
    try:
        found = parsedate_to_datetime(value.decode("latin-1")) if value is not None else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
