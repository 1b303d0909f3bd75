"""Facts about each Claude model: accepted parameters, context window, shared limits.

They are data (`data/models.json`, `data/limits.json`) and change several times a year,
so a user's configuration may correct or add any of them without a new release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec

from claudebatch.core.domain import FAST
from claudebatch.core.errors import ConfigError
from claudebatch.core.typos import meant
from claudebatch.core.values_shown import expected, got

ThinkingKind: TypeAlias = Literal["adaptive", "enabled", "disabled", "between_tools"]
Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]

THINKING_KINDS: tuple[ThinkingKind, ...] = ("adaptive", "enabled", "disabled", "between_tools")
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
"""In ascending order."""

# Characters of a name that are compared: the time grows with the square of the length,
# and a line's `model` may be a megabyte long.
_LONGEST_WORD = 100

FAST_POOL = "-fast"
"""Added to the name of a pool, the pool of the same models in fast mode."""

_DATED = re.compile(r"-\d{8}$")
# How other platforms write the same names: "anthropic/claude-opus-4.6",
# "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5@20251001".
_SEPARATORS = re.compile(r"[._@ ]")
_WRAPPED = re.compile(r"^.*anthropic[/-](?=claude)|-v\d+(:\d+)?$")
_AFTER_LINE = re.compile(r"-latest$")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about one model; the defaults are those of an unknown model and refuse
    nothing.
    """

    id: str
    pool: str
    """The models with the same pool share their limits."""
    aliases: tuple[str, ...] = ()
    line: str | None = None
    tokenizer: Literal["old", "new"] = "new"
    context_window: int = 1_000_000
    max_output: int = 1_000_000
    """Largest `max_tokens`. The default is above every real model's."""
    image_tokens_max: int = 4_784
    image_edge_max: int = 2_576
    """Larger images are scaled down to this many pixels on their long edge."""
    thinking: tuple[ThinkingKind, ...] = THINKING_KINDS
    """Accepted values of `thinking.type`."""
    thinking_default: Literal["on", "off", "always"] = "on"
    """The behaviour without `thinking`; `always` cannot be turned off."""
    effort_cap_without_thinking: Effort | None = None
    """Above this effort `disabled` and `between_tools` are refused; None refuses
    nothing.
    """
    efforts: tuple[Effort, ...] = EFFORTS
    """Accepted values of `output_config.effort`; empty where it is refused."""
    default_effort: Effort | None = "high"
    prefill: bool = True
    """Whether the last message may be from the assistant."""
    forced_tools: bool = True
    """Whether `tool_choice` may be `any` or `tool`."""
    structured: bool = True
    """Whether it takes `output_config.format`; else a forced tool stands in for it."""
    fast: bool = True
    """Whether `speed: fast` is served."""
    fast_until: str | None = None
    """The first day without fast mode, as YYYY-MM-DD."""
    inference_geo: bool = True
    system_turns: bool = True
    """Whether messages of role `system` may stand within the conversation."""
    refused_tools: tuple[str, ...] = ()
    """Kinds of tools that other models take."""
    min_cacheable_prefix: int = 512
    """Fewer tokens than this are silently not cached by the API."""
    tool_overhead: int = 354
    """Tokens of the hidden prompt that the API adds for `tools`."""
    forced_tool_overhead: int = 474
    """The same under a forced `tool_choice`."""
    retires_at: str | None = None
    """The announced day of retirement, as YYYY-MM-DD."""
    retires_for_sure: bool = True
    """False where sources differ: after that day requests are sent with a warning."""

    def days_left(self, on: date) -> int | None:
        """Days from *on* until its retirement, 0 or fewer after it; None without an
        announcement.
        """
        return None if self.retires_at is None else (date.fromisoformat(self.retires_at) - on).days

    def retired(self, on: date) -> bool:
        """Whether it is retired on the day *on*."""
        left = self.days_left(on)
        return left is not None and left <= 0


@dataclass(frozen=True, slots=True)
class TierLimits:
    """The limits of one pool of models, per minute."""

    requests_per_minute: int
    input_tokens_per_minute: int
    output_tokens_per_minute: int


_FIELDS = tuple(f.name for f in fields(ModelFacts) if f.name != "id")


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option that *word* is probably a typo of."""
    matches = get_close_matches(word[:_LONGEST_WORD], tuple(options), n=1)
    return matches[0] if matches else None


def did_you_mean(word: str, options: Iterable[str], plural: str) -> str:
    """The fix for an unknown *word*: the most similar of *options*, else all of them
    under their name in *plural*.
    """
    options = tuple(options)
    meant = closest(word, options)
    return f"did you mean {meant!r}?" if meant else f"the {plural} are: {', '.join(options)}"


class Catalog:
    """All models with facts; every other model has permissive facts."""

    def __init__(
        self, models: Iterable[ModelFacts], tiers: Mapping[str, Mapping[str, TierLimits]]
    ) -> None:
        self._tiers = tiers
        self._by_name: dict[str, ModelFacts] = {}
        for facts in models:
            self._by_name.update(dict.fromkeys((facts.id, *facts.aliases), facts))
        # Mutable: asked for many times a request.
        self._pools: dict[str, str] = {}
        # The list has the newest model of each line first.
        self._newest = {
            facts.line: facts.id for facts in reversed(list(self)) if facts.line is not None
        }

    @classmethod
    def load(
        cls,
        overrides: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        where: Callable[[str], str] = lambda key: "",
    ) -> Catalog:
        """The shipped facts, corrected by *overrides*: model id -> fields of
        `ModelFacts`, as YAML has them.

        *where* gives the `file:line` of a dotted key, for error messages.
        """
        shipped = cls(_models(), _limits())
        changed = [
            _override(shipped, shipped.resolve(model), raw, where)
            for model, raw in overrides.items()
        ]
        return cls((*_models(), *changed), _limits()) if changed else shipped

    def on(self, day: date) -> Catalog:
        """These facts as they are on *day*: what ended by then is gone."""
        return Catalog(
            (
                replace(facts, fast=False)
                if facts.fast_until is not None and day.isoformat() >= facts.fast_until
                else facts
                for facts in self
            ),
            self._tiers,
        )

    def __iter__(self) -> Iterator[ModelFacts]:
        """Every model with facts, once, in the order of the list."""
        return iter(dict.fromkeys(self._by_name.values()))

    def current(self, on: date) -> tuple[ModelFacts, ...]:
        """The models of this list that are not retired on the day *on*."""
        return tuple(facts for facts in self if not facts.retired(on))

    def facts(self, model: str) -> ModelFacts:
        """The facts about *model*, or about the undated name of a dated id; permissive
        ones if unknown.
        """
        return (
            self._by_name.get(model)
            or self._by_name.get(_DATED.sub("", model))
            # Unknown models get permissive facts: a new model must work before this
            # list knows it.
            or ModelFacts(model, model)
        )

    def known(self, model: str) -> bool:
        """Whether there are facts about *model*."""
        return model in self._by_name or _DATED.sub("", model) in self._by_name

    def suggest(self, model: str) -> str | None:
        """The model that *model* is probably a typo of."""
        plain = _WRAPPED.sub("", _SEPARATORS.sub("-", model.strip().lower()))
        line = meant(_AFTER_LINE.sub("", plain.removeprefix("claude-")), self._newest)
        if line is not None:
            return self._newest[line]
        for name in (plain, f"claude-{plain}"):
            if self.known(name):
                return name if name in self._by_name else self.facts(name).id
        # What all names begin with would make all of them alike.
        ends = {name.removeprefix("claude-"): name for name in self._by_name}
        near = closest(plain.removeprefix("claude-"), ends)
        return None if near is None else ends[near]

    def listed(self, model: str) -> bool:
        """Whether *model* is a name of the list, its date included."""
        return model in self._by_name

    def newest(self, line: str) -> str | None:
        """The newest model of a *line*, such as `haiku`; None if there is no such
        line.
        """
        return self._newest.get(line)

    def resolve(self, name: str) -> str:
        """The model that *name* stands for: the newest one of a line, or itself."""
        return name if name in self._by_name else self._newest.get(name.strip().lower(), name)

    def pool_of(self, model: str) -> str:
        """The pool whose limits *model* shares; its own id when unknown. In fast mode
        (see `limited_as`) it is one beside that.
        """
        pool = self._pools.get(model)
        if pool is None:
            name = model.removesuffix(FAST)
            pool = self.facts(name).pool
            pool = self._pools[model] = pool if name == model else f"{pool}{FAST_POOL}"
        return pool

    def tier(self, name: str) -> Mapping[str, TierLimits]:
        """Pool -> limits of one usage tier (start, build or scale)."""
        limits = self._tiers.get(name.lower())
        if limits is None:
            raise ConfigError(
                "E129",
                f"unknown tier {name!r}",
                fix=did_you_mean(name.lower(), self._tiers, "tiers"),
            )
        return limits

    def limits(self, tier: str, pool: str) -> TierLimits:
        """The limits of one pool; the tier's lowest ones for a pool it does not
        list.
        """
        pools = self.tier(tier)
        return pools.get(pool) or min(
            # Too slow for an unknown pool is a wait; too fast is a storm of 429s.
            pools.values(),
            key=lambda limits: limits.input_tokens_per_minute,
        )


def _override(
    shipped: Catalog, model: str, raw: Mapping[str, Any], where: Callable[[str], str]
) -> ModelFacts:
    key = f"models.{model}"
    place = where(key)
    name = f"{place}: {key}" if place else key
    if not isinstance(raw, Mapping):
        raise ConfigError(
            "E130",
            f"{name} must be a mapping of facts, got {got(raw)}",
            fix=f"give fields such as {_FIELDS[0]}",
        )
    for fact in raw:
        if fact not in _FIELDS:
            raise ConfigError(
                "E131",
                f"{name} has the unknown fact {fact!r}",
                fix=did_you_mean(str(fact), _FIELDS, "facts"),
            )
    known = (
        replace(shipped.facts(model), id=model)
        if shipped.known(model)
        else ModelFacts(model, model)
    )
    try:
        facts = msgspec.convert(
            {**msgspec.to_builtins(known), **msgspec.to_builtins(dict(raw))}, ModelFacts
        )
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        fact = path.strip("`$.").partition("[")[0]
        raise ConfigError(
            "E132",
            f"{name}.{fact}: {expected(reason, raw.get(fact))}",
            fix="correct the value, or remove it to use the shipped fact",
        ) from error
    _check_date(f"{name}.retires_at", facts.retires_at)
    _check_date(f"{name}.fast_until", facts.fast_until)
    return facts


def _check_date(name: str, value: str | None) -> None:
    try:
        date.fromisoformat("2026-11-30" if value is None else value)
    except ValueError as error:
        raise ConfigError(
            "E133", f"{name}: {value!r} is not a date", fix="write it as 2026-11-30"
        ) from error


@cache
def _models() -> tuple[ModelFacts, ...]:
    return msgspec.json.decode(read_data("models.json"), type=tuple[ModelFacts, ...])


@cache
def _limits() -> Mapping[str, Mapping[str, TierLimits]]:
    return msgspec.json.decode(read_data("limits.json"), type=dict[str, dict[str, TierLimits]])


def read_data(name: str) -> bytes:
    """The bytes of the file *name* of the shipped facts."""
    # `importlib.resources` would cost 17 ms of every start.
    return Path(__file__).with_name("data").joinpath(name).read_bytes()
