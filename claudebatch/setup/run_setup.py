"""The pure parts that a dry run and a real run share: catalog, prices, routes,
calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from claudebatch.config.settings import Settings
from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Call, Pico
from claudebatch.core.errors import ConfigError
from claudebatch.core.notice import Notice
from claudebatch.inputs import Defaults
from claudebatch.layers.rate_limit.settings import RateLimitSettings
from claudebatch.layers.structured_answers.follow_up import LONGEST_WORDS
from claudebatch.models.catalog import FAST_POOL, Catalog
from claudebatch.models.model_names import ModelNames
from claudebatch.models.prices import PriceBook
from claudebatch.routing.hidden_rules import hidden_rules
from claudebatch.routing.request import CallBuilder, token_estimator
from claudebatch.routing.router import Router
from claudebatch.routing.rules import parse_rules
from claudebatch.setup.named_models import NamedModels

# The SDK's own expectation: 128,000 tokens of output take an hour.
_S_PER_OUTPUT_TOKEN = 3600 / 128_000


@dataclass(frozen=True, slots=True)
class RunSetup:
    """Everything that turns an input line into a priced call."""

    settings: Settings
    catalog: Catalog
    prices: PriceBook
    router: Router
    builder: CallBuilder
    defaults: Defaults

    @classmethod
    def set_up(
        cls,
        settings: Settings,
        *,
        override: str | None,
        at: datetime,
        lines: Defaults | None = None,
        allow_unknown_model: bool = False,
        where: Callable[[str], str] = lambda key: "",
    ) -> RunSetup:
        """The parts for *settings*; *override* is `--model`; *lines* say how a line is
        read. *where* gives the `file:line` of a setting. Raises `ConfigError`.
        """
        lines = lines or Defaults(max_tokens=settings.max_tokens, system=settings.system)
        catalog = Catalog.load(settings.models, where).on(at.date())
        names = ModelNames(
            catalog,
            on=at.date(),
            vouched=tuple(map(catalog.resolve, settings.prices)),
            allow_unknown=allow_unknown_model,
        )
        rules = parse_rules(settings.routes, "routes", where)
        named = NamedModels(settings, rules, override, lines.edits)
        named.check(names, where)
        settings, rules, override, edits = named.resolved(catalog)
        # Before anything is read: a limit under a wrong name would let the run loose.
        _check_pools(settings.limits, catalog, where)
        router = Router(
            rules,
            settings.model,
            fallbacks=settings.fallbacks,
            override=override,
            estimate_tokens=token_estimator(catalog, settings.model),
            resolve=catalog.resolve,
        )
        return cls(
            settings=settings,
            catalog=catalog,
            prices=PriceBook.load(settings.prices, at=at),
            router=router,
            builder=_builder(settings, catalog, router),
            defaults=replace(lines, edits=edits, judge_model=names.of_line),
        )

    def require_prices(self, models: set[str]) -> None:
        """Refuse a run under a cap that could ask a model without a price."""
        # Without a cap an unknown cost is shown as unknown.
        if not self.settings.budget.capped:
            return
        unknown = self.unpriced(models)
        if unknown:
            raise ConfigError(
                "E154",
                f"no price is known for {', '.join(unknown)}, and the run has a cap",
                fix=f"add prices.{unknown[0]} to the configuration, choose another model, or "
                f"drop the cap",
            )

    def warnings(self, models: set[str], on: date) -> list[Notice]:
        """What a user should know before *models* are asked on the day *on*."""
        unpriced = [
            Notice("W011", f"no price is known for {model}: its cost is missing from every total")
            for model in self.unpriced(models)
        ]
        hidden = [
            Notice(
                "W018",
                f'the rule "{rule}" never decides: "{earlier}" before it takes all of its rows',
            )
            for rule, earlier in hidden_rules(self.settings.routes)
        ]
        return [*hidden, *unpriced, *retirements(self.catalog, self.with_fallbacks(models), on)]

    def worst_of_row(self, call: Call) -> Pico:
        """The most that the row of *call* can cost at its model where every answer
        comes: with its schema, also the requests that ask again. Raises `UnknownPrice`.
        """
        return self.prices.worst(call) + self._worst_again(call)

    def batch_worst_of_row(self, call: Call) -> Pico:
        """The same where the first request goes out with a message batch: those that
        ask again are sent at once.
        """
        return self.prices.batch_worst(call) + self._worst_again(call)

    def _worst_again(self, call: Call) -> Pico:
        again = self.settings.schema_retries
        if not again or schema_of(call.prompt.params) is None:
            return 0
        # The conversation grows by one answer and one sentence, however often it is
        # asked.
        size = call.size
        grown = size.input_bound + size.output_bound + LONGEST_WORDS
        bound = min(self.catalog.facts(call.model).context_window, grown)
        longer = replace(call, size=replace(size, input_bound=max(bound, size.input_bound)))
        return again * self.prices.worst(longer)

    def unpriced(self, models: set[str]) -> list[str]:
        """Those of *models* and of their fallbacks that have no price."""
        return sorted(
            model for model in self.with_fallbacks(models) if not self.prices.knows(model)
        )

    def with_fallbacks(self, models: set[str]) -> set[str]:
        """*models* and all that may answer in their place."""
        return models | {
            other for model in models for other in self.settings.fallbacks.get(model, ())
        }


def retirements(catalog: Catalog, models: Iterable[str], on: date) -> list[Notice]:
    """A warning for each of *models* that is retired or will be."""
    found = []
    for model in sorted(set(models)):
        facts = catalog.facts(model)
        left = facts.days_left(on)
        # No date is no retirement; 0 is the day itself, when requests already fail.
        if left is not None and left > 0:
            days = "1 day" if left == 1 else f"{left} days"
            text = f"{model} will be retired on {facts.retires_at}, in {days}"
            found.append(Notice("W012", text))
        elif left is not None and not facts.retires_for_sure:
            day = facts.retires_at
            text = f"{model} may have been retired on {day}: requests to it may fail"
            found.append(Notice("W067", text))
        elif left is not None:
            text = f"{model} was retired on {facts.retires_at}: requests to it fail"
            found.append(Notice("W013", text))
    return found


def _builder(settings: Settings, catalog: Catalog, router: Router) -> CallBuilder:
    return CallBuilder(
        catalog,
        router,
        expected_output=settings.expected_output_tokens,
        # A long answer takes its time: the deadline grows with what was asked for.
        deadline=lambda max_tokens: max(
            settings.attempt_deadline_s, max_tokens * _S_PER_OUTPUT_TOKEN
        ),
    )


def _check_pools(limits: RateLimitSettings, catalog: Catalog, where: Callable[[str], str]) -> None:
    """Refuse limits under a name that is nearly a pool's: they would limit nothing."""
    # Of any tier: all of them name the same pools.
    spelt = {_plain(pool): pool for pool in catalog.tier("start")}
    for name in limits.pools:
        listed = name.removesuffix(FAST_POOL)
        pool = (
            catalog.pool_of(listed) if catalog.known(listed) else spelt.get(_plain(listed), listed)
        )
        pool += name[len(listed) :]
        if pool != name:
            key = f"limits.pools.{name}"
            place = where(key)
            raise ConfigError(
                "E155",
                f"{place}: {key}: unknown pool" if place else f"{key}: unknown pool",
                fix=f'did you mean "{pool}"?',
            )


# `haiku_5_5` and `Haiku-5.5` are one name to a user.
def _plain(name: str) -> str:
    return name.lower().replace(".", "-").replace("_", "-")
