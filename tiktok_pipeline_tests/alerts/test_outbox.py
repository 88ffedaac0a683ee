"""The outbox sends, holds back repeats, and queues undelivered alerts without losing any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tiktok_pipeline.alerts.outbox import Message, Outbox
from tiktok_pipeline.alerts.webhook import DeliveryError

NOW = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Receiver:
    def __init__(self) -> None:
        self.took: list[str] = []
        self.down = False

    def __call__(self, text: str) -> None:
        if self.down:
            raise DeliveryError("down")
        self.took.append(text)


def tick(outbox: Outbox, receiver: Receiver, *keys: str, at: timedelta) -> None:
    for key in keys:
        outbox.offer(Message(key, f"{key}!"), now=NOW + at, repeat=HOUR)
    outbox.deliver(receiver, now=NOW + at, repeat=HOUR)


def test_the_same_alert_is_sent_once_per_repeat_time_and_then_reports_the_count() -> None:
    outbox, receiver = Outbox(), Receiver()
    for minutes in range(0, 70, 10):
        tick(outbox, receiver, "a", at=timedelta(minutes=minutes))
    assert receiver.took == ["a!", "a! (5 more times since the last alert.)"]


def test_different_alerts_are_sent_without_delay() -> None:
    outbox, receiver = Outbox(), Receiver()
    tick(outbox, receiver, "a", "b", at=timedelta(0))
    tick(outbox, receiver, "a", "c", at=timedelta(minutes=1))
    assert receiver.took == ["a!", "b!", "c!"]


def test_undelivered_messages_are_sent_later_once_and_in_order() -> None:
    outbox, receiver = Outbox(), Receiver()
    receiver.down = True
    for minute in range(3):
        with pytest.raises(DeliveryError):
            tick(outbox, receiver, "a", f"b{minute}", at=timedelta(minutes=minute))
    assert [message.key for message in outbox.waiting] == ["a", "b0", "b1", "b2"]
    receiver.down = False
    tick(outbox, receiver, at=timedelta(minutes=5))
    tick(outbox, receiver, at=timedelta(minutes=6))
    assert receiver.took == ["a!", "b0!", "b1!", "b2!"]


def test_a_long_outage_keeps_only_the_newest_50_messages() -> None:
    outbox, receiver = Outbox(), Receiver()
    receiver.down = True
    for n in range(500):
        with pytest.raises(DeliveryError):
            tick(outbox, receiver, f"k{n}", at=timedelta(minutes=n))
    assert len(outbox.waiting) == 50
    assert outbox.waiting[-1].key == "k499"
    receiver.down = False
    for minute in range(10):
        tick(outbox, receiver, at=timedelta(minutes=600 + minute))
    assert len(receiver.took) == 50


def test_old_sent_messages_are_forgotten() -> None:
    outbox, receiver = Outbox(), Receiver()
    tick(outbox, receiver, *(f"k{n}" for n in range(9)), at=timedelta(0))
    tick(outbox, receiver, at=timedelta(hours=2))
    assert outbox.sent == {}


def test_the_state_survives_serialization_as_a_cursor() -> None:
    outbox, receiver = Outbox(), Receiver()
    tick(outbox, receiver, "a", at=timedelta(0))
    again = msgspec.json.decode(msgspec.json.encode(outbox), type=Outbox)
    tick(again, receiver, "a", at=timedelta(minutes=1))
    assert receiver.took == ["a!"]
