"""State of the alerts: messages to send, messages sent lately, and messages that wait for the receiver.

The state is a sensor's cursor, which survives restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

# Messages kept while the receiver is down, oldest first; more would not be read afterwards.
_MOST_WAITING = 50
_MOST_AT_ONCE = 10


class Message(msgspec.Struct, frozen=True):
    """A message to send; messages of one `key` are the same alert."""

    key: str
    text: str


class Outbox(msgspec.Struct):
    """Alerts by key with the time of the last message and later repeats, and the messages that wait."""

    sent: dict[str, datetime] = {}
    repeated: dict[str, int] = {}
    waiting: list[Message] = []

    def offer(self, message: Message, *, now: datetime, repeat: timedelta) -> None:
        """Add a message; if its alert was sent less than `repeat` ago, only count it."""
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
        """Send the waiting messages in order; return how many. Drop the record of alerts older than `repeat`.

        Raises:
            DeliveryError: the receiver rejected a message; it and the later ones stay in the queue.
        """
        self.sent = {key: at for key, at in self.sent.items() if now - at < repeat}
        delivered = 0
        while self.waiting and delivered < _MOST_AT_ONCE:
            send(self.waiting[0].text)
            self.sent[self.waiting[0].key] = now
            self.waiting = self.waiting[1:]
            delivered += 1
        return delivered
