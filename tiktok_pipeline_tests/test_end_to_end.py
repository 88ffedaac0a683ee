"""The whole pipeline against the sandbox: two days over HTTP, from raw to DuckDB, compared with the truth.

`replayed.py` makes the deployment.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import duckdb
import msgspec
import polars as pl
import pytest

from tiktok_pipeline.publish.catalog import FINGERPRINTS
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.tables import RAW_TABLES, TABLES
from tiktok_pipeline_tests.raw_files import all_raw
from tiktok_pipeline_tests.replayed import DAYS, END, ROUND, START, Replayed


def matched(replayed: Replayed) -> list[tuple[TrueStream, dict[str, object]]]:
    """Return each true stream with the stream found at its time."""
    found = replayed.query("SELECT * FROM streams").rows(named=True)
    pairs = []
    for true in replayed.true_streams():
        matches = [
            row
            for row in found
            if row["creator_id"] == true.creator.handle
            and row["started_at"].replace(tzinfo=UTC) < true.ended_at
            and row["ended_at_lo"].replace(tzinfo=UTC) > true.started_at - ROUND
        ]
        assert len(matches) == 1, f"{true.creator.handle} at {true.started_at}: found {len(matches)} streams for one"
        pairs.append((true, matches[0]))
    return pairs


def test_every_stream_is_found_once_and_none_is_invented(replayed: Replayed) -> None:
    pairs = matched(replayed)
    assert len(pairs) >= 5
    world = replayed.sandbox.world
    by_handle = {creator.handle: creator for creator in world.creators}
    for row in replayed.query("SELECT creator_id, started_at, ended_at_lo FROM streams").rows(named=True):
        started, last = row["started_at"].replace(tzinfo=UTC), row["ended_at_lo"].replace(tzinfo=UTC)
        true = world.streams(by_handle[row["creator_id"]], started - timedelta(minutes=1), last + timedelta(minutes=1))
        assert true, f"invented: {row}"


def test_starts_are_exact_and_ends_within_a_round(replayed: Replayed) -> None:
    for true, row in matched(replayed):
        started, ended = row["started_at"].replace(tzinfo=UTC), row["ended_at"].replace(tzinfo=UTC)  # type: ignore[attr-defined]
        assert abs(started - true.started_at) <= timedelta(seconds=60)
        assert abs(ended - true.ended_at) <= ROUND
        low = row["ended_at_lo"].replace(tzinfo=UTC)  # type: ignore[attr-defined]
        assert low <= true.ended_at + timedelta(seconds=1)
        assert row["status"] == "ended"


def test_viewers_agree_with_the_world(replayed: Replayed) -> None:
    for true, row in matched(replayed):
        seconds = range(int(true.start_s), int(true.end_s), 5)
        truth = [replayed.sandbox.world.viewers_at(true.creator, datetime.fromtimestamp(s, UTC)) for s in seconds]
        assert isinstance(row["peak_viewers"], int)
        assert row["peak_viewers"] <= max(truth) + 1
        if true.ended_at - true.started_at > timedelta(minutes=30):
            mean = sum(truth) / len(truth)
            assert row["average_viewers"] == pytest.approx(mean, rel=0.3)


def test_exact_follower_counts_equal_those_of_the_world(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    by_handle = {creator.handle: creator for creator in world.creators}
    rows = replayed.query(
        "SELECT creator_id, observed_at, followers FROM profile_observations "
        "WHERE followers_precision = 'exact' AND vendor = 'social_fetch' AND followers IS NOT NULL"
    )
    assert rows.height > 1_000
    for row in rows.sample(300, seed=1).rows(named=True):
        true = world.followers_at(by_handle[row["creator_id"]], row["observed_at"].replace(tzinfo=UTC))
        assert row["followers"] == true


def test_every_story_is_found_with_its_views(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    rows = {row["story_id"]: row for row in replayed.query("SELECT * FROM stories").rows(named=True)}
    true = {
        story.story_id: story
        for creator in world.creators
        if creator.handle in replayed.watched()
        for story in world.stories(creator, START, END)
        # Seen by a sweep, and published on a derived day.
        if START <= story.published_at < END - timedelta(hours=2)
    }
    assert true
    assert true.keys() <= rows.keys()
    for story_id, story in true.items():
        seen = rows[story_id]
        assert seen["views"] == story.views(seen["last_observed_at"].replace(tzinfo=UTC).timestamp())


def test_the_leaderboard_ranks_by_true_airtime(replayed: Replayed) -> None:
    day = (START + timedelta(days=1)).date()
    board = replayed.query(
        f"SELECT creator_id, value, rank FROM leaderboard WHERE as_of = '{day}' AND period = 'week' "
        "AND niche = '*' AND metric = 'airtime' ORDER BY rank"
    )
    world = replayed.sandbox.world
    hours: dict[str, float] = {}
    for creator in world.creators:
        if creator.handle in replayed.watched():
            for stream in world.streams(creator, START, END):
                if stream.started_at >= START:
                    aired = min(stream.ended_at, END) - stream.started_at
                    hours[creator.handle] = hours.get(creator.handle, 0.0) + aired.total_seconds() / 3600
    found = {row["creator_id"]: row["value"] / 3600 for row in board.rows(named=True)}
    for handle, aired in hours.items():
        if aired > 0.2:
            assert found[handle] == pytest.approx(aired, abs=0.25)
    assert board["rank"].to_list() == board["value"].rank("min", descending=True).to_list()


def test_lift_is_closer_to_the_truth_than_the_naive_difference(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    rows = replayed.query("SELECT * FROM stream_lift WHERE observable AND lift IS NOT NULL").rows(named=True)
    assert rows
    by_handle = {creator.handle: creator for creator in world.creators}
    naive = estimated = 0.0
    for row in rows:
        creator = by_handle[row["creator_id"]]
        before, after = row["before_at"].replace(tzinfo=UTC), row["after_at"].replace(tzinfo=UTC)
        truth = world.lift_between(creator, before, after)
        unit = max(world.organic_per_day(creator), 1.0)
        naive += abs(row["naive_delta"] - truth) / unit
        estimated += abs(row["lift"] - truth) / unit
        assert row["lift_lo"] <= row["lift"] <= row["lift_hi"]
    assert estimated < naive


def test_hours_and_days_add_up_to_the_streams(replayed: Replayed) -> None:
    one = "SELECT round(sum(airtime_s), 3) AS airtime_s, round(sum(hours_watched), 3) AS hours_watched FROM"
    sums = {
        table: replayed.query(f"{one} {table}").row(0) for table in ("streams", "stream_hours", "creator_hours")
    }  # fmt: skip
    assert len(set(sums.values())) == 1, sums
    # The days exclude airtime after the last day.
    within = f"{one} stream_hours WHERE hour < '{END:%F}'"
    assert replayed.query(within).row(0) == replayed.query(f"{one} creator_days").row(0)
    assert sums["streams"][0] > 3_600


def test_every_polled_creator_has_a_row_for_each_day_with_activity_and_streak(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    rows = replayed.query("SELECT * FROM creator_days").rows(named=True)
    days = [(START + timedelta(days=n)).date() for n in range(DAYS)]
    by_key = {(row["creator_id"], row["day"]): row for row in rows}
    creators = {creator.handle: creator for creator in world.creators}
    assert by_key.keys() >= {(handle, day) for handle in replayed.watched() for day in days}
    active = {
        (row["creator_id"], row["started_at"].date())
        for row in replayed.query("SELECT * FROM streams").rows(named=True)
    }
    for (handle, day), row in by_key.items():
        assert row["active_day"] is ((handle, day) in active)
        if row["followers_end"] is not None and row["followers_vendor"] == "social_fetch":
            assert row["followers_end"] == world.followers_at(creators[handle], row["followers_at"].replace(tzinfo=UTC))
        changed = by_key.get((handle, day - timedelta(days=1)))
        if changed and row["followers_change"] is not None:
            assert row["followers_change"] == row["followers_end"] - changed["followers_end"]
    assert sum(row["followers_change"] is not None for row in rows) >= len(replayed.watched()) - 2
    for handle in replayed.watched():
        streak = 0
        while (handle, days[-1] - timedelta(days=streak)) in active:
            streak += 1
        assert by_key[handle, days[-1]]["current_streak_days"] == streak


def test_joined_followers_of_a_stream_equal_those_of_the_world(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    rows = replayed.query("SELECT * FROM stream_conversions").rows(named=True)
    assert len(rows) == replayed.query("SELECT count(*) AS n FROM streams")["n"][0]
    known = [row for row in rows if row["joined"] is not None]
    assert known
    for row in known:
        creator = next(c for c in world.creators if c.handle == row["creator_id"])
        members = world.follower_list(creator)
        before, after = (row[at].replace(tzinfo=UTC).timestamp() for at in ("before_at", "after_at"))
        new = [
            number
            for number in range(members.joined(before), members.joined(after))
            if members.is_member(number, after) and not members.is_banned(number)
        ]
        assert row["joined"] == len(new)
        assert row["conversion"] is None or row["conversion"] == row["joined"] / row["viewers_total"]
        assert row["complete"] is False
        assert row["left"] is None
    assert all(row["flags"] for row in rows if row["joined"] is None)


def test_recaps_are_clips_of_streams_and_no_announcements(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    posts = {
        post.post_id: post for creator in world.creators for post in world.posts(creator, START, END) if not post.pinned
    }
    rows = replayed.query("SELECT * FROM recaps").rows(named=True)
    found = {row["post_id"] for row in rows if row["post_id"] in posts}
    assert found
    assert all(posts[post_id].recap_of is not None for post_id in found)
    known = set(replayed.query("SELECT stream_id FROM streams")["stream_id"])
    linked = [row for row in rows if row["stream_id"] is not None]
    assert linked
    assert all(row["stream_id"] in known for row in linked)
    overview = replayed.query("SELECT sum(recaps) AS recaps, sum(recap_views) AS views FROM stream_overview").row(0)
    assert overview == (len(linked), sum(row["views"] or 0 for row in linked))


def test_gift_estimates_have_an_index_and_no_diamonds_without_known_gifts(replayed: Replayed) -> None:
    rows = replayed.query("SELECT * FROM gift_estimates")
    assert set(rows["stream_id"]) == set(replayed.query("SELECT stream_id FROM streams")["stream_id"])
    for column in ("low", "mid", "high"):
        assert rows[column].null_count() == rows.height
    assert set(rows["basis"]) == {"none"}
    indexed = rows.filter(pl.col("gift_index").is_not_null())
    assert indexed["gift_index"].is_between(0, 100).all()
    assert indexed.height == rows.filter(pl.col("compared_with") >= 5).height


def test_a_missing_account_is_unknown_and_never_off_air(replayed: Replayed) -> None:
    hidden = [c.handle for c in replayed.sandbox.world.creators if c.kind == "missing"]
    assert hidden
    quoted = ", ".join(f"'{handle}'" for handle in hidden)
    states = replayed.query(f"SELECT DISTINCT live_state FROM live_observations WHERE creator_id IN ({quoted})")
    assert states["live_state"].to_list() == ["unknown"]


def test_vendor_usage_agrees_with_the_vendors_ledger(replayed: Replayed) -> None:
    usage = replayed.query(
        "SELECT vendor, endpoint, CAST(sum(requests) AS BIGINT) AS requests, sum(credits) AS credits "
        "FROM vendor_usage GROUP BY ALL"
    )
    with urlopen(f"{replayed.sandbox.url}/truth/ledger") as answer:
        ledger = pl.read_json(answer.read())
    assert usage["requests"].sum() > 5_000
    totals = {(r["vendor"], r["endpoint"]): (r["requests"], r["credits"]) for r in usage.rows(named=True)}
    for row in ledger.rows(named=True):
        assert totals[row["vendor"], row["endpoint"]] == (row["requests"], pytest.approx(row["credits"]))


def test_ids_survive_as_strings(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    users = {creator.user_id for creator in world.creators}
    seen = replayed.query("SELECT DISTINCT user_id FROM profile_observations WHERE user_id IS NOT NULL")["user_id"]
    assert set(seen) <= users
    rooms = {room.room_id for creator in world.creators for s in world.streams(creator, START, END) for room in s.rooms}
    found = replayed.query("SELECT DISTINCT room_id FROM live_observations WHERE room_id IS NOT NULL")["room_id"]
    assert set(found) <= rooms
    assert len(found) > 5


def test_no_file_contains_a_secret(replayed: Replayed) -> None:
    secrets = [
        value.encode()
        for name, value in replayed.sandbox.environment.items()
        if not name.endswith("_URL") and name != "TIKHUB_USERNAME"
    ] + [b"tt_chain_token=", b"x-signature=a", b"Bearer ", b"Basic "]
    assert len(secrets) == 8
    looked = 0
    for path in replayed.home.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        contents = [path.read_bytes()]
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            contents = (
                [repr(frame.to_dicts()).encode()]
                if any(isinstance(dtype, pl.List | pl.Binary) for dtype in frame.dtypes)
                else [frame.write_csv().encode()]
            )
        elif path.suffix == ".bin":
            contents = [frame.write_csv().encode() for frame in kept_readings(path)]
        for content in contents:
            looked += 1
            for secret in secrets:
                position = content.find(secret)
                # A redacted token keeps its name; only text after the name would be a secret.
                while position >= 0 and content[position + len(secret) :].startswith(b"[redacted]"):
                    position = content.find(secret, position + 1)
                assert position < 0, f"{secret!r} in {path.name}"
    assert looked > 50


def contents(home: Path) -> dict[str, str]:
    """Return digests of all tables and published files, without records that contain file times."""
    return {
        str(path.relative_to(home)): sha256(path.read_bytes()).hexdigest()
        for folder in ("lake/raw", "lake/normalized", "lake/marts", "warehouse")
        for path in (home / folder).rglob("*")
        if path.is_file() and path.name != FINGERPRINTS
    }


def test_repeating_the_replay_changes_nothing(replayed: Replayed) -> None:
    before = contents(replayed.home)
    done = replayed.replay()
    assert done.returncode == 0, done.stderr
    assert contents(replayed.home) == before


def test_the_replay_prints_its_progress(replayed: Replayed) -> None:
    assert "capturing 2026-11-02 00:00 to 2026-11-04 00:00" in replayed.output
    assert "raw_lives 2026-11-0" in replayed.output


def test_the_published_file_has_basic_types_and_comments_on_every_column(replayed: Replayed) -> None:
    columns = replayed.query(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
    )
    plain = {"VARCHAR", "BIGINT", "INTEGER", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}
    assert set(columns["data_type"]) <= plain
    tables = columns.filter(pl.col("table_name").is_in(list(TABLES)))
    assert tables["comment"].null_count() == 0
    for view in ("live_now", "leaderboard_today", "leaderboard_overview", "stream_overview", "movers", "went_dark"):
        replayed.query(f"SELECT * FROM {view}")
    overview = replayed.query("SELECT count(*) AS n FROM stream_overview")["n"][0]
    assert overview == replayed.query("SELECT count(*) AS n FROM streams")["n"][0]


def test_a_stream_that_began_before_the_first_day_is_found(replayed: Replayed) -> None:
    world = replayed.sandbox.world
    going_on = [
        stream
        for creator in world.creators
        if creator.handle in replayed.watched()
        for stream in world.streams(creator, START - timedelta(days=1), START)
        if stream.ended_at > START + ROUND
    ]
    assert going_on
    found = replayed.query("SELECT creator_id, started_at FROM streams")
    for stream in going_on:
        matches = found.filter(
            pl.col("creator_id") == stream.creator.handle, pl.col("started_at") < START.replace(tzinfo=None)
        )
        assert matches.height == 1, stream.creator.handle
    # No creator was polled on earlier days, so there are no rows about them.
    assert replayed.query("SELECT min(day) FROM coverage").item() == START.date()
    assert replayed.query("SELECT min(as_of) FROM leaderboard").item() == START.date()


def test_upkeep_compacts_raw_and_derived_files_stay_the_same(replayed: Replayed) -> None:
    """Runs after the tests that compare raw files, because it replaces them."""
    raw = list(RAW_TABLES)
    # As windows on the real clock land them: a file every ten minutes.
    for table in raw:
        for hour in replayed.lake.raw_hours(table):
            for path in replayed.lake.hour_files(table, hour):
                rows = pl.read_parquet(path).with_columns(_part=pl.col("requested_at").dt.truncate("10m"))
                for flush, part in enumerate(rows.partition_by("_part", include_key=False)):
                    replayed.lake.write_raw(table, hour, f"{path.stem[:-5]}-{flush:04d}", part)
    landed = {table.name: all_raw(replayed.lake, table).collect().sort("capture_id") for table in raw}
    before = contents(replayed.home)
    assert sum(name.startswith("lake/raw/raw_lives/") for name in before) > 200
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "execute", "-j", "upkeep", "-m", "tiktok_pipeline.definitions"],
        env=replayed.environment | {"DAGSTER_HOME": str(replayed.home / "dagster")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    after = contents(replayed.home)
    assert sum(name.startswith("lake/raw/raw_lives/") for name in after) == 24 * DAYS
    for table in raw:
        assert all_raw(replayed.lake, table).collect().sort("capture_id").equals(landed[table.name])
    # No request is repeated. Derived again from compacted raw files, every derived file has its old bytes.
    for table in TABLES.values():
        if table.layer != "raw":
            for path in replayed.lake.folder(table).rglob("*.parquet"):
                path.unlink()
    assert replayed.replay().returncode == 0
    assert contents(replayed.home) == after
    derived = {name for name in before if not name.startswith("lake/raw/")}
    assert {name: after[name] for name in derived} == {name: before[name] for name in derived}


def test_an_erased_creator_is_in_no_file(replayed: Replayed) -> None:
    """Runs last: it changes the deployment of the other tests."""
    world = replayed.sandbox.world
    creator = next(c for c in world.creators if c.renamed_to is not None and c.kind == "public")
    names = [creator.handle, creator.renamed_to or "", creator.user_id, creator.sec_uid]
    assert sum(name in written for written in texts(replayed.home) for name in names) > 100
    before = contents(replayed.home).keys()
    done = replayed.run("forget", f"@{creator.renamed_to}", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"forgot {creator.handle}" in done.stdout
    assert "raw_lives" in done.stdout
    for written in texts(replayed.home):
        for name in names:
            assert name not in written
    # No other creator lost rows, and every file still exists.
    tables = {name for name in before if name.startswith("lake/")}
    assert tables == {name for name in contents(replayed.home) if name.startswith("lake/")}
    others = [c.handle for c in world.creators if c is not creator and c.kind == "public"]
    left = replayed.query("SELECT DISTINCT creator_id FROM live_observations")["creator_id"]
    assert set(others) <= set(left)
    assert replayed.run("forget", creator.handle, "--yes").returncode == 1


def kept_readings(path: Path) -> list[pl.DataFrame]:
    """Return the frames of a file of decoded readings."""
    frames = msgspec.msgpack.decode(path.read_bytes())["frames"].values()
    return [pl.read_ipc(frame) for frame in frames]


def texts(home: Path) -> Iterator[str]:
    """Yield the decompressed text of every file of a deployment, except Dagster's records."""
    for path in home.rglob("*"):
        if not path.is_file() or path.is_symlink() or "dagster" in path.parts:
            continue
        if path.suffix == ".parquet":
            yield repr(pl.read_parquet(path).to_dicts())
        elif path.suffix == ".bin":
            yield from (repr(frame.to_dicts()) for frame in kept_readings(path))
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as connection:
                for (table,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall():
                    yield repr(connection.sql(f"SELECT * FROM {table}").fetchall())
            yield path.read_bytes().decode("latin-1")
        else:
            yield path.read_text(errors="replace")
