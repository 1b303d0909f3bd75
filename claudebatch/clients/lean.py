"""The SDK's client, asked the same thing over and over without rebuilding what never changes.

Imports `anthropic`: a second of CPU. Only `sdk.py` imports this, and only once something is to be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import anthropic
import httpx2

_STREAM = anthropic.AsyncStream[Any]
_NONE: Mapping[str, str] = MappingProxyType({})


class LeanAnthropic(anthropic.AsyncAnthropic):
    """Posts bytes to one URL. The request options that `post` builds for the first call serve all later ones.

    Building them is a tenth of a call: the SDK resolves every default of a pydantic model anew. They pass through
    `request`, a public method, which is where we keep the first ones.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Mutable: where `ask` asks, and the options of its first request, only copied after.
        self._url = ""
        self._template: Any = None

    async def ask(self, url: str, body: bytes, headers: Mapping[str, str] = _NONE) -> httpx2.Response:
        """The response to *body*, posted to *url*, always the same one; raises the SDK's errors.

        *headers* go with this one request only.

        Its own body is still to be read, by the caller: the SDK would read whatever comes, for as long as it comes.
        """
        response: Any  # the SDK's types do not know that a `Response` comes back as it is, streamed or not
        if self._template is None:
            self._url = url
            response = await self.post(
                url,
                content=body,
                options={"headers": dict(headers)},
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=_STREAM,
            )
        else:
            options = self._template.model_copy(update={"content": body, "headers": headers})
            response = await super().request(httpx2.Response, options, stream=True, stream_cls=_STREAM)
        return cast("httpx2.Response", response)

    async def count(self, url: str, body: bytes) -> httpx2.Response:
        """The response to *body*, posted to another *url*, read in full; raises the SDK's errors."""
        return await self.post(url, content=body, cast_to=httpx2.Response)

    async def request(self, cast_to: Any, options: Any, **more: Any) -> Any:
        """As the SDK does it; keeps the options of the first call."""
        if self._template is None and options.url == self._url:
            self._template = options.model_copy(update={"content": None})
        return await super().request(cast_to, options, **more)
