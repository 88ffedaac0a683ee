"""What is to be told, what was told lately, and what waits for a receiver that is down.

The state is a sensor's cursor: it survives restarts and is lost with nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

# What waits while a receiver is down, oldest first; more than this nobody wants to read afterwards.
_MOST_WAITING = 50
_MOST_AT_ONCE = 10


class Message(msgspec.Struct, frozen=True):
    """Something to tell; messages of one `key` are the same alert."""

    key: str
    text: str


class Outbox(msgspec.Struct):
    """Alerts by key with when they were last sent and how often they came since, and those that wait."""

    sent: dict[str, datetime] = {}
    repeated: dict[str, int] = {}
    waiting: list[Message] = []

    def offer(self, message: Message, *, now: datetime, repeat: timedelta) -> None:
        """Take a message, unless its alert was sent less than `repeat` ago: then it is counted."""
        if any(other.key == message.key for other in self.waiting):
            return
        last = self.sent.get(message.key)
        if last is not None and now - last < repeat:
            self.repeated[message.key] = self.repeated.get(message.key, 0) + 1
            return
        again = self.repeated.pop(message.key, 0)
        text = f"{message.text} ({again} more times since the last alert.)" if again else message.text
        self.waiting = [*self.waiting, Message(message.key, text)][-_MOST_WAITING:]

    def deliver(self, send: Callable[[str], None], *, now: datetime, repeat: timedelta) -> int:
        """Send what waits, in order; how many went out. What was sent longer than `repeat` ago is forgotten.

        Raises:
            DeliveryError: the receiver did not take one; it and those after it go on waiting.
        """
        self.sent = {key: at for key, at in self.sent.items() if now - at < repeat}
        delivered = 0
        while self.waiting and delivered < _MOST_AT_ONCE:
            send(self.waiting[0].text)
            self.sent[self.waiting[0].key] = now
            self.waiting = self.waiting[1:]
            delivered += 1
        return delivered
