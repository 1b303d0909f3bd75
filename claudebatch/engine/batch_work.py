"""Message batches as part of a session: whether there are any, and what they are made
of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from claudebatch.clients.base_url import address_of
from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.core.errors import StopRun
from claudebatch.engine.batches.answer_judge import AnswerJudge
from claudebatch.engine.batches.outcomes import OutcomeReader
from claudebatch.engine.batches.paced_client import BatchPace, PacedBatches
from claudebatch.engine.batches.parts import AccountQueue, BatchParts
from claudebatch.engine.batches.request_kinds import Objection
from claudebatch.engine.batches.sender import BatchSender
from claudebatch.engine.earlier_answers import EarlierAnswers
from claudebatch.engine.other_settings import IN_BATCHES
from claudebatch.engine.pending import wanted_rows
from claudebatch.engine.row_feed import InputSources
from claudebatch.layers.prompt_caching.placed import Place
from claudebatch.models.batch_limits import batch_tier
from claudebatch.setup.stack import Keys, Money
from claudebatch.storage.journal.batches import open_batches
from claudebatch.storage.journal.records import AttemptIntent
from claudebatch.storage.journal.roads import set_roads
from claudebatch.storage.ledger.batch_claims import claim_batch
from claudebatch.storage.ledger.known_batches import (
    asked_elsewhere,
    known_batches,
    queued_batches,
    remember_batch,
)

if TYPE_CHECKING:
    from claudebatch.engine.row_work import SessionContext, SessionStores


async def open_sender(
    context: SessionContext,
    stores: SessionStores,
    sources: InputSources,
    answers: EarlierAnswers,
    *,
    objection: Objection,
    place: Place,
    halt: Callable[[StopRun], None],
) -> BatchSender | None:
    """What sends rows by batch, with the money of earlier batches set aside; None
    where no row goes that way and nothing is to be collected.
    """
    settings, journal = context.run_setup.settings.batches, stores.journal
    # Also where the command says nothing of batches: what was sent is collected.
    used = settings.used or context.options.attach
    if not used and not await journal.read(open_batches):
        return None
    await journal.read(
        partial(
            set_roads,
            via="live" if settings.via == "live" else "batch",
            of_rules=settings.of_rules,
            share=stores.cache is not None,
        )
    )
    parts = batch_parts(
        context, stores, sources, answers, objection=objection, place=place, halt=halt
    )
    sender = BatchSender(
        replace(parts, key=_key(context), asked_elsewhere=_elsewhere(context, stores))
    )
    await sender.take_up()
    return sender


def batch_parts(
    context: SessionContext,
    stores: SessionStores,
    sources: InputSources,
    answers: EarlierAnswers,
    *,
    objection: Objection,
    place: Place,
    halt: Callable[[StopRun], None],
) -> BatchParts:
    """The parts of a session, as message batches need them."""
    settings, options, given = context.run_setup.settings, context.options, context.dependencies
    return BatchParts(
        settings=settings.batches,
        journal=stores.journal,
        budget=stores.budget,
        cache=stores.cache,
        unkept=settings.cache.policy.unkept,
        notes=stores.notes,
        address=address_of(options.base_url),
        connect=_paced(context),
        objection=None if options.no_check else objection,
        queue=_queue(context),
        rows=sources,
        wanted=wanted_rows(options),
        lanes=context.run.lanes,
        place=place,
        worst=_prices(context).batch_worst,
        expect=lambda intent: given.expect_in_batch(_as_call(intent)),
        outcomes=_outcomes(context),
        judge=_judge(context, sources, answers),
        names=options.input_names,
        known_elsewhere=lambda: known_batches(given.paths.ledger, but=context.run.run_id),
        claim=partial(claim_batch, given.paths.ledger, context.run.run_id),
        remember=partial(remember_batch, given.paths.ledger, context.run.run_id),
        folder=context.run.folder.path,
        simulated=options.simulate,
        note_simulator=context.finisher.note_simulator,
        halt=halt,
        max_outage_s=settings.max_outage_s,
        detach=options.detach,
        collect=options.collect,
        retry_batches=options.retry_batches,
        attach=options.attach,
        drain=context.drain,
        now=given.now,
        wall=given.wall,
        rng=given.rng,
        emit=context.emit,
    )


def _key(context: SessionContext) -> Callable[[Prompt, bytes], str] | None:
    # Made anew for each row only where those in the index are of other settings.
    otherwise = context.run.folder.meta(IN_BATCHES)
    return Keys(context.dependencies.key_scope).of if otherwise else None


def _elsewhere(
    context: SessionContext, stores: SessionStores
) -> Callable[[sqlite3.Connection], Mapping[str, int]] | None:
    if stores.cache is None:
        return None
    paths, limit = context.dependencies.paths, wanted_rows(context.options).limit
    return partial(asked_elsewhere, ledger=paths.ledger, but=context.run.run_id, limit=limit)


def _prices(context: SessionContext) -> Money:
    # The prices of the layers: what is held for a row does not depend on its road, but
    # for the half.
    run_setup = context.run_setup
    return Money(run_setup.prices, capped=run_setup.settings.budget.capped)


def _queue(context: SessionContext) -> AccountQueue:
    settings, dependencies = context.run_setup.settings, context.dependencies
    own, tier = settings.batches.max_queued, batch_tier(settings.limits.tier).queued_requests
    return AccountQueue(
        # Who sets more than the tier has knows their account; less is this run's part.
        most=max(own or 0, tier),
        most_own=own or tier,
        elsewhere=lambda: queued_batches(
            dependencies.paths.ledger,
            but=context.run.run_id,
            now_ms=int(dependencies.wall().timestamp() * 1000),
            address=address_of(context.options.base_url),
        ),
    )


def _outcomes(context: SessionContext) -> OutcomeReader:
    return OutcomeReader(
        cost=_prices(context).batch_cost,
        price_version=context.run_setup.prices.version,
        row_failed=context.dependencies.row_failed,
    )


def _as_call(intent: AttemptIntent) -> Call:
    """The size of what was sent; its text would have to be read again."""
    size = Size(
        input_tokens=intent.input_estimate,
        # The worst case was held: nothing beyond it is expected.
        input_bound=intent.input_estimate * 1000,
        output_tokens=intent.output_estimate,
        output_bound=intent.output_bound,
    )
    route = Route(intent.model, intent.rule)
    return Call(intent.row, Prompt(intent.id, {}), route, intent.model, body=b"", size=size)


def _paced(context: SessionContext) -> Callable[[], BatchClient]:
    limits, dependencies = context.run_setup.settings.limits, context.dependencies
    if limits.tier == "none":
        return dependencies.connect_batches

    def connect() -> BatchClient:
        pace = BatchPace(
            batch_tier(limits.tier).requests_per_minute,
            share=limits.our_share,
            now=dependencies.now,
            sleep=context.drain.sleep,
        )
        return PacedBatches(dependencies.connect_batches(), pace)

    return connect


def _judge(context: SessionContext, sources: InputSources, answers: EarlierAnswers) -> AnswerJudge:
    settings = context.run_setup.settings
    return AnswerJudge(
        sources,
        answers,
        wants_form=bool(context.run.folder.meta("wants_form")),
        retries=settings.schema_retries,
        unwanted=settings.fallback_on,
        has_fallback=lambda model: bool(settings.fallbacks.get(model)),
        emit=context.emit,
    )
