"""Common parts of the alert sensors: the receiver, the interval, and the retry if it is down."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg

from tiktok_pipeline.alerts.outbox import Message, Outbox
from tiktok_pipeline.alerts.webhook import WEBHOOK, DeliveryError, send
from tiktok_pipeline.config.network import Network
from tiktok_pipeline.resources import Pipeline

EVERY_SECONDS = 30


def reason_to_skip(pipeline: Pipeline) -> dg.SkipReason | None:
    """Return why this tick has nothing to do; None if it has."""
    if not pipeline.variables.get(WEBHOOK):
        return dg.SkipReason(f"{WEBHOOK} is not set: there is no receiver")
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: replayed data gives no alerts")
    return None


def deliver_messages(
    context: dg.SensorEvaluationContext, pipeline: Pipeline, outbox: Outbox, messages: Iterable[Message]
) -> dg.SkipReason:
    """Send new and waiting messages; `outbox` is changed in place and belongs into the cursor.

    A receiver that is down is logged; waiting messages are sent at a later tick.
    """
    # Wall-clock time, not the time of the replay or the sandbox.
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
