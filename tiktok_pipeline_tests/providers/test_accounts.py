"""Which account a creator is, by what vendors named; and what makes a response another account's."""

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
NOBODY = Account()


def seen(account: Account, first: float, last: float | None = None, vendor: str = "a", times: int = 0) -> Sighting:
    """Responses every five minutes, by minutes."""
    end = first if last is None else last
    begin, until = START + timedelta(minutes=first), START + timedelta(minutes=end)
    return Sighting(account, vendor, begin, until, times or 1 + int((end - first) // 5))


def told(*sightings: Sighting, listed: Account = NOBODY, links: Links | None = None) -> tuple[Account, str | None]:
    return identify(listed, sightings, links or Links.of((s.account, s.responses) for s in sightings))


def test_two_responses_that_agree_over_half_an_hour_are_the_creators_account() -> None:
    assert told(seen(X, 0, 30)) == (X, "responses")
    assert told(seen(X, 0), seen(X, 60, vendor="b")) == (X, "responses")
    # Presumed, and nothing is requested by it.
    assert told(seen(X, 0, 25)) == (X, None)
    assert told(seen(X, 0, times=99)) == (X, None)
    assert told() == (NOBODY, None)


def test_a_wrong_beginning_establishes_nothing() -> None:
    for wrong in (seen(Y, 0), seen(Y, 0, 10), seen(Y, 0, 25)):
        assert told(wrong, seen(X, 30, 90)) == (X, "responses")
        assert told(wrong, seen(X, 30, 35), seen(Y, 40), seen(X, 45, 200)) == (X, "responses")


def test_an_account_that_takes_the_handle_later_replaces_nobody() -> None:
    for began in (35, 60, 60 * 24 * 30):
        assert told(seen(X, 0, began - 5), seen(Y, began, began + 60 * 24 * 365)) == (X, "responses")


def test_while_responses_contradict_each_other_the_vendors_vote() -> None:
    mixed = [seen(Y if n % 2 else X, 5 * n) for n in range(99)]
    assert told(*mixed, seen(X, 7, vendor="b"))[0] == X
    assert told(*mixed, seen(Y, 7, vendor="b"))[0] == Y
    assert told(*mixed)[1] is None
    # A vendor that is wrong from the first response on, against two.
    always = [seen(Y, 10 * n, vendor="wrong") for n in range(60)]
    others = [seen(X, 10 * n + 5, vendor="ab"[n % 2]) for n in range(60)]
    assert told(*always, *others)[0] == X


def test_the_roster_decides() -> None:
    assert told(seen(Y, 0, 600), listed=X_ID) == (X_ID, "roster")
    assert told(seen(X, 0), seen(Y, 5, 600), listed=X_ID) == (X, "roster")
    assert told(seen(X, 0), seen(Y, 5, 600), listed=X_SEC) == (X, "roster")


def test_bodies_with_both_ids_link_vendors_that_give_one() -> None:
    # Konbini gives the secUid, TikLiveAPI the user id; one body has both.
    known, how = told(seen(X_SEC, 0, 40), seen(X_ID, 3, vendor="b"), seen(X, 7, vendor="c"))
    assert (known, how) == (X, "responses")
    # Without a link they are one creator until a body says otherwise.
    assert told(seen(X_SEC, 0, 40), seen(X_ID, 3, vendor="b")) == (X, "responses")
    links = Links.of([(X, 5), (Y, 1)])
    assert identify(NOBODY, [seen(X_SEC, 0, 40)], links)[0] == X
    assert links.complete(Y_SEC) == Y
    assert X.is_same(links.complete(Y_SEC)) is False


def test_a_body_that_mixes_two_accounts_links_nothing_that_others_contradict() -> None:
    mixed = Account(X.user_id, Y.sec_uid)
    links = Links.of([(mixed, 1), (X, 3), (Y, 3)])
    assert links.complete(X_ID) == X
    assert links.complete(Y_SEC) == Y
    assert X.is_same(mixed) is False


def test_damage_is_not_a_difference() -> None:
    js, c = Account("6912345678901235000"), Account("6912345678901234688")
    assert X.is_same(js) is True
    assert c.is_same(X_ID) is True
    assert X.is_same(Account(None, str(X.sec_uid).lower())) is True
    assert X.is_same(Account.of("0", "", "null", None, "-1", "undefined")) is None
    # A sound id is preferred to a damaged one that was there first.
    assert told(seen(js, 0, 10), seen(X_ID, 15, 60))[0].user_id == X.user_id


def test_ids_are_told_apart_by_their_form() -> None:
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
        found = identify(NOBODY, sightings, links)
        for _ in range(5):
            chance.shuffle(sightings)
            assert identify(NOBODY, sightings, links) == found


def profile(account: Account, handle: str | None = "odd.one") -> ProfileReading:
    return ProfileReading(source="live", user_id=account.user_id, sec_uid=account.sec_uid, handle=handle)


@pytest.mark.parametrize(
    ("account", "handle", "known", "field"),
    [
        (Y, "odd.one", X, "user_id"), (Y_ID, "odd.one", X, "user_id"), (Y_SEC, "odd.one", X, "sec_uid"),
        (Y, "odd.one", X_SEC, "sec_uid"), (Account(X.user_id, Y.sec_uid), "odd.one", X, "sec_uid"),
        (X, "new.name", X, None), (X_ID, "new.name", X, None), (X, "odd.one", NOBODY, None),
        (NOBODY, "odd.one", X, None), (NOBODY, None, X, None), (NOBODY, "some.other", X, "handle"),
        (NOBODY, "some.other", NOBODY, "handle"), (Y, "some.other", NOBODY, "handle"),
        (X_SEC, "new.name", X_ID, "handle"),
    ],
)  # fmt: skip
def test_an_id_decides_and_a_handle_where_there_is_no_known_id(
    account: Account, handle: str | None, known: Account, field: str | None
) -> None:
    problem = contradiction([profile(account, handle)], known, "odd.one")
    assert (problem and problem.field) == field
    assert problem is None or problem.reason == ANOTHER_ACCOUNT


def test_an_item_of_another_author_is_taken_out_of_its_page() -> None:
    posts = [(PostReading(post_id=str(n)), X if n != 2 else Y) for n in range(4)]
    found = list(of_one_author([*posts, (PostReading(post_id="9"), NOBODY)], "author"))
    assert [r.post_id for r in found if isinstance(r, PostReading)] == ["0", "1", "3", "9"]
    assert [(r.reason, r.field, r.value) for r in found if isinstance(r, Problem)] == [
        (ANOTHER_ACCOUNT, "author", Y.user_id)
    ]
