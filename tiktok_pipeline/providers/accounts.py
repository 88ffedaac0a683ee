"""Identify the account of a response: ids, links between ids, and the first account of a creator's handle.

Handles are recycled, vendors mix up responses, and some vendors return only the user id, others only the secUid. So an
account is identified by either id; a body with both ids links them. The account of a creator is, in this order:

1. the ids in the roster, if the operator entered them;
2. the account on which responses agreed first: under the roster's handle, for `_AGREED_FOR` without a response that
   names another account. It stays the creator's. One wrong response, or a vendor that is wrong for ten minutes,
   identifies no account. An account that takes the handle later does not replace it;
3. until then, a presumed account: the one that most vendors, then most responses, name. It is not used in requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tiktok_pipeline.providers.identifiers import is_number, is_rounded, is_sec_uid, same_number
from tiktok_pipeline.providers.observations import Problem, ProfileReading, Reading

# Reason of a quarantined response: a property of the data, not a reading error.
ANOTHER_ACCOUNT = "another account"

# Responses must agree for this long before their account is the creator's. A cache or a confused vendor repeats a wrong
# response for some minutes; profiles are polled every hour, live states every five minutes.
_AGREED_FOR = timedelta(minutes=30)
_AGREEING = 2


@dataclass(frozen=True)
class Account:
    """A TikTok account: either id may be missing."""

    user_id: str | None = None
    sec_uid: str | None = None

    def __bool__(self) -> bool:
        """Return whether any id is known."""
        return self.user_id is not None or self.sec_uid is not None

    @classmethod
    def of(cls, *ids: str | None) -> Account:
        """Return the account of these ids, which are recognized by their form; ids of another form are ignored."""
        user_id = next((found for found in ids if found and is_number(found)), None)
        sec_uid = next((found for found in ids if found and is_sec_uid(found)), None)
        return cls(user_id, sec_uid)

    def is_same(self, other: Account) -> bool | None:
        """Return whether both are one account: False if any id differs, None if no id can be compared."""
        compared = []
        if self.user_id and other.user_id:
            compared.append(same_number(self.user_id, other.user_id))
        if self.sec_uid and other.sec_uid:
            # Base64 is case-sensitive, but a lower-cased secUid still means the same account.
            compared.append(self.sec_uid.casefold() == other.sec_uid.casefold())
        return all(compared) if compared else None

    def filled(self, other: Account) -> Account:
        """Return this account with missing ids filled in from `other`."""
        return Account(self.user_id or other.user_id, self.sec_uid or other.sec_uid)


@dataclass(frozen=True)
class Sighting:
    """Consecutive responses of one vendor to one kind of request that name the same account."""

    account: Account
    vendor: str
    first: datetime
    last: datetime
    responses: int = 1

    def then(self, other: Sighting) -> Sighting | None:
        """Return this sighting continued by a later one; None if vendor or account differ."""
        if (self.vendor, self.account) != (other.vendor, other.account):
            return None
        return replace(self, last=max(self.last, other.last), responses=self.responses + other.responses)


@dataclass
class Links:
    """Pairs of user id and secUid from bodies with both; the most frequent pair wins."""

    _pairs: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, sightings: Iterable[tuple[Account, int]]) -> Links:
        """Return the links in accounts, each with its number of responses, in order of time."""
        links = cls()
        for account, responses in sightings:
            if account.user_id and account.sec_uid and not is_rounded(account.user_id):
                pair = account.user_id, account.sec_uid
                links._pairs[pair] = links._pairs.get(pair, 0) + responses
        return links

    def complete(self, account: Account) -> Account:
        """Return the account with its missing id filled in, if a body linked the two."""
        if account.user_id and account.sec_uid:
            return account
        linked = [
            (count, pair)
            for pair, count in self._pairs.items()
            if pair[0] == account.user_id or pair[1] == account.sec_uid
        ]
        # max() takes the first of equals: dicts keep the order of time.
        return account.filled(Account(*max(linked, key=lambda each: each[0])[1])) if linked else account


@dataclass
class _Candidate:
    account: Account
    sightings: list[Sighting]


def identify(listed: Account, sightings: Sequence[Sighting], links: Links) -> tuple[Account, str | None]:
    """Return a creator's account and its source: `roster`, `responses`, or None for a presumed account.

    Args:
        listed: the ids in the roster.
        sightings: accounts in responses to requests by the roster's handle, of one creator.
        links: pairs of ids that belong together, from all responses about the creator.
    """
    candidates = _candidates(sightings, links)
    agreed = sorted(
        (since, place)
        for place, candidate in enumerate(candidates)
        if (since := _agreed_at(candidate, candidates)) is not None
    )
    by_votes = sorted(range(len(candidates)), key=lambda place: _votes(candidates[place]), reverse=True)
    order = [place for _, place in agreed] + by_votes
    known = links.complete(listed)
    how: str | None = "roster" if listed else None
    if not listed and order:
        known = candidates[order[0]].account
        how = "responses" if agreed else None
    for place in order:
        other = candidates[place].account
        # A vendor that returns only the other id: the same creator, unless a body links that id to another account.
        if known.is_same(other) is None:
            known = links.complete(known.filled(other))
    return known, how


def _candidates(sightings: Sequence[Sighting], links: Links) -> list[_Candidate]:
    found: list[_Candidate] = []
    for sighting in sorted(sightings, key=lambda each: (each.first, each.last, each.vendor, repr(each.account))):
        account = links.complete(sighting.account)
        known = next((each for each in found if each.account.is_same(account)), None)
        if known is None:
            found.append(_Candidate(account, [sighting]))
            continue
        known.sightings.append(sighting)
        if known.account.user_id and account.user_id and is_rounded(known.account.user_id):
            known.account = replace(known.account, user_id=account.user_id)
        known.account = known.account.filled(account)
    return found


def _votes(candidate: _Candidate) -> tuple[int, int, float]:
    """Return how many vendors and responses name a candidate; among equals, the earliest is largest."""
    vendors = len({sighting.vendor for sighting in candidate.sightings})
    return vendors, sum(s.responses for s in candidate.sightings), -candidate.sightings[0].first.timestamp()


def _agreed_at(candidate: _Candidate, candidates: Sequence[_Candidate]) -> datetime | None:
    """Return when responses had agreed on the candidate for long enough without contradiction; None if never."""
    against = sorted(
        (sighting.first, sighting.last)
        for other in candidates
        if candidate.account.is_same(other.account) is False
        for sighting in other.sightings
    )
    own = sorted(candidate.sightings, key=lambda each: (each.first, each.last))
    for begin, end in _between(against, own[0].first, max(sighting.last for sighting in own)):
        inside = [s for s in own if s.first <= end and s.last >= begin]
        if not inside:
            continue
        first = max(begin, min(s.first for s in inside))
        last = min(end, max(s.last for s in inside))
        responses = sum(s.responses for s in inside)
        if last - first >= _AGREED_FOR and responses >= _AGREEING:
            return first + _AGREED_FOR
    return None


def _between(
    against: Sequence[tuple[datetime, datetime]], begin: datetime, end: datetime
) -> Iterable[tuple[datetime, datetime]]:
    """Yield the parts of [begin, end] that no interval of `against` covers, in order."""
    for first, last in against:
        if first > end:
            break
        if first > begin:
            yield begin, first
        begin = max(begin, last)
    if begin <= end:
        yield begin, end


def of_one_author(items: Sequence[tuple[Reading, Account]], field: str) -> Iterator[Reading | Problem]:
    """Yield the items of a page by its most frequent author; items of other authors are problems.

    Args:
        items: each item with its author's account; without ids if the body does not contain them.
        field: path of the author, for the problems.
    """
    page = frequent(account for _, account in items)
    for item, account in items:
        if page.is_same(account) is False:
            yield Problem(ANOTHER_ACCOUNT, field, account.user_id or account.sec_uid)
        else:
            yield item


def frequent(accounts: Iterable[Account]) -> Account:
    """Return the most frequent account with an id, the first of equals; one without ids if there is none."""
    named = Counter(account for account in accounts if account)
    return named.most_common(1)[0][0] if named else Account()


def contradiction(
    readings: Iterable[object], known: Account, handle: str | None, links: Links | None = None
) -> Problem | None:
    """Return the evidence that a response is about another account than the creator's; None if there is none.

    Args:
        readings: the readings of the response.
        known: the known ids of the creator's account.
        handle: the handle in the request; None for a request by id.
        links: pairs of ids that belong together.
    """
    confirmed = False
    named: str | None = None
    for reading in readings:
        if not isinstance(reading, ProfileReading):
            continue
        account = Account.of(reading.user_id, reading.sec_uid)
        same = known.is_same(links.complete(account) if links else account)
        if same is False:
            return different(account, known)
        confirmed = confirmed or same is True
        named = named or reading.handle
    if not confirmed and handle is not None and named is not None and named != handle.lower():
        return Problem(ANOTHER_ACCOUNT, "handle", named)
    return None


def different(account: Account, known: Account) -> Problem:
    """Return the problem of a response about `account` instead of `known`, with the id that differs."""
    if account.user_id and known.user_id and not same_number(account.user_id, known.user_id):
        return Problem(ANOTHER_ACCOUNT, "user_id", account.user_id)
    if account.sec_uid:
        return Problem(ANOTHER_ACCOUNT, "sec_uid", account.sec_uid)
    return Problem(ANOTHER_ACCOUNT, "user_id", account.user_id)
