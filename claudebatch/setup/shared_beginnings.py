"""Which beginnings the rows of an input share, found while its lines are checked: one
pass, and one row in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from claudebatch.core.domain import Prompt
from claudebatch.layers.prompt_caching.chains import Link, chain_of
from claudebatch.layers.prompt_caching.leading_blocks import (
    FROM_THE_START,
    TOOLS,
    Beginnings,
    Block,
    blocks,
    plain_text,
)
from claudebatch.layers.prompt_caching.mark_plan import PromptCaching, Spacing
from claudebatch.layers.rate_limit.settings import RateLimitSettings
from claudebatch.models.catalog import Catalog, ModelFacts
from claudebatch.models.tokens.blocks import block_tokens
from claudebatch.setup.run_setup import RunSetup

# An estimate may be too low by a third; what is too short in truth costs nothing.
_NEARLY = 0.7
# No text has more tokens than this for a byte; escapes, emoji and base64 come near.
_MOST_PER_BYTE = 1.0
# Beginnings whose tokens are known.
_KNOWN = 50_000
# Of a conversation of hundreds of turns, the first blocks: the rest is hardly shared.
_MOST_LINKS = 100
# After so many rows that share nothing with any before them, only the shortest
# beginning of a row is looked at, until one is met again: what the first of those
# shares beyond it is not seen.
_ALONE = 500
_TTL_S = {"5m": 300, "1h": 3600}
_MARK = "cache_control"


class SharedBeginnings:
    """Makes the chain of each row: the beginnings that other rows may share."""

    def __init__(self, catalog: Catalog, mode: PromptCaching) -> None:
        """*mode*: `respect` takes the marks of the rows alone."""
        self._catalog = catalog
        self._unmarked = mode == "auto"
        # Mutable: what the last row tells of the next one.
        self._beginnings = Beginnings()
        self._plain: tuple[Any, ...] = ()
        self._chain = b""
        self._tokens: dict[bytes, float] = {}  # by digest
        # Mutable, too: the shortest beginnings of the last rows, and how many rows in
        # a row had one of their own.
        self._firsts: set[bytes] = set()
        self._alone = 0

    def chain(self, prompt: Prompt, model: str, params: Mapping[str, Any], size: int) -> bytes:
        """The links of a row whose request to *model* has *params* and *size* bytes;
        empty: nothing of it can be shared, or kept.
        """
        facts = self._catalog.facts(model)
        if size * _MOST_PER_BYTE < facts.min_cacheable_prefix:
            match params.get("messages"):
                case [{"content": str()}]:  # surely too short, as most rows are
                    return b""
                case messages if _all_is_text(messages):
                    return b""
        plain = _plain(prompt, model, params)
        # Nearly all other rows: a system prompt, which the row before had as well, and
        # a text.
        if plain and plain == self._plain:
            return self._chain
        if len(self._tokens) >= _KNOWN:
            self._tokens.clear()
        links = self._links(prompt, model, params, facts)
        self._plain, self._chain = plain, chain_of(links)
        return self._chain

    def _links(
        self, prompt: Prompt, model: str, params: Mapping[str, Any], facts: ModelFacts
    ) -> Sequence[Link]:
        found = blocks(params)
        own = _own_marks(params, found)
        # What comes last is what the row is about, but of several answers to it.
        shared = len(found) - (prompt.answers == 1) if self._unmarked else 0
        count = min(max(own) + 1 if own else shared, _MOST_LINKS)
        if not count:
            return ()
        tools = float(facts.tool_overhead if params.get(TOOLS) else 0)
        row = _Row(
            prompt=prompt,
            model=model,
            params=params,
            facts=facts,
            found=found,
            own=own,
            tools=tools,
        )
        if own or self._alone < _ALONE:
            links = self._to(row, count)
            if links and not own:
                self._see(links[0])
            return links
        links = self._to(row, _first_link(row, count) + 1)
        return self._to(row, count) if links and self._see(links[0]) else links

    def _see(self, first: Link) -> bool:
        """Whether an earlier row has *first*, its shortest beginning, as well."""
        if first.digest in self._firsts:
            self._alone = 0
            return True
        if len(self._firsts) >= _KNOWN:
            self._firsts.clear()
        self._firsts.add(first.digest)
        self._alone += 1
        return False

    def _to(self, row: _Row, count: int) -> list[Link]:
        """The links of *row* among its first *count* blocks."""
        digests = self._beginnings.of(row.model, row.prompt.betas, row.params, row.found, count)
        least, tokens, own = _least(row.facts), row.tools, row.own
        # A few microseconds for each block of each row: of conversations that share
        # nothing, this loop is most of what the check takes.
        links, known = [], self._tokens
        for number, (digest, block) in enumerate(zip(digests, row.found, strict=False)):
            weighed = known.get(digest)
            if weighed is None:
                weighed = known[digest] = tokens + _tokens(block.value, row.facts)
            tokens = weighed
            if tokens >= least and (number in own if own else block.markable):
                links.append(Link(digest, round(tokens), own.get(number, 0)))
        return links


class _Row(NamedTuple):
    """A row whose beginnings are looked at."""

    prompt: Prompt
    model: str
    params: Mapping[str, Any]
    facts: ModelFacts
    found: Sequence[Block]
    own: Mapping[int, int]
    """The seconds of its own marks, by the number of the block."""
    tools: float
    """Tokens that the API adds for its tools."""


def _first_link(row: _Row, count: int) -> int:
    """The number of the block that ends its shortest beginning, of *count* blocks."""
    tokens, least = row.tools, _least(row.facts)
    for number, block in enumerate(row.found[:count]):
        tokens += _tokens(block.value, row.facts)
        if tokens >= least and block.markable:
            return number
    return count - 1


def _least(facts: ModelFacts) -> float:
    return _NEARLY * facts.min_cacheable_prefix


def _tokens(value: Any, facts: ModelFacts) -> float:
    text = value if type(value) is str else plain_text(value)
    return block_tokens(value if text is None else text, facts)


def beginnings_of(run_setup: RunSetup) -> SharedBeginnings | None:
    """What makes the chains of a run's rows; None where nothing is to be cached."""
    mode = run_setup.settings.prompt_caching
    return None if mode == "off" else SharedBeginnings(run_setup.catalog, mode)


def spacing_of(limits: RateLimitSettings) -> Spacing:
    """How far apart rows of one beginning are sent at most, as far as the configuration
    limits it.
    """
    slowest = min(
        (pool.requests_per_minute for pool in limits.pools.values() if pool.requests_per_minute),
        default=None,
    )
    # Rows of one beginning are handed out together, so they are as close as any two.
    return Spacing(row_s=60 / slowest if slowest else 0.0, together=True)


def _all_is_text(messages: Any) -> bool:
    """Whether nothing but its bytes decides how long a request with *messages* is: a
    file that it names, or an address, may have a thousand pages.
    """
    return not any(
        type(block) is dict and block.get("type") != "text"
        for message in messages or ()
        if isinstance(message, dict) and type(message.get("content")) is list
        for block in message["content"]
    )


def _plain(prompt: Prompt, model: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides of a row of a system prompt and one text; empty of other rows."""
    messages, system = params.get("messages"), params.get("system")
    if (
        prompt.answers > 1
        or TOOLS in params
        or _MARK in params
        or not (system is None or isinstance(system, str))
        or not messages
        or len(messages) > 1
        or not isinstance(messages[0].get("content"), str)
    ):
        return ()
    more = tuple(map(params.get, FROM_THE_START))
    return (model, prompt.betas, system, *more, params.get("tool_choice"))


def _own_marks(params: Mapping[str, Any], found: Sequence[Block]) -> dict[int, int]:
    """The seconds of the marks that a row has itself, by the number of the block."""
    marks = {
        number: ttl_s
        for number, block in enumerate(found)
        if type(block.value) is dict and (ttl_s := _ttl_s(block.value))
    }
    if params.get(_MARK):
        last = [number for number, block in enumerate(found) if block.markable][-1:]
        marks.update((number, _seconds(params[_MARK])) for number in last)
    return marks


def _ttl_s(block: Mapping[str, Any]) -> int:
    """The seconds of the mark of *block*, or of one of those that it holds; 0: none."""
    if block.get(_MARK):
        return _seconds(block[_MARK])
    held = block.get("content")
    if not isinstance(held, list):
        return 0
    return max((_ttl_s(inner) for inner in held if isinstance(inner, dict)), default=0)


def _seconds(mark: Any) -> int:
    ttl = mark.get("ttl") if isinstance(mark, dict) else None
    return _TTL_S["1h" if ttl == "1h" else "5m"]
