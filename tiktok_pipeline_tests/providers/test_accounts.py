"""Identify a creator's account from the ids that vendors report, and detect responses about another account."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.providers.accounts import (
    ANOTHER_ACCOUNT,
    Account,
    Links,
    Sighting,
    contradiction,
    identify,
    of_one_author,
)
from tiktok_pipeline.providers.observations import PostReading, Problem, ProfileReading

START = datetime(2026, 11, 10, tzinfo=UTC)
X, Y = (
    Account("6912345678901234567", "MS4wLjABAAAAxxxxxxxxxx"),
    Account("7999999999999999999", "MS4wLjABAAAAyyyyyyyyyy"),
)
X_ID, X_SEC, Y_ID, Y_SEC = Account(X.user_id), Account(None, X.sec_uid), Account(Y.user_id), Account(None, Y.sec_uid)
UNKNOWN = Account()


def seen(account: Account, first: float, last: float | None = None, vendor: str = "a", times: int = 0) -> Sighting:
    """Return a sighting of responses every five minutes, between two minutes."""
    end = first if last is None else last
    begin, until = START + timedelta(minutes=first), START + timedelta(minutes=end)
    return Sighting(account, vendor, begin, until, times or 1 + int((end - first) // 5))


def identified(
    *sightings: Sighting, listed: Account = UNKNOWN, links: Links | None = None
) -> tuple[Account, str | None]:
    return identify(listed, sightings, links or Links.of((s.account, s.responses) for s in sightings))


def test_two_consistent_responses_half_an_hour_apart_identify_the_creators_account() -> None:
    assert identified(seen(X, 0, 30)) == (X, "responses")
    assert identified(seen(X, 0), seen(X, 60, vendor="b")) == (X, "responses")
    # Presumed only, so no request uses it.
    assert identified(seen(X, 0, 25)) == (X, None)
    assert identified(seen(X, 0, times=99)) == (X, None)
    assert identified() == (UNKNOWN, None)


def test_early_responses_about_another_account_identify_nothing() -> None:
    for wrong in (seen(Y, 0), seen(Y, 0, 10), seen(Y, 0, 25)):
        assert identified(wrong, seen(X, 30, 90)) == (X, "responses")
        assert identified(wrong, seen(X, 30, 35), seen(Y, 40), seen(X, 45, 200)) == (X, "responses")


def test_an_account_that_takes_the_handle_later_does_not_replace_the_first() -> None:
    for began in (35, 60, 60 * 24 * 30):
        assert identified(seen(X, 0, began - 5), seen(Y, began, began + 60 * 24 * 365)) == (X, "responses")


def test_contradicting_responses_are_decided_by_a_vote_of_the_vendors() -> None:
    mixed = [seen(Y if n % 2 else X, 5 * n) for n in range(99)]
    assert identified(*mixed, seen(X, 7, vendor="b"))[0] == X
    assert identified(*mixed, seen(Y, 7, vendor="b"))[0] == Y
    assert identified(*mixed)[1] is None
    # One vendor that is wrong from the first response on, against two others.
    always = [seen(Y, 10 * n, vendor="wrong") for n in range(60)]
    rest = [seen(X, 10 * n + 5, vendor="ab"[n % 2]) for n in range(60)]
    assert identified(*always, *rest)[0] == X


def test_ids_on_the_roster_take_precedence() -> None:
    assert identified(seen(Y, 0, 600), listed=X_ID) == (X_ID, "roster")
    assert identified(seen(X, 0), seen(Y, 5, 600), listed=X_ID) == (X, "roster")
    assert identified(seen(X, 0), seen(Y, 5, 600), listed=X_SEC) == (X, "roster")


def test_bodies_with_both_ids_link_vendors_that_give_one() -> None:
    # Konbini gives the secUid, TikLiveAPI the user id; one body has both.
    known, how = identified(seen(X_SEC, 0, 40), seen(X_ID, 3, vendor="b"), seen(X, 7, vendor="c"))
    assert (known, how) == (X, "responses")
    # Without a link, both ids are taken as one creator's until a body contradicts it.
    assert identified(seen(X_SEC, 0, 40), seen(X_ID, 3, vendor="b")) == (X, "responses")
    links = Links.of([(X, 5), (Y, 1)])
    assert identify(UNKNOWN, [seen(X_SEC, 0, 40)], links)[0] == X
    assert links.complete(Y_SEC) == Y
    assert X.is_same(links.complete(Y_SEC)) is False


def test_a_body_that_mixes_two_accounts_adds_no_link_against_the_majority() -> None:
    mixed = Account(X.user_id, Y.sec_uid)
    links = Links.of([(mixed, 1), (X, 3), (Y, 3)])
    assert links.complete(X_ID) == X
    assert links.complete(Y_SEC) == Y
    assert X.is_same(mixed) is False


def test_a_damaged_id_is_not_a_different_account() -> None:
    js, c = Account("6912345678901235000"), Account("6912345678901234688")
    assert X.is_same(js) is True
    assert c.is_same(X_ID) is True
    assert X.is_same(Account(None, str(X.sec_uid).lower())) is True
    assert X.is_same(Account.of("0", "", "null", None, "-1", "undefined")) is None
    # An intact id is preferred to an earlier damaged one.
    assert identified(seen(js, 0, 10), seen(X_ID, 15, 60))[0].user_id == X.user_id


def test_ids_are_classified_by_their_form() -> None:
    assert Account.of(X.sec_uid, X.user_id) == X
    assert Account.of(None, X.user_id) == X_ID


def test_the_order_of_sightings_changes_nothing() -> None:
    chance = random.Random(7)
    for _ in range(300):
        pool = [X, Y, X_ID, X_SEC, Y_ID, Y_SEC, Account("6912345678901235000")]
        sightings = []
        for _ in range(chance.randrange(1, 9)):
            first = chance.randrange(0, 200)
            sightings.append(seen(chance.choice(pool), first, first + chance.randrange(0, 60), chance.choice("abc")))
        links = Links.of(sorted(((s.account, s.responses) for s in sightings), key=repr))
        found = identify(UNKNOWN, sightings, links)
        for _ in range(5):
            chance.shuffle(sightings)
            assert identify(UNKNOWN, sightings, links) == found


def profile(account: Account, handle: str | None = "odd.one") -> ProfileReading:
    return ProfileReading(source="live", user_id=account.user_id, sec_uid=account.sec_uid, handle=handle)


@pytest.mark.parametrize(
    ("account", "handle", "known", "field"),
    [
        (Y, "odd.one", X, "user_id"), (Y_ID, "odd.one", X, "user_id"), (Y_SEC, "odd.one", X, "sec_uid"),
        (Y, "odd.one", X_SEC, "sec_uid"), (Account(X.user_id, Y.sec_uid), "odd.one", X, "sec_uid"),
        (X, "new.name", X, None), (X_ID, "new.name", X, None), (X, "odd.one", UNKNOWN, None),
        (UNKNOWN, "odd.one", X, None), (UNKNOWN, None, X, None), (UNKNOWN, "some.other", X, "handle"),
        (UNKNOWN, "some.other", UNKNOWN, "handle"), (Y, "some.other", UNKNOWN, "handle"),
        (X_SEC, "new.name", X_ID, "handle"),
    ],
)  # fmt: skip
def test_a_known_id_decides_and_otherwise_the_handle(
    account: Account, handle: str | None, known: Account, field: str | None
) -> None:
    problem = contradiction([profile(account, handle)], known, "odd.one")
    assert (problem and problem.field) == field
    assert problem is None or problem.reason == ANOTHER_ACCOUNT


def test_an_item_of_another_author_is_removed_from_its_page() -> None:
    posts = [(PostReading(post_id=str(n)), X if n != 2 else Y) for n in range(4)]
    found = list(of_one_author([*posts, (PostReading(post_id="9"), UNKNOWN)], "author"))
    assert [r.post_id for r in found if isinstance(r, PostReading)] == ["0", "1", "3", "9"]
    assert [(r.reason, r.field, r.value) for r in found if isinstance(r, Problem)] == [
        (ANOTHER_ACCOUNT, "author", Y.user_id)
    ]
