"""The tables of the project: columns, types, units, meaning, grain and key of each, defined once.

All other uses read them from here: the Polars schema of files, the column schema in Dagster, the comments in DuckDB,
the schema checks. To add a column, add it here and fill it in the transform that makes the table. Do not put formulas
or vendors' field names here.

Conventions: times are UTC with microseconds; ids are strings, because they exceed 2^53; counts are Int64, null if
the vendor did not report them; durations are seconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import polars as pl

STRING = pl.String()
TIME = pl.Datetime("us", "UTC")
COUNT = pl.Int64()
RATIO = pl.Float64()
FLAG = pl.Boolean()
NAMES = pl.List(pl.String())

Layer = Literal["raw", "normalized", "marts", "published"]
Files = Literal["hour", "day", "whole"]


@dataclass(frozen=True)
class Column:
    """One column: its Polars type, the meaning of a value, and the meaning of null if it is nullable."""

    name: str
    dtype: pl.DataType
    description: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """One table: the layout of its files (`layer`, `files`), its grain, its key and its columns."""

    name: str
    layer: Layer
    files: Files
    grain: str
    key: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]
    # Column lineage: names of columns -> their source columns, both separated by spaces. `table.column`, or `table.*`
    # for the column of the same name; `roster.column` and `settings.section` are entries of the operator.
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def lineage(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Column -> its source (table, column) pairs, in order of the columns; columns without sources are left out."""
        made_of = {
            name: tuple(_source(source, name) for source in sources.split())
            for names, sources in self.sources.items()
            for name in names.split()
        }
        return {column.name: made_of[column.name] for column in self.columns if column.name in made_of}

    @cached_property
    def schema(self) -> pl.Schema:
        """The Polars schema, in the order of the columns."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The columns by which the rows of a file are sorted: creator and time if present, then the key.

        So the rows of a few creators are in few row groups of a file.
        """
        first = ("creator_id", "observed_at") if {"creator_id", "observed_at"} <= self.schema.keys() else ()
        return (*first, *(name for name in self.key if name not in first))

    def empty(self) -> pl.DataFrame:
        """Return a frame of no rows with the table's schema."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly the table's columns, in their order and types.

        Raises:
            polars.exceptions.ColumnNotFoundError: a column of the table is missing.
            polars.exceptions.InvalidOperationError: a value does not fit its type.
        """
        return frame.select(pl.col(column.name).cast(column.dtype, strict=True) for column in self.columns)


def _source(source: str, column: str) -> tuple[str, str]:
    table, _, name = source.partition(".")
    return table, column if name == "*" else name


def _required(name: str, dtype: pl.DataType, description: str) -> Column:
    return Column(name, dtype, description, nullable=False)


_CREATOR = _required("creator_id", STRING, "Creator id of the roster: the handle when first added, in lower case.")
_STREAM = _required(
    "stream_id",
    STRING,
    "creator_id:room id, or creator_id:start if no room id is known; creator_id:room id:start if the room was closed "
    "and opened again.",
)
_OBSERVED = (
    _CREATOR,
    _required("vendor", STRING, "The vendor: konbini, social_fetch, tikliveapi or tikhub."),
    _required("observed_at", TIME, "Time for which the reading is valid: received_at minus the response's Age."),
    _required("capture_id", STRING, "Source row in raw."),
)

_RAW_COLUMNS = (
    _required("capture_id", STRING, "Unique id of the attempt; contains the id of its capture window."),
    _required("vendor", STRING, "konbini, social_fetch, tikliveapi or tikhub."),
    _required("endpoint", STRING, "The endpoint's path template."),
    Column("creator_id", STRING, "Creator id of the roster; null for searches and rankings."),
    _required("subject", STRING, "Subject of the request: handle, user id, room id or keyword."),
    _required("page", pl.Int32(), "Page number from 0."),
    Column("cursor", STRING, "Cursor in the request; null on the first page."),
    _required("requested_at", TIME, "Time at which the request was sent."),
    _required("received_at", TIME, "Time at which the response, or the failure, arrived."),
    _required("observed_at", TIME, "received_at minus the response's Age."),
    Column("elapsed_ms", RATIO, "Real time from request to response, ms, also on the replay clock."),
    _required("attempt", pl.Int16(), "1 for the first attempt; every retry is a row of its own."),
    Column("http_status", pl.Int16(), "HTTP status; null without a response."),
    _required("outcome", STRING, "Outcome of the request: ok, empty, not_found, not_live, private, blocked, ..."),
    Column("error", STRING, "The vendor's error code or the network error; null when ok."),
    Column("request_id", STRING, "The vendor's id of the request."),
    Column("credits", RATIO, "Credits charged, as reported or else by price list; null if unknown."),
    _required("headers", STRING, "JSON of selected response headers, without credentials."),
    Column("body", STRING, "The body as received, without cookies and credentials; null if there is none."),
    Column("run_id", STRING, "Dagster run that sent the request."),
)


def _raw(name: str, description: str) -> Table:
    return Table(name, "raw", "hour", "one row an HTTP attempt", ("capture_id",), description, _RAW_COLUMNS)


RAW_LIVES = _raw("raw_lives", "Responses of live and room endpoints, one row for every HTTP attempt, unchanged.")
RAW_PROFILES = _raw("raw_profiles", "Responses with profiles: names, ids and counts; one row for every HTTP attempt.")
RAW_STORIES = _raw("raw_stories", "Responses with stories, page by page; one row for every HTTP attempt.")

RAW_POSTS = _raw("raw_posts", "Responses with posts, page by page; one row for every HTTP attempt.")
RAW_FOLLOWERS = _raw("raw_followers", "Responses with follower lists, page by page; one row for every HTTP attempt.")
RAW_LIVE_RANKINGS = _raw("raw_live_rankings", "Responses with live rankings; one row for every HTTP attempt.")
RAW_USER_SEARCHES = _raw("raw_user_searches", "Responses to user searches by keyword; one row for every HTTP attempt.")

RAW_TABLES = (RAW_LIVES, RAW_PROFILES, RAW_STORIES, RAW_POSTS, RAW_FOLLOWERS, RAW_LIVE_RANKINGS, RAW_USER_SEARCHES)


def _of_all_raw(column: str) -> str:
    return " ".join(f"{table.name}.{column}" for table in RAW_TABLES)


PROFILE_OBSERVATIONS = Table(
    "profile_observations",
    "normalized",
    "day",
    "one row a response that contains a profile",
    ("capture_id", "source"),
    "The profile of a creator as a vendor reported it, from any response that contains one.",
    (
        *_OBSERVED,
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("sec_uid", STRING, "TikTok's opaque stable user id."),
        Column("handle", STRING, "Handle at that time, in lower case, without @."),
        Column("display_name", STRING, "Name on the profile."),
        Column("bio", STRING, "Profile text."),
        Column("avatar_url", STRING, "Address of the avatar, without signing tokens."),
        Column("verified", FLAG, "Verified by TikTok."),
        Column("private", FLAG, "Private account."),
        Column("language", STRING, "Language code, as reported."),
        Column("region", STRING, "Region code, as reported."),
        Column("followers", COUNT, "Followers; see followers_precision."),
        Column("following", COUNT, "Accounts followed."),
        Column("likes", COUNT, "Likes received."),
        Column("videos", COUNT, "Posts."),
        Column("followers_precision", STRING, "exact or rounded; null without a count."),
        Column("followers_unit", COUNT, "Quantum of the follower count: 1, 100, 100000, ..."),
        _required("source", STRING, "Kind of response: profile, live, room, story, post or followers."),
    ),
)

LIVE_OBSERVATIONS = Table(
    "live_observations",
    "normalized",
    "day",
    "one row a reading of a creator's live state",
    ("capture_id",),
    "Live state of a creator at one time as one vendor reported it: live, paused, ended or unknown.",
    (
        *_OBSERVED,
        _required("live_state", STRING, "live, paused (still the same stream), ended or unknown."),
        _required("evidence", STRING, "strong: room and status reported; weak: only a flag, or a missing entry."),
        Column("room_id", STRING, "Room of the broadcast."),
        Column("title", STRING, "Title of the broadcast."),
        Column("started_at", TIME, "Start as the vendor reported it."),
        Column("ended_at", TIME, "End as the vendor reported it, only if the room's status is ended."),
        Column("viewers", COUNT, "Concurrent viewers."),
        Column("viewers_total", COUNT, "Cumulative viewers of the room."),
        Column("likes", COUNT, "Likes of the room."),
        Column("gifters", COUNT, "Distinct gifters of the room."),
        Column("new_followers", COUNT, "New follows in the room by TikTok's own count."),
        Column("cover_url", STRING, "Address of the cover, without signing tokens."),
        Column("reason", STRING, "Reason for the state, if the response does not report it directly."),
    ),
)

STREAM_VARIANTS = Table(
    "stream_variants",
    "normalized",
    "day",
    "one row a playback variant in a live response",
    ("capture_id", "codec", "source", "quality"),
    "Playback variants (codec, quality, bitrate) in live responses.",
    (
        *_OBSERVED,
        Column("room_id", STRING, "Room of the broadcast."),
        Column("codec", STRING, "h264 or h265."),
        Column("source", STRING, "Bundle that contains the variant: primary or hevc."),
        Column("quality", STRING, "Quality key: origin, hd, sd, ..."),
        Column("label", STRING, "Quality as shown to viewers."),
        Column("flv_url", STRING, "FLV address, without signing tokens."),
        Column("hls_url", STRING, "HLS address, without signing tokens."),
        Column("cmaf_url", STRING, "CMAF address, without signing tokens."),
        Column("width", COUNT, "Pixels."),
        Column("height", COUNT, "Pixels."),
        Column("bitrate_bps", COUNT, "Target bitrate, bits per second."),
    ),
)

STORY_OBSERVATIONS = Table(
    "story_observations",
    "normalized",
    "day",
    "one row a story in a response",
    ("capture_id", "story_id"),
    "Stories and their counts, as one response reported them.",
    (
        *_OBSERVED,
        _required("story_id", STRING, "TikTok's id of the story."),
        Column("published_at", TIME, "Time of publication."),
        Column("expires_at", TIME, "Time of expiry, 24 hours after publication."),
        Column("media_type", STRING, "video or image."),
        Column("duration_s", RATIO, "Length, seconds."),
        Column("views", COUNT, "Views so far."),
        Column("likes", COUNT, "Likes so far."),
        Column("comments", COUNT, "Comments so far."),
        Column("shares", COUNT, "Shares so far."),
        Column("saves", COUNT, "Saves so far."),
        Column("reposts", COUNT, "Reposts so far."),
        Column("caption", STRING, "Caption."),
        Column("media_url", STRING, "Address of the media, without signing tokens."),
        Column("music", STRING, "Name of the sound."),
    ),
)

POST_OBSERVATIONS = Table(
    "post_observations",
    "normalized",
    "day",
    "one row a post in a response",
    ("capture_id", "post_id"),
    "Posts and their counts, as one response reported them.",
    (
        *_OBSERVED,
        _required("post_id", STRING, "TikTok's id of the post."),
        Column("published_at", TIME, "Time of publication."),
        Column("caption", STRING, "Caption; null if the post has none."),
        Column("pinned", FLAG, "Pinned to the top of the profile, out of order."),
        Column("duration_s", RATIO, "Length, seconds."),
        Column("views", COUNT, "Views so far."),
        Column("likes", COUNT, "Likes so far."),
        Column("comments", COUNT, "Comments so far."),
        Column("shares", COUNT, "Shares so far."),
        Column("saves", COUNT, "Saves so far."),
    ),
)

FOLLOWER_LIST_ENTRIES = Table(
    "follower_list_entries",
    "normalized",
    "day",
    "one row a follower in a response",
    ("capture_id", "follower_key"),
    "Followers of creators, as one page of a list reported them; lists are never complete.",
    (
        *_OBSERVED,
        _required("follower_key", STRING, "Keyed hash of the follower's user id; the id itself is not stored."),
        _required("page", COUNT, "Page of the list, from 0."),
        _required("position", COUNT, "Position on the page, from 1; newest followers come first."),
        Column("list_total", COUNT, "Total of followers, as the list reports it: exact even if the profile rounds."),
    ),
)

LIVE_RANKING_ENTRIES = Table(
    "live_ranking_entries",
    "normalized",
    "day",
    "one row a place of a ranking in a response",
    ("capture_id", "ranked_user_id"),
    "Entries of TikTok's live rankings, in each ranking's own unit.",
    (
        Column("creator_id", STRING, "Always null: a ranking is not about a creator of the roster."),
        *_OBSERVED[1:],
        _required("list", STRING, "The ranking: hourly, daily, ..."),
        Column("region", STRING, "Region in the request."),
        Column("window_start", TIME, "Start of the ranking's window, as TikTok reports it."),
        Column("rank", COUNT, "Rank from 1; null if not ranked."),
        Column("score", COUNT, "Score in score_unit; null if not ranked."),
        Column("score_unit", STRING, "Unit of the score; it differs by list."),
        _required("ranked_user_id", STRING, "TikTok's numeric user id."),
        Column("ranked_handle", STRING, "Handle."),
    ),
)

SEARCH_HITS = Table(
    "search_hits",
    "normalized",
    "day",
    "one row a hit of a search in a response",
    ("capture_id", "rank"),
    "Users found by keyword searches: candidates for the roster.",
    (
        Column("creator_id", STRING, "Always null: a search is not about a creator of the roster."),
        *_OBSERVED[1:],
        _required("keyword", STRING, "Keyword of the search."),
        _required("rank", COUNT, "Position among the hits, from 1."),
        Column("handle", STRING, "Handle."),
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("followers", COUNT, "Followers, as the search reports them: mostly rounded."),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "normalized",
    "day",
    "one row a body, or part of one, that could not be read",
    ("capture_id", "table", "field", "reason"),
    "Values and bodies that could not be read, with the reason and the source row; the rest of the batch was kept.",
    (
        Column("creator_id", STRING, "Creator id of the roster; null for searches and rankings."),
        *_OBSERVED[1:],
        _required("table", STRING, "The raw table."),
        _required("reason", STRING, "Why it could not be read."),
        Column("field", STRING, "Path of the field; null if the whole body is affected."),
        Column("value", STRING, "The invalid value, or the start of the body; at most 200 characters."),
    ),
)

PAYLOAD_SHAPES = Table(
    "payload_shapes",
    "normalized",
    "day",
    "one row a day, vendor, endpoint, field and type",
    ("vendor", "endpoint", "path", "type"),
    "Fields of vendors' response bodies, from a sample of each day: the baseline of drift detection.",
    (
        Column("creator_id", STRING, "Always null: a shape is not about a creator."),
        _required("vendor", STRING, "The vendor."),
        _required("observed_at", TIME, "First time at which the field occurs in the day's sample."),
        _required("capture_id", STRING, "The raw row of the example."),
        _required("endpoint", STRING, "The endpoint's path template."),
        _required("path", STRING, "Path of the field; [] is any element, * any key of a map."),
        _required("type", STRING, "object, array, string, number, boolean or null."),
        _required("bodies", COUNT, "Bodies of the sample that have the field with this type."),
        _required("sampled", COUNT, "Bodies of the endpoint in the sample."),
        Column("example", STRING, "Form of a value: letters as a, digits as 0, at most 40 characters."),
    ),
)

ACCOUNT_SIGHTINGS = Table(
    "account_sightings",
    "normalized",
    "day",
    "one row a run of consecutive responses that named the same account",
    ("creator_id", "vendor", "endpoint", "subject", "observed_at", "capture_id", "user_id", "sec_uid", "handle"),
    "The account in each vendor's responses to each request, unfiltered: the input that identifies a creator's account.",
    (
        *_OBSERVED[:2],
        _required("observed_at", TIME, "First response of the run."),
        _required("capture_id", STRING, "The raw row of the first response."),
        _required("endpoint", STRING, "The endpoint's path template."),
        _required("subject", STRING, "Subject of the request: handle, user id or room id."),
        _required("asked_by", STRING, "Kind of the subject: handle, user_id, room_id or other."),
        Column("user_id", STRING, "User id in the response."),
        Column("sec_uid", STRING, "secUid in the response."),
        Column("handle", STRING, "Handle in the response; null if it does not have the form of one."),
        _required("last_observed_at", TIME, "Last response of the run."),
        _required("responses", COUNT, "Responses of the run."),
    ),
)

CREATORS = Table(
    "creators",
    "marts",
    "whole",
    "one row a creator",
    ("creator_id",),
    "All creators on the roster or ever observed, with their latest identity and counts.",
    (
        _CREATOR,
        Column("handle", STRING, "Newest observed handle, or else the roster's."),
        Column("previous_handles", NAMES, "Earlier handles, oldest first."),
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("sec_uid", STRING, "TikTok's opaque stable user id."),
        Column("niche", STRING, "Niche, from the roster."),
        Column("tier", STRING, "Tier a, b or c, from the roster."),
        Column("display_name", STRING, "Name on the profile."),
        Column("verified", FLAG, "Verified by TikTok."),
        Column("followers", COUNT, "Newest follower count of the best precision in the last 7 days."),
        Column("followers_precision", STRING, "exact or rounded."),
        Column("first_seen_at", TIME, "First time at which a vendor found the creator."),
        Column("last_seen_at", TIME, "Last time at which a vendor found the creator."),
        _required("on_roster", FLAG, "Whether the roster still lists the creator."),
        Column(
            "identified_by",
            STRING,
            "Source of the account: roster (ids given), responses (they agreed for half an hour); null: presumed only.",
        ),
        Column("handle_taken_by", STRING, "Account (user id, or else secUid) that vendors now report for the handle."),
        Column("handle_taken_at", TIME, "First response about that account; null while the handle is the creator's."),
    ),
    sources={
        "creator_id": "roster.handle profile_observations.creator_id",
        "handle previous_handles": "profile_observations.handle roster.handle",
        "user_id sec_uid": "profile_observations.* roster.*",
        "niche tier": "roster.*",
        "display_name verified": "profile_observations.*",
        "followers followers_precision": "profile_observations.followers profile_observations.followers_precision profile_observations.observed_at",
        "first_seen_at last_seen_at": "profile_observations.observed_at",
        "on_roster": "roster.handle",
        "identified_by": "roster.user_id roster.sec_uid account_sightings.user_id account_sightings.sec_uid",
        "handle_taken_by": "account_sightings.user_id account_sightings.sec_uid",
        "handle_taken_at": "account_sightings.observed_at",
    },
)

STREAMS = Table(
    "streams",
    "marts",
    "day",
    "one row a stream, in the day of its start",
    ("stream_id",),
    "Streams rebuilt from observations: one broadcast each, pauses and reconnects included.",
    (
        _STREAM,
        _CREATOR,
        Column("room_id", STRING, "Room id of the stream's first room; null if no vendor reported one."),
        Column("title", STRING, "Last title observed."),
        _required("started_at", TIME, "Best estimate of the start."),
        Column("started_at_lo", TIME, "Earliest possible start: last off-air reading before it; null if censored."),
        _required("started_at_hi", TIME, "Latest possible start: first on-air reading."),
        Column("ended_at", TIME, "Best estimate of the end; null while live."),
        Column("ended_at_lo", TIME, "Earliest possible end: last on-air reading."),
        Column("ended_at_hi", TIME, "Latest possible end; null while open."),
        _required("status", STRING, "live, ended, or lost (observation stopped before an end was seen)."),
        _required("rooms", COUNT, "Number of rooms of the stream."),
        _required("reconnects", COUNT, "rooms - 1."),
        _required("airtime_s", RATIO, "Time from start to end, or to the last reading while live, s."),
        _required("observed_s", RATIO, "Airtime that polling covers, s; a gap between readings counts up to the cap."),
        _required(
            "coverage_ratio", RATIO, "Share of the airtime that polling covers: observed_s / airtime_s, at most 1."
        ),
        _required("observations", COUNT, "Number of on-air readings."),
        Column("peak_viewers", COUNT, "Most concurrent viewers observed: a lower bound."),
        Column("peak_at", TIME, "Time of peak_viewers."),
        Column(
            "average_viewers",
            RATIO,
            "Time-weighted average, edges included: hours_watched / observed hours; null without a viewer count.",
        ),
        Column("hours_watched", RATIO, "average_viewers x observed hours (observed_s / 3600), viewer-hours."),
        Column("viewers_total", COUNT, "Cumulative viewers, summed over rooms."),
        Column("likes", COUNT, "Likes, summed over rooms."),
        Column("gap_since_previous_s", RATIO, "Time since the end of the previous stream, s; null for the first one."),
        _required("vendors", NAMES, "Vendors that reported the stream on air."),
        Column("detection_delay_s", RATIO, "First on-air reading minus the start, s; null if the start is a guess."),
        _required("flags", NAMES, "Limitations: censored_start, censored_end, disagree_start, over_24h, ..."),
    ),
    sources={
        "stream_id": "live_observations.creator_id live_observations.room_id live_observations.started_at",
        "creator_id room_id title": "live_observations.*",
        "started_at started_at_lo started_at_hi": "live_observations.live_state live_observations.evidence live_observations.observed_at live_observations.started_at live_observations.room_id",
        "ended_at ended_at_lo ended_at_hi status": "live_observations.live_state live_observations.evidence live_observations.observed_at live_observations.ended_at",
        "rooms reconnects": "live_observations.room_id live_observations.observed_at",
        "airtime_s gap_since_previous_s": "live_observations.live_state live_observations.evidence live_observations.observed_at live_observations.started_at live_observations.ended_at",
        "observed_s coverage_ratio observations": "live_observations.live_state live_observations.evidence live_observations.observed_at",
        "peak_viewers peak_at average_viewers hours_watched": "live_observations.viewers live_observations.observed_at",
        "viewers_total likes": "live_observations.*",
        "vendors": "live_observations.vendor",
        "detection_delay_s": "live_observations.started_at live_observations.observed_at",
        "flags": "live_observations.live_state live_observations.evidence live_observations.observed_at live_observations.started_at live_observations.ended_at live_observations.room_id",
    },
)

STREAM_LIFT = Table(
    "stream_lift",
    "marts",
    "day",
    "one row a stream, in the day of its start",
    ("stream_id",),
    "Followers gained around a stream beyond the expected organic growth, with an interval.",
    (
        _STREAM,
        _CREATOR,
        _required("started_at", TIME, "The stream's start."),
        Column("ended_at", TIME, "The stream's end; null while live."),
        Column("started_at_lo", TIME, "Earliest possible start."),
        Column("started_at_hi", TIME, "Latest possible start."),
        Column("ended_at_lo", TIME, "Earliest possible end."),
        Column("ended_at_hi", TIME, "Latest possible end."),
        Column("followers_before", COUNT, "Last follower count at or before the start."),
        Column("before_at", TIME, "Time of that count."),
        Column("followers_after", COUNT, "First follower count after end + carry-over (or the next start)."),
        Column("after_at", TIME, "Time of that count."),
        Column("provider_before", STRING, "Vendor of the count before."),
        Column("provider_after", STRING, "Vendor of the count after; always the same as before."),
        Column("before_gap_s", RATIO, "Start minus before_at, s."),
        Column("after_gap_s", RATIO, "after_at minus the end of the window, s."),
        _required("carry_over_min", COUNT, "Minutes after the end that count as part of the stream."),
        Column("naive_delta", COUNT, "followers_after - followers_before."),
        Column("baseline_rate_per_h", RATIO, "Organic followers per hour around the stream."),
        Column("baseline_hours", RATIO, "Clean off-air hours from which the rate is estimated."),
        _required("profile_used", FLAG, "Whether the creator's hour-of-day profile was used."),
        Column("expected_organic", RATIO, "Followers expected between the two counts without the stream."),
        Column("lift", RATIO, "Followers gained beyond the expected organic growth: naive_delta - expected_organic."),
        Column("lift_lo", RATIO, "Lower end of the 90 % interval."),
        Column("lift_hi", RATIO, "Upper end of the 90 % interval."),
        Column(
            "lift_shared",
            RATIO,
            "Part of the half-width from errors that the creator's streams share: a sum does not average it out.",
        ),
        Column("interval_level", RATIO, "Nominal level of the interval; null without an interval."),
        Column("lift_pct", RATIO, "Lift in percent of followers_before."),
        Column("lift_per_hour", RATIO, "Lift / hours of airtime."),
        Column("resolution", COUNT, "Quantum of the coarser of the two counts, followers."),
        _required("observable", FLAG, "False if counts are missing, or too coarse for a meaningful difference."),
        Column("platform_new_followers", COUNT, "TikTok's own count of new follows in the stream's rooms."),
        _required("placebos", COUNT, "Placebo windows behind the interval; overlapping ones have less weight."),
        Column("is_significant", FLAG, "Whether the whole interval is above zero: lift_lo > 0."),
        _required(
            "is_final",
            FLAG,
            "False while later counts may change the lift; true once the baseline window has closed.",
        ),
        _required("flags", NAMES, "late_before, below_resolution, overlap_next, viral_overlap, few_placebo, ..."),
        _required("method", STRING, "Name and version of the method."),
    ),
    sources={
        "stream_id creator_id started_at ended_at started_at_lo started_at_hi ended_at_lo ended_at_hi": "streams.*",
        "followers_before followers_after naive_delta": "profile_observations.followers profile_observations.vendor profile_observations.observed_at streams.started_at streams.ended_at",
        "before_at after_at before_gap_s after_gap_s": "profile_observations.observed_at streams.started_at streams.ended_at",
        "provider_before provider_after": "profile_observations.vendor",
        "carry_over_min interval_level method": "settings.lift",
        "baseline_rate_per_h baseline_hours profile_used expected_organic": "profile_observations.followers profile_observations.vendor profile_observations.observed_at streams.started_at streams.ended_at",
        "lift lift_lo lift_hi lift_shared lift_pct is_significant placebos": "profile_observations.followers profile_observations.vendor profile_observations.observed_at streams.started_at streams.ended_at",
        "lift_per_hour": "profile_observations.followers profile_observations.vendor profile_observations.observed_at streams.started_at streams.ended_at streams.airtime_s",
        "resolution observable": "profile_observations.followers profile_observations.followers_unit",
        "platform_new_followers": "live_observations.new_followers live_observations.room_id",
        "is_final": "profile_observations.observed_at live_observations.observed_at settings.lift",
        "flags": "profile_observations.followers profile_observations.vendor profile_observations.observed_at streams.started_at streams.ended_at streams.flags post_observations.views post_observations.published_at post_observations.observed_at",
    },
)

STREAM_HOURS = Table(
    "stream_hours",
    "marts",
    "day",
    "one row a stream and clock hour (UTC) with airtime, in the day of the stream's start",
    ("stream_id", "hour"),
    "Each stream split over its clock hours: the source of sums by day, by hour of the week and by any range of hours.",
    (
        _STREAM,
        _CREATOR,
        _required("hour", TIME, "Start of the hour, UTC."),
        _required("started_at", TIME, "The stream's start."),
        _required("airtime_s", RATIO, "Airtime within the hour, s; sums to the stream's."),
        Column(
            "counted_s", RATIO, "Observed time within the hour, s: sums to observed_s; null without a viewer count."
        ),
        Column("hours_watched", RATIO, "Viewer-hours within the hour; sum to the stream's; null without a count."),
        Column("average_viewers", RATIO, "hours_watched / hours of counted_s; null if counted_s is 0."),
        Column("peak_viewers", COUNT, "Most concurrent viewers observed within the hour; null without a reading."),
        Column("lift", RATIO, "The stream's lift, split by airtime; null if the lift is not observable."),
    ),
    sources={
        "stream_id creator_id started_at": "streams.*",
        "hour airtime_s": "streams.started_at streams.ended_at streams.ended_at_lo",
        "counted_s hours_watched average_viewers": "streams.hours_watched streams.average_viewers "
        "live_observations.viewers live_observations.observed_at",
        "peak_viewers": "live_observations.viewers live_observations.observed_at",
        "lift": "stream_lift.lift stream_lift.observable streams.started_at streams.ended_at",
    },
)

CREATOR_DAYS = Table(
    "creator_days",
    "marts",
    "day",
    "one row a day and creator, from the creator's first day on",
    ("day", "creator_id"),
    "Days of creators: streams, airtime, audience, followers, lift and streaks, also for days without a stream.",
    (
        _required("day", pl.Date(), "Day, UTC."),
        _CREATOR,
        Column("active_day", FLAG, "Whether a stream started; null if none was seen and the state was never known."),
        Column("streams", COUNT, "Streams that started; null if active_day is null."),
        Column(
            "airtime_s", RATIO, "Time on air within the day, s, also of earlier streams; null if active_day is null."
        ),
        Column("hours_watched", RATIO, "Viewer-hours within the day; null if a stream has none, or airtime_s is null."),
        Column("average_viewers", RATIO, "Viewer-hours / hours covered by viewer counts; null without any."),
        Column("peak_viewers", COUNT, "Most concurrent viewers observed within the day; null if never on air."),
        Column("followers_end", COUNT, "Last follower count of the day, exact ones preferred; null without any."),
        Column("followers_at", TIME, "Time of that count; null without any."),
        Column("followers_vendor", STRING, "Vendor of that count; null without any."),
        Column("followers_precision", STRING, "exact or rounded; null without any."),
        Column("followers_unit", COUNT, "Quantum of the count; null without any."),
        Column(
            "followers_change",
            COUNT,
            "followers_end minus that of the day before; null unless vendor, precision and quantum are the same.",
        ),
        Column("lift", RATIO, "Sum of the observable lifts of the streams that started; null without any."),
        Column("lift_streams", COUNT, "Streams with an observable lift; null if active_day is null."),
        Column(
            "current_streak_days",
            COUNT,
            "Consecutive active days up to this one, at most 366; 0 on an idle day, null if active_day is null.",
        ),
        _required("longest_streak_days", COUNT, "Longest run of active days in the 366 days up to this one."),
        Column("days_since_last_stream", COUNT, "Days since the last start, 0 on the same day; null after 366 days."),
    ),
    sources={
        "day": "coverage.day",
        "creator_id": "creators.creator_id streams.creator_id",
        "active_day streams": "streams.started_at coverage.known_polls",
        "airtime_s": "stream_hours.airtime_s stream_hours.hour coverage.known_polls",
        "hours_watched": "stream_hours.hours_watched stream_hours.hour coverage.known_polls",
        "average_viewers": "stream_hours.hours_watched stream_hours.counted_s stream_hours.hour",
        "peak_viewers": "stream_hours.peak_viewers stream_hours.hour",
        "followers_end followers_at followers_vendor followers_precision followers_unit followers_change": (
            "profile_observations.followers profile_observations.followers_precision "
            "profile_observations.followers_unit profile_observations.vendor profile_observations.observed_at"
        ),
        "lift lift_streams": "stream_lift.lift stream_lift.observable stream_lift.started_at",
        "current_streak_days": "streams.started_at coverage.known_polls",
        "longest_streak_days days_since_last_stream": "streams.started_at",
    },
)

CREATOR_HOURS = Table(
    "creator_hours",
    "marts",
    "whole",
    "one row a creator, weekday and hour of the day (UTC) with airtime",
    ("creator_id", "weekday", "hour"),
    "Airtime, audience and lift of creators by hour of the week: each stream is split over the hours it overlaps.",
    (
        _CREATOR,
        _required("weekday", COUNT, "ISO weekday, UTC: 1 Monday to 7 Sunday."),
        _required("hour", COUNT, "Hour of the day, UTC: 0 to 23."),
        _required("streams", COUNT, "Streams on air in this hour."),
        _required("airtime_s", RATIO, "Airtime, s."),
        Column("hours_watched", RATIO, "Viewer-hours; null if no stream has any."),
        Column("average_viewers", RATIO, "Viewer-hours / hours covered by viewer counts; null without any."),
        Column("peak_viewers", COUNT, "Most concurrent viewers observed; null without a reading."),
        Column("lift", RATIO, "Observable lifts, split by airtime; null without any."),
        Column(
            "typical_viewers",
            RATIO,
            "Estimated average viewers of one more stream in this hour, from the last 84 days, shrunk to the creator's mean; null with fewer than 5 streams.",
        ),
        Column("typical_viewers_lo", RATIO, "Lower bound of its 90 % interval."),
        Column("typical_viewers_hi", RATIO, "Upper bound of its 90 % interval."),
        Column(
            "typical_lift_per_hour",
            RATIO,
            "Estimated lift an hour on air of one more stream in this hour, from the last 84 days, shrunk to the creator's mean; null with fewer than 5 observable lifts.",
        ),
        Column("typical_lift_per_hour_lo", RATIO, "Lower bound of its 90 % interval."),
        Column("typical_lift_per_hour_hi", RATIO, "Upper bound of its 90 % interval."),
    ),
    sources={
        "creator_id airtime_s hours_watched peak_viewers lift": "stream_hours.*",
        "weekday hour": "stream_hours.hour",
        "streams": "stream_hours.stream_id",
        "average_viewers": "stream_hours.hours_watched stream_hours.counted_s",
        "typical_viewers typical_viewers_lo typical_viewers_hi": "stream_hours.average_viewers stream_hours.counted_s",
        "typical_lift_per_hour typical_lift_per_hour_lo typical_lift_per_hour_hi": "stream_hours.lift "
        "stream_hours.airtime_s",
    },
)

STREAM_CONVERSIONS = Table(
    "stream_conversions",
    "marts",
    "day",
    "one row a stream, in the day of its start",
    ("stream_id",),
    "New and lost followers between the follower lists around a stream, and new followers per viewer.",
    (
        _STREAM,
        _CREATOR,
        _required("started_at", TIME, "The stream's start."),
        Column("joined", COUNT, "Followers only in the list after the stream; null if the lists cannot be compared."),
        Column("left", COUNT, "Followers only in the list before the stream; null unless both are complete."),
        Column(
            "left_recent",
            COUNT,
            "Part of left among the newest followers that both lists cover; null if the lists do not overlap.",
        ),
        Column("compared", COUNT, "Followers of the list before that the list after covers; null without overlap."),
        Column("list_seen", COUNT, "Followers in the list after the stream; null without a list."),
        Column("list_total", COUNT, "Total of followers, as that list reports it; null if it reports none."),
        Column(
            "complete", FLAG, "Whether both lists were read to the end; null without both, or without their totals."
        ),
        Column("viewers_total", COUNT, "Cumulative viewers of the stream; null if no vendor reported them."),
        Column(
            "conversion", RATIO, "joined / viewers_total; null if either is, or if a list is too far from the stream."
        ),
        Column("before_at", TIME, "Time of the list before, at most some minutes after the start; null without one."),
        Column("after_at", TIME, "Time of the list after; null without one close enough."),
        Column("vendor", STRING, "Vendor of both lists; null without both."),
        _required("flags", NAMES, "Limitations: no_list_before, lists_do_not_meet, wide_bracket, late_before, ..."),
    ),
    sources={
        "stream_id creator_id started_at viewers_total": "streams.*",
        "joined left left_recent compared list_seen": "follower_list_entries.follower_key follower_list_entries.page "
        "follower_list_entries.position follower_list_entries.observed_at streams.started_at streams.ended_at",
        "list_total complete": "follower_list_entries.list_total follower_list_entries.follower_key",
        "conversion": "follower_list_entries.follower_key streams.viewers_total settings.conversions",
        "before_at after_at": "follower_list_entries.observed_at streams.started_at streams.ended_at",
        "vendor": "follower_list_entries.vendor",
        "flags": "follower_list_entries.follower_key follower_list_entries.observed_at streams.started_at "
        "streams.ended_at settings.conversions",
    },
)

RECAPS = Table(
    "recaps",
    "marts",
    "day",
    "one row a creator and post that looks like a recap of a stream, in the day of publication",
    ("creator_id", "post_id"),
    "Posts that probably show parts of a stream, judged by time and caption, with the stream if one is known.",
    (
        Column("stream_id", STRING, "The newest stream started before the post; null if only the caption matches."),
        _required("post_id", STRING, "TikTok's id of the post."),
        _CREATOR,
        _required("published_at", TIME, "Time of publication."),
        _required("score", RATIO, "0 to 1, at least the threshold in the settings. A score, not a probability."),
        _required("band", STRING, "Time of the post: during the stream, 3h, 24h or 72h after its end, or none."),
        _required("hits", NAMES, "Rules that match the caption: live, recap, moment, tag, announcement, noise."),
        Column("views", COUNT, "Views at the last observation up to two days after the day; null if not reported."),
        Column("likes", COUNT, "Likes at that observation; null if not reported."),
        _required("method", STRING, "Name and version of the rules."),
    ),
    sources={
        "stream_id": "streams.stream_id streams.started_at streams.ended_at post_observations.published_at",
        "post_id creator_id published_at views likes": "post_observations.*",
        "score": "post_observations.caption post_observations.published_at streams.started_at streams.ended_at "
        "settings.recaps",
        "band": "post_observations.published_at streams.started_at streams.ended_at settings.recaps",
        "hits": "post_observations.caption",
        "method": "settings.recaps",
    },
)

GIFT_ESTIMATES = Table(
    "gift_estimates",
    "marts",
    "day",
    "one row a stream, in the day of its start",
    ("stream_id",),
    "Estimates of a stream's gifts, not measured values: an index from visible signals; diamonds only if the operator "
    "supplied known streams.",
    (
        _STREAM,
        _CREATOR,
        _required("started_at", TIME, "The stream's start."),
        Column(
            "gift_index",
            RATIO,
            "0 to 100: percentile among streams of the follower tier in the 7 days up to the day; null below 5.",
        ),
        Column("follower_tier", STRING, "Follower tier: under_10k, 10k_100k, 100k_1m or over_1m; null if unknown."),
        _required("compared_with", COUNT, "Streams in the comparison, this one included."),
        _required("signals", NAMES, "Signals in the index; a missing signal counts as average."),
        Column("low", RATIO, "Lower end of the 90 % range, diamonds; null without enough known streams."),
        Column("mid", RATIO, "Middle of the range, diamonds; null below 30 known streams."),
        Column("high", RATIO, "Upper end of the 90 % range, diamonds; null without enough known streams."),
        _required(
            "basis", STRING, "none (index only), roster (known streams of others), creator (own ones too), known."
        ),
        _required(
            "known_streams",
            COUNT,
            "Known streams behind the range: 0 without a range, 1 if the stream itself is known.",
        ),
        _required("method", STRING, "Name and version of the method."),
    ),
    sources={
        "stream_id creator_id started_at": "streams.*",
        "gift_index signals": "streams.viewers_total streams.peak_viewers streams.airtime_s "
        "live_observations.gifters recaps.views recaps.likes stream_lift.lift",
        "follower_tier compared_with": "stream_lift.followers_before creators.followers",
        "low mid high": "streams.viewers_total streams.peak_viewers streams.airtime_s live_observations.gifters "
        "recaps.views recaps.likes stream_lift.lift settings.gifts",
        "basis known_streams method": "settings.gifts",
    },
)

LEADERBOARD = Table(
    "leaderboard",
    "marts",
    "day",
    "one row a period, niche, metric and creator, as of the end of the day",
    ("as_of", "period", "niche", "metric", "creator_id"),
    "Rankings of creators by period, niche and metric; each period ends with the day.",
    (
        _required("as_of", pl.Date(), "Last day of the period, UTC."),
        _required("period", STRING, "day, week (7 days) or month (30 days), ending with as_of."),
        _required("niche", STRING, "Niche of the roster; * for all."),
        _required("metric", STRING, "airtime (s), streams, peak_viewers, hours_watched, lift, ..."),
        _CREATOR,
        _required("value", RATIO, "The metric over streams that started in the period; recaps: posts published in it."),
        Column("value_lo", RATIO, "Lower end of the 90 % interval; null if the value is exact."),
        Column("value_hi", RATIO, "Upper end of the 90 % interval; null if the value is exact."),
        Column("share", RATIO, "Share of the board's total; null if a sum is meaningless."),
        _required("rank", COUNT, "Rank by value; ties share a rank."),
        Column("previous_rank", COUNT, "Rank in the previous period of the same length."),
        Column(
            "rank_change",
            COUNT,
            "Places gained since the previous period: previous_rank - rank; null if absent there.",
        ),
        Column("confident_rank", COUNT, "Rank by value_lo: few data give no high rank; null if the value is exact."),
        Column("is_new", FLAG, "Absent in the previous period; null if the creator was not polled during all of it."),
    ),
    sources={
        "as_of period": "streams.started_at",
        "niche": "creators.niche",
        "metric": "streams.stream_id stream_lift.stream_id recaps.post_id",
        "creator_id": "streams.*",
        "is_new": "streams.started_at recaps.published_at creators.first_seen_at",
        "value share rank previous_rank rank_change": "streams.started_at streams.airtime_s streams.peak_viewers streams.average_viewers streams.hours_watched stream_lift.lift stream_lift.observable stream_lift.flags recaps.published_at",
        "value_lo value_hi confident_rank": "stream_lift.lift stream_lift.lift_lo stream_lift.lift_hi stream_lift.observable stream_lift.flags",
    },
)

STORIES = Table(
    "stories",
    "marts",
    "day",
    "one row a creator and story, in the day of publication",
    ("creator_id", "story_id"),
    "Stories with their last known counts and the views at 1, 6 and 24 hours of age.",
    (
        _required("story_id", STRING, "TikTok's id of the story."),
        _CREATOR,
        _required("published_at", TIME, "Time of publication."),
        Column("expires_at", TIME, "Time of expiry."),
        Column("media_type", STRING, "video or image."),
        Column("views", COUNT, "Views at the last observation."),
        Column("likes", COUNT, "Likes at the last observation."),
        Column("comments", COUNT, "Comments at the last observation."),
        Column("shares", COUNT, "Shares at the last observation."),
        Column("saves", COUNT, "Saves at the last observation."),
        Column("views_1h", COUNT, "Views at 1 h of age, interpolated; null without observations around that age."),
        Column("views_6h", COUNT, "Views at 6 h of age, interpolated; null without observations around that age."),
        Column("views_24h", COUNT, "Views at 24 h of age: last observation after 23 h; null without one."),
        _required("observations", COUNT, "Number of observations."),
        _required("last_observed_at", TIME, "Time of the last observation."),
        _required("completeness", RATIO, "Share of its 24 hours up to the last observation."),
    ),
    sources={
        "story_id creator_id published_at expires_at media_type views likes comments shares saves": "story_observations.*",
        "views_1h views_6h views_24h": "story_observations.views story_observations.published_at story_observations.observed_at",
        "observations": "story_observations.capture_id",
        "last_observed_at": "story_observations.observed_at",
        "completeness": "story_observations.published_at story_observations.observed_at",
    },
)

VENDOR_USAGE = Table(
    "vendor_usage",
    "marts",
    "day",
    "one row a day, vendor and endpoint",
    ("day", "vendor", "endpoint"),
    "Requests, outcomes, latency and credits by vendor and endpoint.",
    (
        _required("day", pl.Date(), "Day of the request, UTC."),
        _required("vendor", STRING, "Vendor."),
        _required("endpoint", STRING, "The endpoint's path template."),
        _required("requests", COUNT, "Requests sent, retries included."),
        _required("ok", COUNT, "Responses with data."),
        _required("empty", COUNT, "Responses without data."),
        _required("not_found", COUNT, "Responses: no such creator or room."),
        _required("not_live", COUNT, "Responses: not live."),
        _required("private", COUNT, "Responses: private account."),
        _required("blocked", COUNT, "Refused by TikTok or by bot protection; no information about the creator."),
        _required("rate_limited", COUNT, "Refused by the rate limit."),
        _required("unauthorized", COUNT, "Refused: invalid, disabled or expired key."),
        _required("out_of_credits", COUNT, "Refused: no credits left."),
        _required("session_expired", COUNT, "Refused: the vendor's session expired."),
        _required("invalid_request", COUNT, "Refused: invalid request."),
        _required("server_error", COUNT, "Errors on the vendor's side."),
        _required("network_error", COUNT, "Requests without a response."),
        _required("malformed", COUNT, "Responses that cannot be read."),
        Column("credits", RATIO, "Credits charged; null if unknown for all requests."),
        _required("not_billed", COUNT, "Attempts that are known to be free."),
        Column("p50_ms", RATIO, "Median response time, ms of real time."),
        Column("p95_ms", RATIO, "95th percentile of the response time, ms of real time."),
    ),
    sources={
        "day": _of_all_raw("requested_at"),
        "vendor endpoint credits": _of_all_raw("*"),
        "requests": _of_all_raw("capture_id"),
        "ok empty not_found not_live private blocked rate_limited unauthorized out_of_credits session_expired "
        "invalid_request server_error network_error malformed": _of_all_raw("outcome"),
        "not_billed": _of_all_raw("credits"),
        "p50_ms p95_ms": _of_all_raw("elapsed_ms"),
    },
)

COVERAGE = Table(
    "coverage",
    "marts",
    "day",
    "one row a day and creator",
    ("day", "creator_id"),
    "Quality of polling by creator and day: how far the other tables can be trusted.",
    (
        _required("day", pl.Date(), "Day, UTC."),
        _CREATOR,
        _required("polls", COUNT, "Readings of the live state, including unknown ones."),
        _required("known_polls", COUNT, "Readings with the state live, paused or ended."),
        Column(
            "largest_gap_s",
            RATIO,
            "Longest time without a known reading between the day's first and last, s.",
        ),
        Column("median_gap_s", RATIO, "Median time between known readings, s."),
        Column("unknown_share", RATIO, "Readings with an unknown state / readings."),
    ),
    sources={
        "day": "live_observations.observed_at",
        "creator_id": "roster.handle live_observations.creator_id",
        "polls": "live_observations.capture_id",
        "known_polls unknown_share": "live_observations.live_state",
        "largest_gap_s median_gap_s": "live_observations.live_state live_observations.observed_at",
    },
)

# Made by publishing: it is not in the lake, and no table depends on it.
PUBLICATION = Table(
    "publication",
    "published",
    "whole",
    "one row",
    ("generation",),
    "The name, time and inputs of this publication.",
    (
        _required("generation", STRING, "Name of the publication, from its time and its inputs."),
        _required("published_at", TIME, "Time of the publication."),
        _required("fingerprint", STRING, "Hash of all inputs."),
        _required("as_of", TIME, "Time of the newest reading of a live state: `now` in the views."),
        Column(
            "stands_still",
            STRING,
            "Blocked days: a check failed, so that an earlier version stays; with the time since when; null if none.",
        ),
        Column(
            "observation_days",
            COUNT,
            "Published days of observations, back from the newest day; null: all. Marts are always whole.",
        ),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *RAW_TABLES,
        PROFILE_OBSERVATIONS,
        LIVE_OBSERVATIONS,
        STREAM_VARIANTS,
        STORY_OBSERVATIONS,
        POST_OBSERVATIONS,
        FOLLOWER_LIST_ENTRIES,
        LIVE_RANKING_ENTRIES,
        SEARCH_HITS,
        QUARANTINE,
        PAYLOAD_SHAPES,
        ACCOUNT_SIGHTINGS,
        CREATORS,
        STREAMS,
        STREAM_LIFT,
        STREAM_HOURS,
        CREATOR_DAYS,
        CREATOR_HOURS,
        STREAM_CONVERSIONS,
        RECAPS,
        GIFT_ESTIMATES,
        LEADERBOARD,
        STORIES,
        VENDOR_USAGE,
        COVERAGE,
    )
}
