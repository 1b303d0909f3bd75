"""The properties of a prompt that routing rules test, each computed at most once and
only for a rule that tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from claudebatch.core.domain import Prompt
from claudebatch.core.jsonl import decode


class PromptView:
    """The testable properties of one prompt, for one call of `route`."""

    __slots__ = ("_columns", "_estimate", "_kinds", "_text", "_tokens", "params", "prompt")

    def __init__(self, prompt: Prompt, estimate: Callable[[Prompt], int]) -> None:
        self.prompt = prompt
        self.params: Mapping[str, Any] = prompt.params
        self._estimate = estimate
        # Mutable state: each value is computed at its first use, because an estimate of
        # tokens costs more than all other conditions together.
        self._tokens: int | None = None
        self._text: str | None = None
        self._kinds: frozenset[str] | None = None
        self._columns: Mapping[str, Any] | None = None

    @property
    def input_tokens(self) -> int:
        """Estimated input tokens."""
        if self._tokens is None:
            self._tokens = self._estimate(self.prompt)
        return self._tokens

    @property
    def max_tokens(self) -> int:
        """The request's `max_tokens`."""
        return int(self.params.get("max_tokens", 0))

    @property
    def turns(self) -> int:
        """The number of messages from the user."""
        return sum(1 for message in self._messages() if message.get("role") == "user")

    @property
    def text(self) -> str:
        """The system prompt and all text of the messages, one block to a line."""
        if self._text is None:
            self._text = "\n".join(self._texts())
        return self._text

    @property
    def columns(self) -> Mapping[str, Any]:
        """The fields of the row that are no part of the request, and in a table all of
        its cells.
        """
        if self._columns is None:
            raw = self.prompt.columns
            self._columns = decode(raw) if raw else {}
        return self._columns

    @property
    def has_tools(self) -> bool:
        """Whether any tool is offered."""
        return bool(self.params.get("tools"))

    @property
    def has_schema(self) -> bool:
        """Whether the answer must follow a JSON schema."""
        config = self.params.get("output_config")
        return isinstance(config, dict) and config.get("format") is not None

    @property
    def has_images(self) -> bool:
        """Whether an image stands anywhere in the messages."""
        return "image" in self._block_kinds()

    @property
    def has_documents(self) -> bool:
        """Whether a document stands anywhere in the messages."""
        return "document" in self._block_kinds()

    def _messages(self) -> Iterator[Mapping[str, Any]]:
        return (
            message for message in self.params.get("messages") or () if isinstance(message, dict)
        )

    def _texts(self) -> Iterator[str]:
        yield from _texts(self.params.get("system"))
        for message in self._messages():
            yield from _texts(message.get("content"))

    def _block_kinds(self) -> frozenset[str]:
        if self._kinds is None:
            self._kinds = frozenset(
                kind for message in self._messages() for kind in _kinds(message.get("content"))
            )
        return self._kinds


def _texts(content: Any) -> Iterator[str]:
    """The text of *content*, that of tool results, search results and plain-text
    documents included.
    """
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            match block:
                case {"type": "text", "text": str(text)}:
                    yield text
                # Text that the model reads, so a rule on length or words must see it
                # too.
                case {"type": "tool_result" | "search_result", "content": inner}:
                    yield from _texts(inner)
                case {"type": "document", "source": {"type": "text", "data": str(text)}}:
                    yield text
                case {"type": "document", "source": {"type": "content", "content": inner}}:
                    yield from _texts(inner)


def _kinds(content: Any) -> Iterator[str]:
    for block in content if isinstance(content, list) else ():
        match block:
            case {"type": "tool_result", "content": inner} | {
                "type": "document",
                "source": {"content": inner},
            }:
                yield str(block["type"])
                yield from _kinds(inner)
            case {"type": str(kind)}:
                yield kind
