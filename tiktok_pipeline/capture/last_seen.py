"""The state of each creator that a window keeps between polls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tiktok_pipeline.providers.accounts import Account, Links, Sighting, contradiction, identify
from tiktok_pipeline.providers.observations import ON_AIR, LiveReading, ProfileReading
from tiktok_pipeline.providers.vendor import Target

# Limit: if vendors contradict each other this often, the window stops comparing; the derived tables decide.
_MOST_SIGHTINGS = 100


# Longest delay between polls of a missing handle. The delay equals the time since the handle went missing, up to this
# limit: a returning account is found within the hour, and a deleted one costs 24 requests a day instead of 288.
LONGEST_ABSENCE = timedelta(hours=1)


@dataclass(frozen=True)
class LastSeen:
    """The state of one creator between polls."""

    live: bool = False
    # Start of the stream as reported, or first on-air response; None off air.
    live_since: datetime | None = None
    room_id: str | None = None
    # The account in the responses, and the handle that the newest of them gave it.
    user_id: str | None = None
    sec_uid: str | None = None
    handle: str | None = None
    # Accounts in responses to the roster's handle, kept until the creator's account is known.
    sightings: tuple[Sighting, ...] = ()
    room_polled_at: datetime | None = None
    identity_polled_at: datetime | None = None
    polled_at: datetime | None = None
    # First "not found" response in an unbroken series; None if the handle exists or its state is unknown.
    missing_since: datetime | None = None
    # Off air in one response after on air: must be confirmed by another poll.
    unconfirmed: bool = False

    def after(self, readings: Iterable[object], at: datetime) -> LastSeen:
        """Return this state updated by the readings of a response at `at`."""
        live, live_since, room_id = self.live, self.live_since, self.room_id
        last, newest_handle = Account(self.user_id, self.sec_uid), self.handle
        for reading in readings:
            if isinstance(reading, ProfileReading):
                account = Account.of(reading.user_id, reading.sec_uid)
                # A handle without an id is not evidence of the account.
                newest_handle = reading.handle if account and reading.handle else newest_handle
                last = account if account.is_same(last) is False else account.filled(last)
            elif isinstance(reading, LiveReading):
                live = reading.live_state in ON_AIR
                live_since = min(reading.started_at or live_since or at, at) if live else None
                room_id = reading.room_id or room_id
        # `replace` takes three times as long, which matters for all creators at the start of a window.
        return LastSeen(
            live=live,
            live_since=live_since,
            room_id=room_id,
            user_id=last.user_id,
            sec_uid=last.sec_uid,
            handle=newest_handle,
            sightings=self.sightings,
            room_polled_at=self.room_polled_at,
            identity_polled_at=self.identity_polled_at,
            polled_at=self.polled_at,
            missing_since=None,
            unconfirmed=self.unconfirmed,
        )

    def sighted(self, readings: Iterable[object], target: Target, vendor: str, at: datetime) -> LastSeen:
        """Return this state with the account in a response to the roster's handle; unchanged if one is known."""
        if account_of(target) or target.handle != target.creator_id or len(self.sightings) >= _MOST_SIGHTINGS:
            return self
        seen = self
        for reading in readings:
            account = Account.of(reading.user_id, reading.sec_uid) if isinstance(reading, ProfileReading) else None
            if account and not is_others([reading], target):
                new = Sighting(account, vendor, at, at)
                last = seen.sightings[-1].then(new) if seen.sightings else None
                seen = replace(seen, sightings=(*seen.sightings[:-1], last) if last else (*seen.sightings, new))
        return seen

    def identified(self, target: Target) -> Target:
        """Return `target` with ids filled in: those that responses agreed on, or those linked to its known ids."""
        account = account_of(target)
        if not account:
            links = Links.of((sighting.account, sighting.responses) for sighting in self.sightings)
            found, how = identify(account, self.sightings, links)
            return replace(target, user_id=found.user_id, sec_uid=found.sec_uid) if how else target
        seen = Account(self.user_id, self.sec_uid)
        account = account.filled(seen) if account.is_same(seen) else account
        return replace(target, user_id=account.user_id, sec_uid=account.sec_uid)

    def named(self, target: Target) -> Target:
        """Return `target` with its newest handle, if the account of that handle is known to be the creator's."""
        if self.handle is None or not account_of(target).is_same(Account(self.user_id, self.sec_uid)):
            return target
        return replace(target, handle=self.handle)


def account_of(target: Target) -> Account:
    """Return the account of a target by its ids; an account without ids if the target has none."""
    return Account.of(target.user_id, target.sec_uid)


def is_own(readings: Iterable[object], target: Target) -> bool:
    """Return whether a response confirms the target: it has a known id and no id of another account."""
    accounts = [Account.of(r.user_id, r.sec_uid) for r in readings if isinstance(r, ProfileReading)]
    same = [account_of(target).is_same(account) for account in accounts]
    return True in same and False not in same


def is_others(readings: Iterable[object], target: Target, *, by_handle: bool = True) -> bool:
    """Return whether a response to a request for `target` is about another account; such a response is ignored."""
    return contradiction(readings, account_of(target), target.handle if by_handle else None) is not None
