"""Odd responses of many kinds, through the real replay: they must not affect the creator's other readings.

The kinds come from public bug reports of similar tools. Each creator of a replay gets one kind of odd response, so
one replay covers many kinds. `calm.one` gets none, and must be read as in a replay of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tiktok_pipeline_tests.calm_and_odd import (
    BEGINS,
    END,
    ENDS,
    FOLLOWERS,
    ODD_FROM,
    ODD_UNTIL,
    POSTS,
    START,
    VIEWERS,
    Response,
    Twist,
    Vendors,
    environment,
    room_id,
    sec_uid,
    served,
    user_id,
)
from tiktok_pipeline_tests.commands.command_line import run_here


@dataclass
class Replayed:
    """Results of a replay."""

    lake: Path
    vendors: Vendors
    exit_code: int
    output: str

    def table(self, layer: str, name: str, handle: str | None = None) -> pl.DataFrame:
        files = sorted((self.lake / layer / name).glob("**/*.parquet"))
        frame = pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed")
        return frame if handle is None else frame.filter(pl.col("creator_id") == handle)


Proof = Callable[[Replayed, str], None]


@dataclass(frozen=True)
class Case:
    """One case of a kind: the change to the responses, and the check of the results."""

    name: str
    twist: Twist
    proof: Proof


@dataclass(frozen=True)
class Group:
    """Cases that can share a replay, because the same vendors have credentials."""

    vendors: tuple[str, ...]
    cases: tuple[Case, ...]
    credentials: Mapping[str, str] = field(default_factory=dict)


def bent(path: str, value: Any) -> Callable[[Any, Mapping[str, str]], Any]:
    """Put a value at a path of the good body: `data/live/viewerCount`."""

    def bend(body: Any, query: Mapping[str, str]) -> Any:
        owner = body
        *parents, last = path.split("/")
        for part in parents:
            owner = owner[int(part)] if isinstance(owner, list) else owner[part]
        if isinstance(owner, list):
            owner[int(last)] = value
        else:
            owner[last] = value
        return body

    return bend


def spelled(path: str, fragment: bytes) -> Callable[[Any, Mapping[str, str]], Any]:
    """Put a fragment of almost JSON at a path."""
    put = bent(path, "@fragment@")
    return lambda body, query: json.dumps(put(body, query)).encode().replace(b'"@fragment@"', fragment)


def headed(*headers: tuple[str, str], status: int | None = None) -> Callable[[Any, Mapping[str, str]], Any]:
    """Send other headers with the good body."""
    return lambda body, query: Response(json.dumps(body).encode(), status or 200, list(headers))


def live_stays(replayed: Replayed, handle: str) -> None:
    """Check live state, room and viewers of the changed polls, and that one stream has the true length."""
    polls = replayed.table("normalized", "live_observations", handle).filter(
        pl.col("observed_at").is_between(ODD_FROM, ODD_UNTIL, closed="left"), pl.col("vendor") != "tikhub"
    )
    assert polls.height >= 2
    assert polls["live_state"].unique().to_list() == ["live"]
    assert polls["room_id"].unique().to_list() == [room_id(handle)]
    assert polls["viewers"].unique().to_list() == [VIEWERS]
    one_stream(replayed, handle)


def room_stays(replayed: Replayed, handle: str) -> None:
    """Check the same for the polls of the room, which another vendor serves."""
    rooms = replayed.table("normalized", "live_observations", handle).filter(
        pl.col("observed_at").is_between(ODD_FROM, ODD_UNTIL, closed="left"), pl.col("vendor") == "tikhub"
    )
    assert rooms.height >= 1
    assert rooms["live_state"].unique().to_list() == ["live"]
    assert rooms["viewers"].unique().to_list() == [VIEWERS]
    one_stream(replayed, handle)


def one_stream(replayed: Replayed, handle: str) -> None:
    streams = replayed.table("marts", "streams", handle)
    assert streams.height == 1
    assert streams["started_at"][0] == BEGINS
    assert abs((streams["ended_at"][0] - ENDS).total_seconds()) <= 300


def live_without_viewers(replayed: Replayed, handle: str) -> None:
    polls = replayed.table("normalized", "live_observations", handle).filter(
        pl.col("observed_at").is_between(ODD_FROM, ODD_UNTIL, closed="left")
    )
    assert polls["live_state"].unique().to_list() == ["live"]
    assert polls["viewers"].null_count() == polls.height
    one_stream(replayed, handle)


def posts_are(*wanted: str) -> Proof:
    def proof(replayed: Replayed, handle: str) -> None:
        posts = replayed.table("normalized", "post_observations", handle)
        assert sorted(posts["post_id"].unique()) == sorted(wanted)

    return proof


def quarantined(then: Proof) -> Proof:
    def proof(replayed: Replayed, handle: str) -> None:
        then(replayed, handle)
        assert replayed.table("normalized", "quarantine", handle).height

    return proof


def follows(count: int | None, *, unit: int = 1) -> Proof:
    """Check that the changed count is read with its unit, or null and in quarantine; never 0 or another number."""

    def proof(replayed: Replayed, handle: str) -> None:
        profiles = replayed.table("normalized", "profile_observations", handle)
        captures = replayed.table("raw", "raw_profiles", handle).filter(pl.col("outcome") == "ok")
        read = profiles.join(captures.select("capture_id"), on="capture_id", how="semi")
        assert read["followers"].drop_nulls().is_in([count if count is not None else -1]).all()
        refused = replayed.table("normalized", "quarantine", handle)["value"].drop_nulls().len()
        assert read["followers"].null_count() == 0 or refused
        assert count is not None or read["followers"].null_count() == read.height
        assert read["videos"].drop_nulls().unique().to_list() == [3]
        known = read.filter(pl.col("followers").is_not_null())
        assert known["followers_unit"].unique().to_list() in ([], [unit])
        one_stream(replayed, handle)

    return proof


def costs(*wanted: float | None) -> Proof:
    def proof(replayed: Replayed, handle: str) -> None:
        live_stays(replayed, handle)
        raw = replayed.table("raw", "raw_lives", handle).filter(
            pl.col("requested_at").is_between(ODD_FROM, ODD_UNTIL, closed="left")
        )
        assert set(raw["credits"]) <= set(wanted)
        assert raw["outcome"].unique().to_list() == ["ok"]

    return proof


def next_vendor_answers(replayed: Replayed, handle: str) -> None:
    polls = replayed.table("raw", "raw_lives", handle).filter(
        pl.col("requested_at").is_between(ODD_FROM, ODD_UNTIL, closed="left")
    )
    assert {"social_fetch", "konbini"} <= set(polls["vendor"])
    good = replayed.table("normalized", "live_observations", handle).filter(
        pl.col("observed_at").is_between(ODD_FROM, ODD_UNTIL, closed="left"), pl.col("vendor") == "konbini"
    )
    assert good["live_state"].unique().to_list() == ["live"]
    one_stream(replayed, handle)


def another_account_is_refused(replayed: Replayed, handle: str) -> None:
    """Check that no data of another account is in followers or streams, and that its responses are in quarantine."""
    profiles = replayed.table("normalized", "profile_observations", handle)
    assert profiles["followers"].drop_nulls().unique().to_list() == [FOLLOWERS]
    reasons = replayed.table("normalized", "quarantine", handle)["reason"]
    assert "another account" in reasons.to_list()
    streams = replayed.table("marts", "streams", handle)
    assert streams["room_id"].to_list() == [room_id(handle)]
    assert streams["started_at"].to_list() == [BEGINS]


def post_page(more: Any) -> Callable[[Any, Mapping[str, str]], Any]:
    """Return one post a page as TikLiveAPI does, with a cursor, and `hasMore` as given (absent: ...)."""

    def bend(body: Any, query: Mapping[str, str]) -> Any:
        number = int(query.get("cursor", "0"))
        page = {"videos": [Vendors.tikliveapi_post(POSTS[number])] if number < len(POSTS) else []}
        if number < len(POSTS) - 1:
            page |= {"cursor": str(number + 1)} | ({} if more is ... else {"hasMore": more})
        return page

    return bend


def empty_first(items: str, cursor: str, more: str | None) -> Callable[[Any, Mapping[str, str]], Any]:
    """Return an empty first page with a cursor and the flag for more pages; then the good page.

    Paths lead to the list, the cursor and the flag.
    """

    def bend(body: Any, query: Mapping[str, str]) -> Any:
        if query.get("cursor", "0") != "0":
            return body
        body = bent(items, [])(body, query)
        body = bent(cursor, "7")(body, query)
        return body if more is None else bent(more, True)(body, query)

    return bend


ALWAYS = {"since": START, "until": END}


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def _taken(body: Any, query: Mapping[str, str]) -> Any:
    """Put another account under the same handle."""
    body["data"]["profile"] |= {"platformUserId": "7999999999999999999", "secUid": "MS4wLjABAAAAelse"}
    if "metrics" in body["data"]:
        body["data"]["metrics"]["followers"] = 913_120
    else:
        body["data"]["profile"]["followerCount"] = 913_120
        body["data"]["live"]["roomId"] = "7571399999999999999"
    return body


def _live_in_no_room(replayed: Replayed, handle: str) -> None:
    polls = replayed.table("normalized", "live_observations", handle).filter(
        pl.col("observed_at").is_between(ODD_FROM, ODD_UNTIL, closed="left")
    )
    assert polls["live_state"].unique().to_list() == ["live"]
    assert polls["room_id"].null_count() == polls.height
    assert polls["viewers"].unique().to_list() == [VIEWERS]
    assert replayed.table("marts", "streams", handle).height == 1


def _only_own_endpoints_requested(replayed: Replayed, handle: str) -> None:
    posts_are(*POSTS)(replayed, handle)
    requested = [path for vendor, path, query, _ in replayed.vendors.requests if query.get("userid") == user_id(handle)]
    assert set(requested) <= {"/user-posts/", "/user-followers/", "/user-stories/", "/userinfo-by-id/"}


KONBINI = Group(
    ("konbini",),
    (
        # A value of an unexpected type, below the envelope.
        Case("image is a number", Twist("konbini", "live", bent("data/attributedTo/image", 7)), live_stays),
        Case("private is text", Twist("konbini", "live", bent("data/attributedTo/isPrivate", "false")), live_stays),
        Case("title is a list", Twist("konbini", "live", bent("data/content", ["calm"])), live_stays),
        # A numeric header that is not a number.
        Case("credits as text", Twist("konbini", "live", headed(("X-Credits-Used", "one"))), costs(1.0, None)),
        Case("credits not a number", Twist("konbini", "live", headed(("X-Credits-Used", "NaN"))), costs(1.0, None)),
        Case("credits negative", Twist("konbini", "live", headed(("X-Credits-Used", "-5"))), costs(1.0, None)),
        Case("age twice", Twist("konbini", "live", headed(("Age", "3"), ("Age", "3"))), live_stays),
        # Null or an object in place of a list.
        Case("attachment null", Twist("konbini", "live", bent("data/attachment", None)), live_stays),
        Case("attachment an object", Twist("konbini", "live", bent("data/attachment", {"url": "x"})), live_stays),
        Case("attachment holds text", Twist("konbini", "live", bent("data/attachment", ["x", 1, None])), live_stays),
        # An error field beside good data.
        Case("errors empty", Twist("konbini", "live", bent("errors", [])), live_stays),
        Case("errors false", Twist("konbini", "live", bent("errors", False)), live_stays),
        # Almost JSON.
        Case("low half of an emoji", Twist("konbini", "live", spelled("data/content", b'"\\udc00"')), live_stays),
        Case(
            "infinite likes", Twist("konbini", "live", spelled("data/attributedTo/likeCount", b"Infinity")), live_stays
        ),
        Case(
            "viewers not a number", Twist("konbini", "live", spelled("data/viewerCount", b"NaN")), live_without_viewers
        ),
        # Counts as text, and beyond 64 bits.
        Case(
            "12,5K",
            Twist("konbini", "profile", bent("data/followerCount", "12,5K"), **ALWAYS),
            follows(12_500, unit=100),
        ),
        Case(
            "13 500",
            Twist("konbini", "profile", bent("data/followerCount", "13 500"), **ALWAYS),
            follows(13_500, unit=100),
        ),
        Case("lots", Twist("konbini", "profile", bent("data/followerCount", "lots"), **ALWAYS), follows(None)),
        Case(
            "below 64 bits",
            Twist("konbini", "profile", bent("data/followerCount", -9223372036854775809), **ALWAYS),
            follows(None),
        ),
        # Only the second id shows that the handle was taken.
        Case(
            "another secUid",
            Twist(
                "konbini",
                "profile",
                lambda body, query: bent("data/entityId", "MS4wLjABAAAAelse")(
                    bent("data/followerCount", 913_000)(body, query), query
                ),
            ),
            one_stream,
        ),
        # An empty page with more pages after it.
        Case(
            "empty page with a next cursor",
            Twist("konbini", "videos", empty_first("data/orderedItems", "data/nextCursor", None), **ALWAYS),
            posts_are(*POSTS),
        ),
    ),
)
SOCIAL_FETCH = Group(
    ("social_fetch",),
    (
        Case("verified is 1", Twist("social_fetch", "live", bent("data/profile/verified", 1)), live_stays),
        Case("bio is an object", Twist("social_fetch", "live", bent("data/profile/bio", {"text": "b"})), live_stays),
        Case("cover is a list", Twist("social_fetch", "live", bent("data/live/coverUrl", ["x"])), live_stays),
        Case("streams are an object", Twist("social_fetch", "live", bent("data/live/streams", {"0": {}})), live_stays),
        Case("streams hold null", Twist("social_fetch", "live", bent("data/live/streams", [None])), live_stays),
        Case("streams are text", Twist("social_fetch", "live", bent("data/live/streams", "none")), live_stays),
        Case(
            "a bitrate as text", Twist("social_fetch", "live", bent("data/live/streams/0/bitrate", "high")), live_stays
        ),
        Case("error null", Twist("social_fetch", "live", bent("error", None)), live_stays),
        Case("meta null", Twist("social_fetch", "live", bent("meta", None)), live_stays),
        Case(
            "a byte order mark",
            Twist("social_fetch", "live", lambda body, query: b"\xef\xbb\xbf" + _encoded(body)),
            live_stays,
        ),
        Case(
            "half an emoji in the bio",
            Twist("social_fetch", "live", spelled("data/profile/bio", b'"\\ud83d"')),
            live_stays,
        ),
        Case("half an emoji as a key", Twist("social_fetch", "live", spelled("meta", b'{"\\ud83d":1}')), live_stays),
        Case(
            "infinite credits",
            Twist("social_fetch", "live", spelled("meta/creditsCharged", b"Infinity")),
            costs(1.0, None),
        ),
        Case("negative credits", Twist("social_fetch", "live", bent("meta/creditsCharged", -5)), costs(1.0, None)),
        Case(
            "viewers as text",
            Twist("social_fetch", "live", bent("data/live/viewerCount", "many")),
            live_without_viewers,
        ),
        Case(
            "5,000 digits of likes",
            Twist("social_fetch", "profile", spelled("data/metrics/likes", b"9" * 5_000), **ALWAYS),
            follows(FOLLOWERS),
        ),
        Case(
            "followers 1e999",
            Twist("social_fetch", "profile", spelled("data/metrics/followers", b"1e999"), **ALWAYS),
            follows(None),
        ),
        Case(
            "1.2M",
            Twist("social_fetch", "profile", bent("data/metrics/followers", "1.2M"), **ALWAYS),
            follows(1_200_000, unit=100_000),
        ),
        Case(
            "null among videos",
            Twist(
                "social_fetch",
                "videos",
                lambda body, query: bent("data/videos", [None, *body["data"]["videos"]])(body, query),
                **ALWAYS,
            ),
            quarantined(posts_are(*POSTS)),
        ),
        Case(
            "one id on all videos",
            Twist(
                "social_fetch",
                "videos",
                lambda body, query: bent("data/videos", [v | {"id": POSTS[0]} for v in body["data"]["videos"]])(
                    body, query
                ),
                **ALWAYS,
            ),
            posts_are(POSTS[0]),
        ),
        Case(
            "empty page with more as text",
            Twist(
                "social_fetch",
                "videos",
                empty_first("data/videos", "data/page/nextCursor", "data/page/hasMore"),
                **ALWAYS,
            ),
            posts_are(*POSTS),
        ),
        Case("room 0", Twist("social_fetch", "live", bent("data/live/roomId", "0")), _live_in_no_room),
        Case(
            "empty room",
            Twist("social_fetch", "live", bent("data/live/roomId", "")),
            _live_in_no_room,
        ),
        Case(
            "handle taken",
            Twist("social_fetch", "profile", _taken, until=END),
            another_account_is_refused,
        ),
        Case(
            "handle taken and live",
            Twist("social_fetch", "live", _taken, until=END),
            another_account_is_refused,
        ),
    ),
)
TIKLIVEAPI = Group(
    ("tikliveapi",),
    (
        Case("more is absent", Twist("tikliveapi", "user_posts", post_page(...), **ALWAYS), posts_are(*POSTS[:2])),
        Case("more is text", Twist("tikliveapi", "user_posts", post_page("true"), **ALWAYS), posts_are(*POSTS[:2])),
        Case("more is 1", Twist("tikliveapi", "user_posts", post_page(1), **ALWAYS), posts_are(*POSTS[:2])),
        Case("more is null", Twist("tikliveapi", "user_posts", post_page(None), **ALWAYS), posts_are(*POSTS[:2])),
        Case("more is false", Twist("tikliveapi", "user_posts", post_page(False), **ALWAYS), posts_are(POSTS[0])),
        Case(
            "more is text and false",
            Twist("tikliveapi", "user_posts", post_page("false"), **ALWAYS),
            posts_are(POSTS[0]),
        ),
        Case(
            "text and a number among posts",
            Twist(
                "tikliveapi",
                "user_posts",
                lambda body, query: body | {"videos": ["gone", *body["videos"], 0]},
                **ALWAYS,
            ),
            quarantined(posts_are(*POSTS)),
        ),
        Case(
            "a title that is a list",
            Twist("tikliveapi", "user_posts", bent("videos/1/title", ["c"]), **ALWAYS),
            posts_are(*POSTS),
        ),
        Case(
            "empty page with a more flag",
            Twist("tikliveapi", "user_posts", empty_first("videos", "cursor", "hasMore"), **ALWAYS),
            posts_are(*POSTS),
        ),
        Case(
            "a cursor that is a URL",
            Twist(
                "tikliveapi",
                "user_posts",
                lambda body, query: body | {"cursor": "https://evil.example/?c=1", "hasMore": True},
                **ALWAYS,
            ),
            _only_own_endpoints_requested,
        ),
    ),
)
ALL = Group(
    ("social_fetch", "konbini", "tikliveapi", "tikhub"),
    (
        # A refusal with an unreadable retry-after.
        Case(
            "retry after the year 9999",
            Twist("social_fetch", "live", headed(("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), status=503)),
            next_vendor_answers,
        ),
        Case(
            "retry after soon",
            Twist("social_fetch", "live", headed(("Retry-After", "soon"), status=429)),
            next_vendor_answers,
        ),
        Case(
            "date in the year 1",
            Twist(
                "social_fetch",
                "live",
                headed(
                    ("Date", "Mon, 01 Jan 0001 00:00:00 +2359"),
                    ("Retry-After", "Tue, 10 Nov 2026 00:41:00"),
                    status=503,
                ),
            ),
            next_vendor_answers,
        ),
        Case(
            "retry after a negative time",
            Twist("social_fetch", "live", headed(("Retry-After", "-5"), status=503)),
            next_vendor_answers,
        ),
        # Codes and flags of the room.
        Case("status is text", Twist("tikhub", "live_info", bent("data/data/status", "2")), room_stays),
        Case("inner code is text", Twist("tikhub", "live_info", bent("data/status_code", "0")), room_stays),
        Case("code is a fraction", Twist("tikhub", "live_info", bent("code", 0.0)), room_stays),
        Case("addresses are a list", Twist("tikhub", "live_info", bent("data/data/stream_url", [])), room_stays),
        Case("verified is an object", Twist("tikhub", "live_info", bent("data/data/owner/verified", {})), room_stays),
        Case("prompts null", Twist("tikhub", "live_info", bent("data/data/prompts", None)), room_stays),
        Case(
            "follower count 12.4万",
            Twist("tikhub", "live_info", bent("data/data/owner/follow_info/follower_count", "12.4万")),
            room_stays,
        ),
    ),
    # Credentials that are words and numbers of the bodies: redaction must remove nothing.
    credentials={"TIKHUB_USERNAME": "live", "TIKHUB_PASSWORD": str(FOLLOWERS)},
)
GROUPS = {"konbini": KONBINI, "social_fetch": SOCIAL_FETCH, "tikliveapi": TIKLIVEAPI, "all": ALL}


def handle_of(case: Case) -> str:
    number = [other for group in GROUPS.values() for other in group.cases].index(case)
    return f"odd.n{number}"


def replay(home: Path, group: Group, creators: Mapping[str, Twist | None]) -> Replayed:
    """Replay the two hours for these creators by the command line, in this process."""
    vendors = Vendors(creators)
    # One vendor needs ids, and in this group no other vendor resolves them.
    ids = group.vendors == ("tikliveapi",)
    rows = [f"{handle},{user_id(handle) if ids else ''}" for handle in creators]
    (home / "roster.csv").write_text("\n".join(["handle,user_id", *rows, ""]), encoding="utf-8")
    # Several creators of a replay may be refused at once; the circuit must stay closed for all of them.
    (home / "settings.toml").write_text("[retries]\ncircuit_failures = 100\n", encoding="utf-8")
    with served(vendors) as url:
        done = run_here(
            ("replay", f"--from={START:%FT%R}", f"--to={END:%FT%R}"),
            {
                **os.environ,
                **environment(url, group.vendors, group.credentials),
                "TIKTOK_PIPELINE_HOME": str(home),
                "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
                "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
                "TIKTOK_PIPELINE_CLOCK": "replay",
                "DAGSTER_HOME": "",
            },
            home,
        )
    return Replayed(home / "lake", vendors, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Replayed]:
    """Return the replay of a group, made once even if it fails."""

    @cache
    def of(name: str) -> Replayed:
        creators = {"calm.one": None, **{handle_of(case): case.twist for case in GROUPS[name].cases}}
        return replay(tmp_path_factory.mktemp(name), GROUPS[name], creators)

    def checked(name: str) -> Replayed:
        replayed = of(name)
        assert replayed.exit_code == 0, replayed.output[-3000:]
        return replayed

    return checked


@pytest.mark.parametrize(
    ("group", "case"),
    [(name, case) for name, group in GROUPS.items() for case in group.cases],
    ids=lambda value: value if isinstance(value, str) else value.name.replace(" ", "-"),
)
def test_an_odd_response_affects_only_its_odd_values(odd: Callable[[str], Replayed], group: str, case: Case) -> None:
    case.proof(odd(group), handle_of(case))


@pytest.mark.parametrize("group", ["social_fetch", "all"])
def test_the_calm_creator_is_read_as_in_a_replay_without_odd_responses(
    odd: Callable[[str], Replayed], group: str, tmp_path: Path
) -> None:
    alone = replay(tmp_path, GROUPS[group], {"calm.one": None})
    for table in ("live_observations", "profile_observations", "post_observations", "stream_variants"):
        wanted, found = (
            replayed.table("normalized", table, "calm.one").drop("capture_id", "observed_at")
            for replayed in (alone, odd(group))
        )
        assert found.sort(found.columns).equals(wanted.sort(wanted.columns)), table
    assert alone.table("normalized", "quarantine", "calm.one").is_empty()
    assert odd(group).table("normalized", "quarantine", "calm.one").is_empty()


@pytest.mark.parametrize("group", ["all"])
def test_credentials_that_are_words_or_numbers_of_bodies_leave_the_bodies_unchanged(
    odd: Callable[[str], Replayed], group: str
) -> None:
    rows = odd(group).table("raw", "raw_lives", "calm.one").filter(pl.col("outcome") == "ok")
    assert rows.height > 5
    for body in rows["body"]:
        assert room_id("calm.one") in body or "offline" in body
        assert sec_uid("calm.one") in body
        assert str(FOLLOWERS) in body
    hub = rows.filter(pl.col("vendor") == "tikhub")
    assert hub.height
    one_stream(odd(group), "calm.one")
