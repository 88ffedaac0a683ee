"""The contract of every table, once: columns, types, units, meaning, grain and key.

Everything else that speaks of a table reads it from here: the Polars schema that files are written with, the
column schema that Dagster shows, the comments in DuckDB, the schema checks. To add a column, add it here and
fill it in the transform that makes the table. Do not put formulas or vendors' field names here.

Conventions: times are UTC with microseconds; ids are strings, because they exceed 2^53; counts are Int64 and
null where the vendor did not say; durations are seconds unless the name says otherwise.
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
    """One column: its Polars type, what a value means, and what null means where null may stand."""

    name: str
    dtype: pl.DataType
    description: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """One table: where its files lie (`layer`, `files`), one row per what (`grain`), and what makes it unique."""

    name: str
    layer: Layer
    files: Files
    grain: str
    key: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]
    # Column lineage: names of columns -> what they are made of, both apart by spaces. `table.column`, or `table.*`
    # for the column of the same name; `roster.column` and `settings.section` are what the operator wrote.
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def lineage(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Column -> the (table, column) pairs that it is made of, in the order of the columns; {} where none is told."""
        made_of = {
            name: tuple(_source(source, name) for source in sources.split())
            for names, sources in self.sources.items()
            for name in names.split()
        }
        return {column.name: made_of[column.name] for column in self.columns if column.name in made_of}

    @cached_property
    def schema(self) -> pl.Schema:
        """Polars schema, in the order of the contract."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Columns that the rows of a file are sorted by: readings by creator and time, then, or else, by the key.

        Rows of some creators are then in few row groups of a file.
        """
        first = ("creator_id", "observed_at") if {"creator_id", "observed_at"} <= self.schema.keys() else ()
        return (*first, *(name for name in self.key if name not in first))

    def empty(self) -> pl.DataFrame:
        """A frame of no rows with the table's schema."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with exactly the table's columns in their order and types.

        Raises:
            polars.exceptions.ColumnNotFoundError: a column of the contract is missing.
            polars.exceptions.InvalidOperationError: a value does not fit its type.
        """
        return frame.select(pl.col(column.name).cast(column.dtype, strict=True) for column in self.columns)


def _source(source: str, column: str) -> tuple[str, str]:
    table, _, name = source.partition(".")
    return table, column if name == "*" else name


def _required(name: str, dtype: pl.DataType, description: str) -> Column:
    return Column(name, dtype, description, nullable=False)


_CREATOR = _required("creator_id", STRING, "The roster's id: the handle as first added, lower-case.")
_STREAM = _required(
    "stream_id",
    STRING,
    "creator_id:room id, or creator_id:start where no room id is known; creator_id:room id:start of a room that was "
    "closed and opened again.",
)
_OBSERVED = (
    _CREATOR,
    _required("vendor", STRING, "Who answered: konbini, social_fetch, tikliveapi or tikhub."),
    _required("observed_at", TIME, "When the reading was true: receipt less the answer's Age."),
    _required("capture_id", STRING, "The raw row that this was read from."),
)

_RAW_COLUMNS = (
    _required("capture_id", STRING, "Unique id of the attempt; carries its capture window."),
    _required("vendor", STRING, "konbini, social_fetch, tikliveapi or tikhub."),
    _required("endpoint", STRING, "The endpoint's path template."),
    Column("creator_id", STRING, "Roster id; null for searches and rankings."),
    _required("subject", STRING, "What was asked for: handle, user id, room id or keyword."),
    _required("page", pl.Int32(), "Page number from 0."),
    Column("cursor", STRING, "Cursor sent; null on the first page."),
    _required("requested_at", TIME, "When the request was sent."),
    _required("received_at", TIME, "When the answer, or the failure, arrived."),
    _required("observed_at", TIME, "received_at less the answer's Age."),
    Column("elapsed_ms", RATIO, "Wall time from request to answer, ms; measured on the replay clock too."),
    _required("attempt", pl.Int16(), "1 for the first try; every try is a row."),
    Column("http_status", pl.Int16(), "HTTP status; null if no answer came."),
    _required("outcome", STRING, "What the answer means: ok, empty, not_found, not_live, private, blocked, ..."),
    Column("error", STRING, "The vendor's error code or the network error; null when ok."),
    Column("request_id", STRING, "The vendor's id of the request."),
    Column("credits", RATIO, "Credits charged, as told or else by price list; null if not known."),
    _required("headers", STRING, "JSON of the answer's headers that matter; never a credential."),
    Column("body", STRING, "The body as received, less cookies and credentials; null if none came."),
    Column("run_id", STRING, "Dagster run that asked."),
)


def _raw(name: str, description: str) -> Table:
    return Table(name, "raw", "hour", "one row an HTTP attempt", ("capture_id",), description, _RAW_COLUMNS)


RAW_LIVES = _raw("raw_lives", "Who is live, asked of vendors: live and room endpoints, every attempt as it came.")
RAW_PROFILES = _raw("raw_profiles", "Profiles asked of vendors: names, ids and counts, every attempt as it came.")
RAW_STORIES = _raw("raw_stories", "Stories asked of vendors, page by page, every attempt as it came.")

RAW_POSTS = _raw("raw_posts", "Posts asked of vendors, page by page, every attempt as it came.")
RAW_FOLLOWERS = _raw("raw_followers", "Follower lists asked of vendors, page by page, every attempt as it came.")
RAW_LIVE_RANKINGS = _raw("raw_live_rankings", "Live rankings asked of vendors, every attempt as it came.")
RAW_USER_SEARCHES = _raw("raw_user_searches", "Searches for users by keyword, every attempt as it came.")

RAW_TABLES = (RAW_LIVES, RAW_PROFILES, RAW_STORIES, RAW_POSTS, RAW_FOLLOWERS, RAW_LIVE_RANKINGS, RAW_USER_SEARCHES)


def _of_all_raw(column: str) -> str:
    return " ".join(f"{table.name}.{column}" for table in RAW_TABLES)


PROFILE_OBSERVATIONS = Table(
    "profile_observations",
    "normalized",
    "day",
    "one row a payload that carries a profile",
    ("capture_id", "source"),
    "What a vendor said of a creator's profile, from any payload that carries one.",
    (
        *_OBSERVED,
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("sec_uid", STRING, "TikTok's opaque stable user id."),
        Column("handle", STRING, "Handle at that time, lower-case, without @."),
        Column("display_name", STRING, "Name shown on the profile."),
        Column("bio", STRING, "Profile text."),
        Column("avatar_url", STRING, "Address of the avatar, without signing tokens."),
        Column("verified", FLAG, "Verified by TikTok."),
        Column("private", FLAG, "Private account."),
        Column("language", STRING, "Language code, as given."),
        Column("region", STRING, "Region code, as given."),
        Column("followers", COUNT, "Followers; exact or rounded by followers_precision."),
        Column("following", COUNT, "Accounts followed."),
        Column("likes", COUNT, "Likes received."),
        Column("videos", COUNT, "Posts."),
        Column("followers_precision", STRING, "exact or rounded; null when no count came."),
        Column("followers_unit", COUNT, "Quantum of the follower count: 1, 100, 100000, ..."),
        _required("source", STRING, "Kind of payload: profile, live, room, story, post or followers."),
    ),
)

LIVE_OBSERVATIONS = Table(
    "live_observations",
    "normalized",
    "day",
    "one row a reading of somebody's live state",
    ("capture_id",),
    "Whether a creator was live by one vendor at one instant: live, paused, ended or unknown.",
    (
        *_OBSERVED,
        _required("live_state", STRING, "live, paused (still the same stream), ended or unknown."),
        _required("evidence", STRING, "strong: names the room and its status; weak: a flag or an absence."),
        Column("room_id", STRING, "Room of the broadcast."),
        Column("title", STRING, "Title of the broadcast."),
        Column("started_at", TIME, "Start as the vendor says it."),
        Column("ended_at", TIME, "End as the vendor says it, only where the room's status is ended."),
        Column("viewers", COUNT, "Concurrent viewers."),
        Column("viewers_total", COUNT, "Cumulative viewers of the room."),
        Column("likes", COUNT, "Likes of the room."),
        Column("gifters", COUNT, "Distinct gifters of the room."),
        Column("new_followers", COUNT, "New follows in the room by TikTok's own count."),
        Column("cover_url", STRING, "Address of the cover, without signing tokens."),
        Column("reason", STRING, "Why the state is what it is, where it is not plainly said."),
    ),
)

STREAM_VARIANTS = Table(
    "stream_variants",
    "normalized",
    "day",
    "one row a playback variant in a live payload",
    ("capture_id", "codec", "source", "quality"),
    "Playback variants (codec, quality, bitrate) that a live payload lists.",
    (
        *_OBSERVED,
        Column("room_id", STRING, "Room of the broadcast."),
        Column("codec", STRING, "h264 or h265."),
        Column("source", STRING, "Bundle that the variant came from: primary or hevc."),
        Column("quality", STRING, "Quality key: origin, hd, sd, ..."),
        Column("label", STRING, "Quality as shown to people."),
        Column("flv_url", STRING, "FLV address, without signing tokens."),
        Column("hls_url", STRING, "HLS address, without signing tokens."),
        Column("cmaf_url", STRING, "CMAF address, without signing tokens."),
        Column("width", COUNT, "Pixels."),
        Column("height", COUNT, "Pixels."),
        Column("bitrate_bps", COUNT, "Target bitrate, bits a second."),
    ),
)

STORY_OBSERVATIONS = Table(
    "story_observations",
    "normalized",
    "day",
    "one row a story in a payload",
    ("capture_id", "story_id"),
    "A story and its counts as one payload showed them.",
    (
        *_OBSERVED,
        _required("story_id", STRING, "TikTok's id of the story."),
        Column("published_at", TIME, "When it was published."),
        Column("expires_at", TIME, "When it goes away, 24 hours later."),
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
    "one row a post in a payload",
    ("capture_id", "post_id"),
    "A post and its counts as one payload showed them.",
    (
        *_OBSERVED,
        _required("post_id", STRING, "TikTok's id of the post."),
        Column("published_at", TIME, "When it was published."),
        Column("caption", STRING, "Caption; null where the post has none."),
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
    "one row a follower in a payload",
    ("capture_id", "follower_key"),
    "Who follows a creator, as one page of a list showed it; lists are never complete.",
    (
        *_OBSERVED,
        _required("follower_key", STRING, "Keyed hash of the follower's user id; the id itself is not stored here."),
        _required("page", COUNT, "Page of the walk, from 0."),
        _required("position", COUNT, "Place in the page, from 1; newest followers come first."),
        Column("list_total", COUNT, "Followers in all, as the list says: exact where profiles round."),
    ),
)

LIVE_RANKING_ENTRIES = Table(
    "live_ranking_entries",
    "normalized",
    "day",
    "one row a place of a ranking in a payload",
    ("capture_id", "ranked_user_id"),
    "Who leads a live ranking of TikTok, in the ranking's own unit.",
    (
        Column("creator_id", STRING, "Null: a ranking is about nobody on the roster."),
        *_OBSERVED[1:],
        _required("list", STRING, "Which ranking: hourly, daily, ..."),
        Column("region", STRING, "Region that was asked for."),
        Column("window_start", TIME, "Begin of the ranking's window, as TikTok says it."),
        Column("rank", COUNT, "Rank from 1; null for who is not ranked."),
        Column("score", COUNT, "Score in score_unit; null for who is not ranked."),
        Column("score_unit", STRING, "Unit of the score; it differs by list."),
        _required("ranked_user_id", STRING, "TikTok's numeric user id."),
        Column("ranked_handle", STRING, "Handle."),
    ),
)

SEARCH_HITS = Table(
    "search_hits",
    "normalized",
    "day",
    "one row a hit of a search in a payload",
    ("capture_id", "rank"),
    "Users that a search for a keyword found: candidates for a roster.",
    (
        Column("creator_id", STRING, "Null: a search is about nobody on the roster."),
        *_OBSERVED[1:],
        _required("keyword", STRING, "What was searched for."),
        _required("rank", COUNT, "Place among the hits, from 1."),
        Column("handle", STRING, "Handle."),
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("followers", COUNT, "Followers, as the search says them: mostly rounded."),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "normalized",
    "day",
    "one row a body, or part of one, that could not be read",
    ("capture_id", "table", "field", "reason"),
    "What could not be read, why, and the raw row it came from; the rest of the batch went on.",
    (
        Column("creator_id", STRING, "Roster id; null for searches and rankings."),
        *_OBSERVED[1:],
        _required("table", STRING, "The raw table."),
        _required("reason", STRING, "What is wrong."),
        Column("field", STRING, "Path of the field, where one is to blame."),
        Column("value", STRING, "The offending value or the body's beginning, cut to 200 characters."),
    ),
)

PAYLOAD_SHAPES = Table(
    "payload_shapes",
    "normalized",
    "day",
    "one row a day, vendor, endpoint, field and type",
    ("vendor", "endpoint", "path", "type"),
    "Which fields vendors' bodies have, by a sample of each day: what drift is told from.",
    (
        Column("creator_id", STRING, "Null: a shape is about nobody."),
        _required("vendor", STRING, "Who answered."),
        _required("observed_at", TIME, "First time in the day's sample that the field was seen."),
        _required("capture_id", STRING, "The raw row of the example."),
        _required("endpoint", STRING, "The endpoint's path template."),
        _required("path", STRING, "Names down to the field; [] is any element, * any key of a map."),
        _required("type", STRING, "object, array, string, number, boolean or null."),
        _required("bodies", COUNT, "Bodies of the sample that have the field with this type."),
        _required("sampled", COUNT, "Bodies of the endpoint in the sample."),
        Column("example", STRING, "What a value looks like: letters are a, digits 0, cut to 40 characters."),
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
        _required("subject", STRING, "What was requested: handle, user id or room id."),
        _required("asked_by", STRING, "What the subject is: handle, user_id, room_id or other."),
        Column("user_id", STRING, "User id in the response."),
        Column("sec_uid", STRING, "secUid in the response."),
        Column("handle", STRING, "Handle in the response; null where it has not the form of one."),
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
    "Everybody on the roster or ever observed, with the latest identity and counts.",
    (
        _CREATOR,
        Column("handle", STRING, "Newest handle observed, else the roster's."),
        Column("previous_handles", NAMES, "Handles observed before, oldest first."),
        Column("user_id", STRING, "TikTok's numeric user id."),
        Column("sec_uid", STRING, "TikTok's opaque stable user id."),
        Column("niche", STRING, "Niche, from the roster."),
        Column("tier", STRING, "Tier a, b or c, from the roster."),
        Column("display_name", STRING, "Name shown on the profile."),
        Column("verified", FLAG, "Verified by TikTok."),
        Column("followers", COUNT, "Newest follower count of the best precision seen in the last 7 days."),
        Column("followers_precision", STRING, "exact or rounded."),
        Column("first_seen_at", TIME, "First time that a vendor knew the creator."),
        Column("last_seen_at", TIME, "Last time that a vendor knew the creator."),
        _required("on_roster", FLAG, "Whether the roster still lists the creator."),
        Column(
            "identified_by",
            STRING,
            "How the account is known: roster (ids given), responses (they agreed for half an hour); null: a presumption.",
        ),
        Column("handle_taken_by", STRING, "Account (user id, else secUid) that vendors now give under the handle."),
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
        Column("room_id", STRING, "Room id of the stream's first room; null when no vendor said one."),
        Column("title", STRING, "Last title observed."),
        _required("started_at", TIME, "Best estimate of the start."),
        Column("started_at_lo", TIME, "Earliest possible start: last reading of off air; null when censored."),
        _required("started_at_hi", TIME, "Latest possible start: first reading of on air."),
        Column("ended_at", TIME, "Best estimate of the end; null while live."),
        Column("ended_at_lo", TIME, "Earliest possible end: last reading of on air."),
        Column("ended_at_hi", TIME, "Latest possible end; null while open."),
        _required("status", STRING, "live, ended, or lost (observation stopped before an end was seen)."),
        _required("rooms", COUNT, "Rooms that make up the stream."),
        _required("reconnects", COUNT, "rooms - 1."),
        _required("airtime_s", RATIO, "Start to end, or to the last reading while live, s."),
        _required("observed_s", RATIO, "Airtime that polling covers, s: a gap counts up to the cap."),
        _required(
            "coverage_ratio", RATIO, "Share of the airtime that polling covers: observed_s / airtime_s, at most 1."
        ),
        _required("observations", COUNT, "Readings of on air."),
        Column("peak_viewers", COUNT, "Most concurrent viewers observed: a lower bound."),
        Column("peak_at", TIME, "When."),
        Column(
            "average_viewers",
            RATIO,
            "Weighted by time, edges included: hours_watched / observed hours; null without a viewer count.",
        ),
        Column("hours_watched", RATIO, "average_viewers x observed hours (observed_s / 3600), viewer-hours."),
        Column("viewers_total", COUNT, "Cumulative viewers, summed over rooms."),
        Column("likes", COUNT, "Likes, summed over rooms."),
        Column("gap_since_previous_s", RATIO, "From the previous stream's end, s; null for the first known."),
        _required("vendors", NAMES, "Vendors that saw the stream on air."),
        Column("detection_delay_s", RATIO, "First on-air reading less the start, s; null where start is a guess."),
        _required("flags", NAMES, "What to know: censored_start, censored_end, disagree_start, over_24h, ..."),
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
    "Followers gained around a stream over what the creator would have gained anyway, with an interval.",
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
        Column("before_at", TIME, "When that was."),
        Column("followers_after", COUNT, "First follower count after end + carry-over (or the next start)."),
        Column("after_at", TIME, "When that was."),
        Column("provider_before", STRING, "Vendor of the count before."),
        Column("provider_after", STRING, "Vendor of the count after; the same as before by construction."),
        Column("before_gap_s", RATIO, "Start less before_at, s."),
        Column("after_gap_s", RATIO, "after_at less the window's end, s."),
        _required("carry_over_min", COUNT, "Minutes after the end that count as the stream's."),
        Column("naive_delta", COUNT, "followers_after - followers_before."),
        Column("baseline_rate_per_h", RATIO, "Organic followers an hour around the stream."),
        Column("baseline_hours", RATIO, "Clean off-air hours that the rate rests on."),
        _required("profile_used", FLAG, "Whether the creator's hour-of-day profile was used."),
        Column("expected_organic", RATIO, "Followers expected without the stream, between the snapshots."),
        Column(
            "lift", RATIO, "Followers beyond what the creator would have gained anyway: naive_delta - expected_organic."
        ),
        Column("lift_lo", RATIO, "Lower end of the 90 % interval."),
        Column("lift_hi", RATIO, "Upper end of the 90 % interval."),
        Column(
            "lift_shared",
            RATIO,
            "Part of the half-width that errors of the creator's other streams share: it does not average out in a sum.",
        ),
        Column("interval_level", RATIO, "Nominal level of the interval; null where there is none."),
        Column("lift_pct", RATIO, "lift in percent of followers_before."),
        Column("lift_per_hour", RATIO, "Lift / hours of airtime."),
        Column("resolution", COUNT, "Quantum of the coarser snapshot, followers."),
        _required("observable", FLAG, "False where counts are missing or too coarse for the delta to mean much."),
        Column("platform_new_followers", COUNT, "TikTok's own count of new follows in the stream's rooms."),
        _required("placebos", COUNT, "Placebo windows behind the interval; those that overlap weigh less in it."),
        Column("is_significant", FLAG, "Whether the whole interval lies above zero: lift_lo > 0."),
        _required(
            "is_final",
            FLAG,
            "False while later counts may change the lift; true once the window of the baseline has closed.",
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
    "one row a stream and clock hour (UTC) that it was on air in, in the day of the stream's start",
    ("stream_id", "hour"),
    "Each stream split over the hours that it overlaps: what days, heatmaps and any range of hours are summed from.",
    (
        _STREAM,
        _CREATOR,
        _required("hour", TIME, "Begin of the hour, UTC."),
        _required("started_at", TIME, "The stream's start."),
        _required("airtime_s", RATIO, "Airtime within the hour, s; adds up to the stream's."),
        Column(
            "counted_s", RATIO, "Observed time within the hour, s: adds up to observed_s; null without a viewer count."
        ),
        Column("hours_watched", RATIO, "Viewer-hours within the hour; add up to the stream's; null where no count is."),
        Column("average_viewers", RATIO, "hours_watched / hours of counted_s; null without any."),
        Column("peak_viewers", COUNT, "Most concurrent viewers read within the hour; null without a reading in it."),
        Column("lift", RATIO, "The stream's lift, shared by airtime; null where the lift is not observable."),
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
    "one row a day and creator, since the creator is known",
    ("day", "creator_id"),
    "A creator's day: streams, airtime, audience, followers, lift and streaks, also for days without a stream.",
    (
        _required("day", pl.Date(), "Day, UTC."),
        _CREATOR,
        Column("active_day", FLAG, "Whether a stream started; null where none was seen and nobody knew all day."),
        Column("streams", COUNT, "Streams that started; null where active_day is."),
        Column("airtime_s", RATIO, "Time on air within the day, s, of streams of the day before too; null likewise."),
        Column("hours_watched", RATIO, "Viewer-hours within the day; null where a stream has none, or like airtime_s."),
        Column("average_viewers", RATIO, "Viewer-hours over hours that viewer counts cover; null without any."),
        Column("peak_viewers", COUNT, "Most concurrent viewers read within the day; null without a reading on air."),
        Column("followers_end", COUNT, "Last follower count of the day, exact before rounded; null without any."),
        Column("followers_at", TIME, "When that count was read; null without any."),
        Column("followers_vendor", STRING, "Who said it; null without any."),
        Column("followers_precision", STRING, "exact or rounded; null without any."),
        Column("followers_unit", COUNT, "Quantum of the count; null without any."),
        Column(
            "followers_change",
            COUNT,
            "followers_end less the day before's; null unless both are by one vendor in one precision and quantum.",
        ),
        Column("lift", RATIO, "Sum of the observable lifts of the streams that started; null where there is none."),
        Column("lift_streams", COUNT, "Streams behind lift; null where active_day is."),
        Column(
            "current_streak_days",
            COUNT,
            "Active days in a row up to this one, at most 366; 0 on an idle day, null where active_day is.",
        ),
        _required("longest_streak_days", COUNT, "Longest run of active days in the 366 days up to this one."),
        Column("days_since_last_stream", COUNT, "Days since the last start, 0 today; null without one in 366 days."),
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
    "one row a creator, weekday and hour of the day (UTC) that the creator was ever on air in",
    ("creator_id", "weekday", "hour"),
    "When a creator is on air, and what comes of it, by hour of the week: each stream split over the hours it overlaps.",
    (
        _CREATOR,
        _required("weekday", COUNT, "ISO weekday, UTC: 1 Monday to 7 Sunday."),
        _required("hour", COUNT, "Hour of the day, UTC: 0 to 23."),
        _required("streams", COUNT, "Streams that were on air in it."),
        _required("airtime_s", RATIO, "Airtime, s."),
        Column("hours_watched", RATIO, "Viewer-hours; null where no stream has any."),
        Column("average_viewers", RATIO, "Viewer-hours over hours that viewer counts cover; null without any."),
        Column("peak_viewers", COUNT, "Most concurrent viewers read; null without a reading."),
        Column("lift", RATIO, "Observable lifts, shared by airtime; null where there is none."),
    ),
    sources={
        "creator_id airtime_s hours_watched peak_viewers lift": "stream_hours.*",
        "weekday hour": "stream_hours.hour",
        "streams": "stream_hours.stream_id",
        "average_viewers": "stream_hours.hours_watched stream_hours.counted_s",
    },
)

STREAM_CONVERSIONS = Table(
    "stream_conversions",
    "marts",
    "day",
    "one row a stream, in the day of its start",
    ("stream_id",),
    "Followers who came and went between the follower lists around a stream, and how many of its viewers that is.",
    (
        _STREAM,
        _CREATOR,
        _required("started_at", TIME, "The stream's start."),
        Column(
            "joined", COUNT, "Followers new between the two lists, still there after; null where it cannot be told."
        ),
        Column("left", COUNT, "Followers gone between the two lists; null unless both cover the whole list."),
        Column(
            "left_recent",
            COUNT,
            "Gone of the newest followers whom both lists reach: a part of left; null where the lists do not meet.",
        ),
        Column("compared", COUNT, "Followers of the list before whom the list after reaches; null likewise."),
        Column("list_seen", COUNT, "Followers read in the list after the stream; null without a list."),
        Column("list_total", COUNT, "Followers in all, as that list says; null where it does not."),
        Column(
            "complete", FLAG, "Whether both lists were read to the end; null without both, or without their totals."
        ),
        Column("viewers_total", COUNT, "Cumulative viewers of the stream; null where no vendor said."),
        Column(
            "conversion", RATIO, "joined / viewers_total; null where either is, or a list lies too far from the stream."
        ),
        Column(
            "before_at", TIME, "When the list before was read, at most some minutes into the stream; null without one."
        ),
        Column("after_at", TIME, "When the list after was read; null without one in reach."),
        Column("vendor", STRING, "Who said both lists; null without both."),
        _required("flags", NAMES, "What to know: no_list_before, lists_do_not_meet, wide_bracket, late_before, ..."),
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
    "one row a creator and post that looks like a recap of a stream, in the day it was published",
    ("creator_id", "post_id"),
    "Posts that show moments of a stream, by when they came and what their captions say, with the stream if one is known.",
    (
        Column("stream_id", STRING, "The newest stream begun before the post; null when only the lexicon says so."),
        _required("post_id", STRING, "TikTok's id of the post."),
        _CREATOR,
        _required("published_at", TIME, "When it was published."),
        _required("score", RATIO, "0 to 1; a row is here from the threshold of the settings on. A score, no share."),
        _required("band", STRING, "When, by the stream: during, 3h, 24h or 72h after its end, or none."),
        _required("hits", NAMES, "Rules that hit the caption: live, recap, tag, announcement, noise."),
        Column("views", COUNT, "Views at the last observation until two days after the day; null where not said."),
        Column("likes", COUNT, "Likes at that observation; null where not said."),
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
    "An estimate of a stream's gifts, not a ledger: an index by what can be seen; diamonds only where somebody supplied "
    "known streams.",
    (
        _STREAM,
        _CREATOR,
        _required("started_at", TIME, "The stream's start."),
        Column(
            "gift_index",
            RATIO,
            "0 to 100: percentile among streams of the follower tier in the 7 days up to the day; null with under 5.",
        ),
        Column("follower_tier", STRING, "Tier compared in: under_10k, 10k_100k, 100k_1m, over_1m; null if unknown."),
        _required("compared_with", COUNT, "Streams in the comparison, this one included."),
        _required("signals", NAMES, "What the index rests on; a signal that is missing counts as average."),
        Column("low", RATIO, "Lower end of the 90 % range, diamonds; null without enough known streams."),
        Column("mid", RATIO, "Middle of the range, diamonds; null under 30 known streams."),
        Column("high", RATIO, "Upper end of the 90 % range, diamonds; null without enough known streams."),
        _required("basis", STRING, "none (index only), roster (others' known streams), creator (its own too), known."),
        _required(
            "known_streams",
            COUNT,
            "Known streams that the range rests on: 0 without a range, 1 for one that is known itself.",
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
    "Who leads, by period, niche and metric; periods end with the day.",
    (
        _required("as_of", pl.Date(), "Last day of the period, UTC."),
        _required("period", STRING, "day, week (7 days) or month (30 days), ending with as_of."),
        _required("niche", STRING, "Niche of the roster; * for all."),
        _required("metric", STRING, "airtime (s), streams, peak_viewers, hours_watched, lift, ..."),
        _CREATOR,
        _required(
            "value", RATIO, "The metric over the streams that started in the period; recaps: posts published in it."
        ),
        Column("value_lo", RATIO, "Lower end of the 90 % interval; null where the value is exact."),
        Column("value_hi", RATIO, "Upper end of the 90 % interval; null where the value is exact."),
        Column("share", RATIO, "Share of the board's total; null where a sum means nothing."),
        _required("rank", COUNT, "Rank by value; ties share a rank."),
        Column("previous_rank", COUNT, "Rank in the period of the same length before."),
        Column(
            "rank_change",
            COUNT,
            "Places gained since the period before: previous_rank - rank; null when absent before.",
        ),
        Column("confident_rank", COUNT, "Rank by value_lo, which thin data cannot win; null where the value is exact."),
        Column("is_new", FLAG, "Absent in the period before; null where the creator was not watched all through it."),
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
    "one row a creator and story, in the day it was published",
    ("creator_id", "story_id"),
    "Stories with their last known counts and the views at 1, 6 and 24 hours of age.",
    (
        _required("story_id", STRING, "TikTok's id of the story."),
        _CREATOR,
        _required("published_at", TIME, "When it was published."),
        Column("expires_at", TIME, "When it goes away."),
        Column("media_type", STRING, "video or image."),
        Column("views", COUNT, "Views at the last observation."),
        Column("likes", COUNT, "Likes at the last observation."),
        Column("comments", COUNT, "Comments at the last observation."),
        Column("shares", COUNT, "Shares at the last observation."),
        Column("saves", COUNT, "Saves at the last observation."),
        Column("views_1h", COUNT, "Views at 1 h of age, interpolated; null unless observed around it."),
        Column("views_6h", COUNT, "Views at 6 h of age, interpolated; null unless observed around it."),
        Column("views_24h", COUNT, "Views at 24 h of age: last observation past 23 h; else null."),
        _required("observations", COUNT, "Times that it was observed."),
        _required("last_observed_at", TIME, "Last time that it was observed."),
        _required("completeness", RATIO, "Share of its 24 hours between publishing and the last observation."),
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
    "Requests, outcomes, latency and credits by vendor and endpoint: the ledger.",
    (
        _required("day", pl.Date(), "Day of the request, UTC."),
        _required("vendor", STRING, "Vendor."),
        _required("endpoint", STRING, "The endpoint's path template."),
        _required("requests", COUNT, "Requests sent, every attempt counted."),
        _required("ok", COUNT, "Attempts answered with data."),
        _required("empty", COUNT, "Answered, with nothing in it."),
        _required("not_found", COUNT, "Answered: no such creator or room."),
        _required("not_live", COUNT, "Answered: not live."),
        _required("private", COUNT, "Answered: private account."),
        _required("blocked", COUNT, "Refused by TikTok or a bot wall: says nothing of the creator."),
        _required("rate_limited", COUNT, "Refused: too many requests."),
        _required("unauthorized", COUNT, "Refused: key wrong, disabled or expired."),
        _required("out_of_credits", COUNT, "Refused: no credits left."),
        _required("session_expired", COUNT, "Refused: the vendor's session expired."),
        _required("invalid_request", COUNT, "Refused: the request is wrong."),
        _required("server_error", COUNT, "Failed on the vendor's side."),
        _required("network_error", COUNT, "No answer."),
        _required("malformed", COUNT, "Answered with something that cannot be read."),
        Column("credits", RATIO, "Credits charged; null where nothing is known."),
        _required("not_billed", COUNT, "Attempts known to have cost nothing."),
        Column("p50_ms", RATIO, "Median wall time of an answer, ms."),
        Column("p95_ms", RATIO, "95th percentile of the wall time of an answer, ms."),
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
    "How well each creator was watched that day: what the other numbers can be trusted for.",
    (
        _required("day", pl.Date(), "Day, UTC."),
        _CREATOR,
        _required("polls", COUNT, "Readings of the live state, unknown included."),
        _required("known_polls", COUNT, "Readings that said live, paused or ended."),
        Column(
            "largest_gap_s",
            RATIO,
            "Longest time without a known reading between the day's first and last, s.",
        ),
        Column("median_gap_s", RATIO, "Median time between known readings, s."),
        Column("unknown_share", RATIO, "Readings that said nothing / readings."),
    ),
    sources={
        "day": "live_observations.observed_at",
        "creator_id": "roster.handle live_observations.creator_id",
        "polls": "live_observations.capture_id",
        "known_polls unknown_share": "live_observations.live_state",
        "largest_gap_s median_gap_s": "live_observations.live_state live_observations.observed_at",
    },
)

# Made by publishing itself: it lies in no lake, and is no source of anything.
PUBLICATION = Table(
    "publication",
    "published",
    "whole",
    "one row",
    ("generation",),
    "What this publication is, and the moment that its data speaks for.",
    (
        _required("generation", STRING, "Name of the publication: when it was made, and of what."),
        _required("published_at", TIME, "When it was made."),
        _required("fingerprint", STRING, "Hash of everything that it was made of."),
        _required("as_of", TIME, "The newest reading of somebody's live state: what `now` means in the views."),
        Column(
            "stands_still",
            STRING,
            "Blocked days: days of tables that keep an earlier version because a check failed, and since when; null if none.",
        ),
        Column(
            "observation_days",
            COUNT,
            "Days of observations that are published, back from the newest day; null: all. Marts are always whole.",
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
