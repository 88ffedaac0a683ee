"""A few summary rows keep all that sightings show about identities, for any order of days."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tiktok_pipeline.tables import ACCOUNT_SIGHTINGS
from tiktok_pipeline.transforms.identity import Summary, identities, joined, summarize, taken_handles
from tiktok_pipeline_tests.transforms.frames import frame

START = datetime(2026, 11, 1, tzinfo=UTC)
CREATORS = ("ana", "bob", "zoe")
USER_IDS = {name: f"69123456789012345{number}" for number, name in enumerate((*CREATORS, "thief"), start=10)}
VENDORS = ("konbini", "social_fetch", "tikhub")


def sightings(chance: random.Random) -> pl.DataFrame:
    """Return two weeks of sightings: renames, taken handles, mix-ups, vendors that give one id or none."""
    rows = []
    for number in range(chance.randrange(1, 120)):
        creator, person = chance.choice(CREATORS), chance.choice((*CREATORS, "thief"))
        person = creator if chance.random() < 0.7 else person
        handle = chance.choice((creator, creator, f"{creator}.new"))
        first = START + timedelta(hours=chance.randrange(14 * 24))
        rows.append(
            {
                "creator_id": creator, "vendor": chance.choice(VENDORS), "endpoint": "/profile", "subject": handle,
                "asked_by": chance.choice(("handle", "handle", "user_id")), "observed_at": first,
                "last_observed_at": first + timedelta(minutes=chance.randrange(600)), "capture_id": f"c-{number:04}",
                "user_id": chance.choice((USER_IDS[person], USER_IDS[person], None)),
                "sec_uid": chance.choice((f"MS4wLjABAAAAsecUidOf{person}", None)),
                "handle": chance.choice((handle, handle, None)), "responses": chance.randrange(1, 30),
            }
        )  # fmt: skip
    return frame(ACCOUNT_SIGHTINGS, *rows)


@pytest.mark.parametrize("seed", range(60))
def test_a_summary_gives_the_same_identities_as_all_sightings(seed: int) -> None:
    chance = random.Random(seed)
    whole = sightings(chance)
    by_day = [
        whole.filter(pl.col("observed_at").dt.date() == day) for day in sorted(whole["observed_at"].dt.date().unique())
    ]
    summary = summarize(ACCOUNT_SIGHTINGS.empty().lazy())
    for day in by_day:
        summary = joined(summary, summarize(day.lazy()))
    for name in ("early", "linked", "recent"):
        part, expected = getattr(summary, name), getattr(summarize(whole.lazy()), name)
        assert part.sort(part.columns).equals(expected.select(part.columns).sort(part.columns))
    assert identities(whole.lazy(), {}, summary=summary) == identities(whole.lazy(), {})
    known = identities(whole.lazy(), {})
    handles = pl.DataFrame({"creator_id": CREATORS, "handle": CREATORS})
    taken = taken_handles(whole.lazy(), handles, known, summary).sort("creator_id")
    assert taken.equals(taken_handles(whole.lazy(), handles, known).sort("creator_id"))


def test_most_test_worlds_have_taken_handles_and_creators_without_a_certain_account() -> None:
    found: list[tuple[int, bool]] = []
    for seed in range(60):
        whole = sightings(random.Random(seed))
        known = identities(whole.lazy(), {})
        handles = pl.DataFrame({"creator_id": CREATORS, "handle": CREATORS})
        found.append((taken_handles(whole.lazy(), handles, known).height, None in known.known_by.values()))
    assert sum(taken for taken, _ in found) > 10
    assert sum(unsure for _, unsure in found) > 3


def test_no_sightings_give_an_empty_summary() -> None:
    none = summarize(ACCOUNT_SIGHTINGS.empty().lazy())
    assert isinstance(none, Summary)
    assert [none.early.height, none.linked.height, none.recent.height] == [0, 0, 0]
