"""Posts JSON to one address: over https, or to this machine itself; directly, and never
anywhere else.

No redirect is followed and no proxy is used: nothing that the other side or the
environment says changes where alerts go. Nothing of the run's credentials is known
here.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from claudebatch.alerts.sinks.failure import DeliveryFailed

# One alert, one connection: minutes lie between two, and the other side would close it.
_HEADERS = {"Content-Type": "application/json", "User-Agent": "claudebatch", "Connection": "close"}


class WebhookSink:
    """An address that takes alerts; *url* was checked by the configuration."""

    name = "webhook"

    def __init__(self, url: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s

    def deliver(self, payload: bytes) -> None:
        """Post *payload*; raises `DeliveryFailed` unless it was taken (2xx)."""
        connection = self._connection()
        try:
            connection.request("POST", self._path, body=payload, headers=_HEADERS)
            status = connection.getresponse().status
        except TimeoutError as error:
            raise DeliveryFailed(f"no answer within {self._timeout_s:g} s") from error
        except ssl.SSLError as error:
            raise DeliveryFailed(f"TLS: {error.reason or 'failed'}") from error
        except socket.gaierror as error:
            raise DeliveryFailed("its host is not known") from error
        except OSError as error:
            raise DeliveryFailed(error.strerror or type(error).__name__) from error
        except http.client.HTTPException as error:
            raise DeliveryFailed(f"it does not speak HTTP ({type(error).__name__})") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            # A redirect could lead what this run spends to a stranger.
            redirect = ", and redirects are not followed" if 300 <= status < 400 else ""
            raise DeliveryFailed(f"it answered {status}{redirect}")

    def abandon(self) -> None:
        """A request ends with the process: there is nothing else to leave behind."""

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
