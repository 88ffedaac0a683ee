"""A lake of a few creators, small enough to check the views by hand: for views, Postgres and exports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import COVERAGE, CREATORS, LEADERBOARD, LIVE_OBSERVATIONS, STREAM_LIFT, STREAMS
from tiktok_pipeline_tests.transforms.frames import frame

AS_OF = datetime(2026, 11, 5, 23, 55, tzinfo=UTC)
TODAY = AS_OF.date()

# Viewer-hours by days ago; a missing day had no stream. None: no vendor reported viewers.
HOURS_WATCHED: dict[str, dict[int, float | None]] = {
    "riser": {0: 100.0, 1: 40.0, 2: 30.0, 3: 20.0, 4: 10.0, 20: 5.0},
    "quiet": {5: 10.0},
    "unseen": {6: 10.0},
    "mute": {0: None, 1: 7.0},
    "on_air": {0: 1.0},
}

# Days ago without any known state of the creator.
UNKNOWN = {"unseen": range(4), "riser": range(21, 29)}


def fill(lake: Lake) -> None:
    """Write the lake."""
    creators = [
        {"creator_id": name, "handle": f"{name}.now", "display_name": f'=HYPERLINK("{name}")', "niche": "art",
         "previous_handles": [name, "older"], "on_roster": True, "followers": 10}
        for name in HOURS_WATCHED
    ]  # fmt: skip
    lake.write_whole(CREATORS, frame(CREATORS, *creators))
    for ago in range(29):
        day = TODAY - timedelta(days=ago)
        covered = [
            {"day": day, "creator_id": name, "polls": 9, "known_polls": 0 if ago in UNKNOWN.get(name, ()) else 9}
            for name in HOURS_WATCHED
        ]
        lake.write_day(COVERAGE, day, frame(COVERAGE, *covered))
        streams = [
            _stream(name, ago, hours_by_day[ago]) for name, hours_by_day in HOURS_WATCHED.items() if ago in hours_by_day
        ]
        if streams:
            lake.write_day(STREAMS, day, frame(STREAMS, *streams))
    lifted = {
        "stream_id": "riser:0", "creator_id": "riser", "started_at": AS_OF - timedelta(hours=5), "carry_over_min": 60,
        "profile_used": False, "lift": 12.5, "lift_lo": -1.0, "lift_hi": 20.0, "observable": True, "placebos": 40,
        "is_final": False, "flags": ["few_placebo", "late_before"], "method": "m1",
    }  # fmt: skip
    lake.write_day(STREAM_LIFT, TODAY, frame(STREAM_LIFT, lifted))
    board = {
        "as_of": TODAY, "period": "day", "niche": "*", "metric": "airtime", "creator_id": "riser", "value": 1.0,
        "rank": 1, "is_new": True,
    }  # fmt: skip
    lake.write_day(LEADERBOARD, TODAY, frame(LEADERBOARD, board))
    readings = [
        {"creator_id": "on_air", "vendor": "tikhub", "observed_at": AS_OF - timedelta(minutes=minutes),
         "capture_id": f"c{minutes}", "live_state": "live", "evidence": "strong", "viewers": viewers,
         "title": "nul\x00 inside"}
        for minutes, viewers in ((0, None), (10, 321), (20, 300))
    ]  # fmt: skip
    lake.write_day(LIVE_OBSERVATIONS, TODAY, frame(LIVE_OBSERVATIONS, *readings))


def _stream(name: str, ago: int, hours_watched: float | None) -> dict[str, object]:
    started = AS_OF - timedelta(days=ago, hours=5)
    live = name == "on_air"
    return {
        "stream_id": f"{name}:{ago}", "creator_id": name, "started_at": started, "started_at_hi": started,
        "ended_at": None if live else started + timedelta(hours=1), "ended_at_lo": AS_OF if live else started,
        "status": "live" if live else "ended", "rooms": 1, "reconnects": 0, "airtime_s": 3600.0, "observed_s": 3600.0,
        "coverage_ratio": 1.0, "observations": 9, "hours_watched": hours_watched, "vendors": ["konbini", "tikhub"],
    }  # fmt: skip
