"""The SDK's client, asked the same thing over and over without rebuilding what never changes.

Imports `anthropic`: a second of CPU. Only `sdk.py` imports this, and only once something is to be sent.
"""

from __future__ import annotations

from typing import Any

import anthropic


class LeanAnthropic(anthropic.AsyncAnthropic):
    """Posts bytes to one URL. The request options that `post` builds for the first call serve all later ones.

    Building them is a tenth of a call: the SDK resolves every default of a pydantic model anew. They pass through
    `request`, a public method, which is where we keep the first ones.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Mutable: set by the first request, only copied after.
        self._template: Any = None

    async def ask(self, url: str, body: bytes, cast_to: Any) -> Any:
        """The raw response to *body*, posted to *url*, always the same one; raises the SDK's errors."""
        if self._template is None:
            return await self.post(url, content=body, cast_to=cast_to)
        return await super().request(cast_to, self._template.model_copy(update={"content": body}))

    async def request(self, cast_to: Any, options: Any, **more: Any) -> Any:
        """As the SDK does it; keeps the options of the first call."""
        if self._template is None:
            self._template = options.model_copy(update={"content": None})
        return await super().request(cast_to, options, **more)
