"""The loaded state of a window equals the state computed from every response of the last hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tiktok_pipeline.capture import known_accounts, window_state
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.last_seen import LastSeen
from tiktok_pipeline.capture.live_states import (
    USABLE_OUTCOMES,
    decode,
    is_about_another,
    readings_of,
    reported_on_air,
    reports_missing,
)
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import RAW_LIVES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline_tests.capture.landed_rows import CREATORS, Landing, account


def state_from_all_rows(  # noqa: PLR0912 - one row after the other, in plain steps
    lake: Lake, now: datetime, targets: Sequence[Target]
) -> dict[str, LastSeen]:
    """Compute states, rooms, polls, missing handles and unconfirmed ends row by row."""
    by_id = {target.creator_id: target for target in known_accounts.identified(lake, targets, now)}
    rows = lake.scan_raw(RAW_LIVES, hours_between(now - timedelta(hours=3), now)).collect()
    rows = rows.sort("requested_at", "capture_id")
    last: dict[tuple[str, str, str], tuple[datetime, str, str, str]] = {}
    last_polls: dict[str, datetime] = {}
    missing_since: dict[str, datetime] = {}
    on_air: dict[str, list[bool]] = {}
    for row in rows.iter_rows(named=True):
        creator, vendor, endpoint, at = row["creator_id"], row["vendor"], row["endpoint"], row["requested_at"]
        if not now - timedelta(hours=3) <= at < now or vendor not in VENDORS:
            continue
        capability, recent = VENDORS[vendor].endpoints[endpoint], at >= now - timedelta(hours=1)
        if capability == "live" and at >= now - timedelta(hours=2):
            last_polls[creator] = at
        if row["outcome"] not in USABLE_OUTCOMES:
            continue
        if recent:
            last.pop((creator, vendor, endpoint), None)
            last[creator, vendor, endpoint] = (at, row["outcome"], row["body"], row["subject"])
        if capability != "live":
            continue
        kind = f"{vendor} {endpoint} {row['outcome']}"
        if reports_missing(kind):
            missing_since.setdefault(creator, at)
        else:
            missing_since.pop(creator, None)
        body = row["body"] if row["outcome"] == "ok" else None
        state = reported_on_air(kind, readings_of(kind, body), by_id.get(creator), row["subject"])
        if recent and state is not None:
            on_air.setdefault(creator, []).append(state)
    seen: dict[str, LastSeen] = {}
    for (creator, vendor, endpoint), (at, outcome, body, subject) in last.items():
        before = seen.get(creator, LastSeen())
        if VENDORS[vendor].endpoints[endpoint] == "room":
            seen[creator] = replace(before, room_polled_at=at)
            continue
        readings = decode(vendor, endpoint, outcome, body)
        if is_about_another(readings, by_id.get(creator), subject):
            seen[creator] = replace(before, live=False, live_since=None, missing_since=None)
        else:
            seen[creator] = before.after(readings, at)
    for creator in seen.keys() | last_polls.keys() | missing_since.keys():
        seen[creator] = replace(
            seen.get(creator, LastSeen()),
            polled_at=last_polls.get(creator),
            missing_since=missing_since.get(creator),
            unconfirmed=on_air.get(creator, [])[-2:] == [True, False],
        )
    return seen


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_loaded_state_equals_the_state_computed_from_all_rows(tmp_path: Path, seed: int) -> None:
    lake = Lake(tmp_path)
    landing = Landing(lake, seed)
    kinds = set()
    for _ in range(12):
        landing.go_on(landing.chance.choice([7, 35, 80]))
        if landing.chance.random() < 0.3:
            compact(lake, [RAW_LIVES], now=landing.now, window=timedelta(minutes=10))
        known = landing.chance.sample(CREATORS, 3)
        targets = [Target(c, c, *(account(c) if c in known else ())) for c in CREATORS]
        found = window_state.last_seen(lake, landing.now, targets)
        # Other tests cover accounts of unknown creators and identity requests.
        found = {c: replace(each, sightings=(), identity_polled_at=None) for c, each in found.items()}
        assert found == state_from_all_rows(lake, landing.now, targets)
        kinds |= {(each.live, each.unconfirmed, each.missing_since is None) for each in found.values()}
    assert len(kinds) >= 4
