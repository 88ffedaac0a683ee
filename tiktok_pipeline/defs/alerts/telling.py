"""What the sensors that tell share: whom, how often, and what happens when nobody takes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg

from tiktok_pipeline.alerts.outbox import Message, Outbox
from tiktok_pipeline.alerts.webhook import WEBHOOK, DeliveryError, send
from tiktok_pipeline.config.network import Network
from tiktok_pipeline.resources import Pipeline

EVERY_SECONDS = 30


def nobody_to_tell(pipeline: Pipeline) -> dg.SkipReason | None:
    """Why this tick has nothing to do; None where it has."""
    if not pipeline.variables.get(WEBHOOK):
        return dg.SkipReason(f"{WEBHOOK} is not set: there is nobody to tell")
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: what is replayed is no news")
    return None


def tell(
    context: dg.SensorEvaluationContext, pipeline: Pipeline, outbox: Outbox, messages: Iterable[Message]
) -> dg.SkipReason:
    """Send what is new and what waits; `outbox` is changed in place and belongs into the cursor.

    A receiver that is down is logged; what waits is sent at a later tick.
    """
    # People's time, not the replay's or the sandbox's.
    now, repeat = datetime.now(UTC), timedelta(minutes=pipeline.settings().alerts.repeat_minutes)
    for message in messages:
        outbox.offer(message, now=now, repeat=repeat)
    waiting = len(outbox.waiting)
    address, network = pipeline.variables[WEBHOOK], Network.from_environment(pipeline.variables)
    try:
        outbox.deliver(lambda text: send(address, text, network), now=now, repeat=repeat)
    except DeliveryError as error:
        context.log.warning("%s; %d messages wait for it", error, len(outbox.waiting))
        return dg.SkipReason(f"{error}; {len(outbox.waiting)} messages wait for it")
    return dg.SkipReason(f"{waiting - len(outbox.waiting)} messages were sent, {len(outbox.waiting)} wait")
