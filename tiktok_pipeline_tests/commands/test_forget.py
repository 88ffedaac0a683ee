"""`forget` removes all data of one creator, and keeps data that only looks like it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.config.settings import Places, hash_key
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.erased.names import hashes_of
from tiktok_pipeline.errors import PublishError, RosterError, SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.publish.report.page import write_report
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import CREATORS, RAW_LIVES, RAW_USER_SEARCHES, SEARCH_HITS
from tiktok_pipeline.upkeep.forget.erase import forget
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.publish.postgres_client import ask
from tiktok_pipeline_tests.publish.report.rosters import small
from tiktok_pipeline_tests.raw_files import all_raw
from tiktok_pipeline_tests.transforms.frames import frame

HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)


def deployed(tmp_path: Path, roster: str) -> Places:
    (tmp_path / "roster.csv").write_text(roster)
    lake = Lake(tmp_path / "lake")

    def row(number: int, creator: str | None, subject: str, body: str) -> dict[str, object]:
        return {"capture_id": f"c{number}", "creator_id": creator, "subject": subject, "outcome": "ok", "body": body}

    lives = [
        row(1, "ok", "ok", '{"profile":{"handle":"ok"}}'),
        row(2, "bo", "bo", '{"status":"ok","viewerCount":77066,"title":"all ok here"}'),
        row(3, "bo", "bo", '{"title":"shout-out to @ok!"}'),
    ]
    hits = [row(4, None, "art", '{"user":{"uniqueId":"ok"}}'), row(5, None, "art", '{"user":{"uniqueId":"okay"}}')]
    lake.write_raw(RAW_LIVES, HOUR, "w-0000", frame(RAW_LIVES, *lives))
    lake.write_raw(RAW_USER_SEARCHES, HOUR, "w-0000", frame(RAW_USER_SEARCHES, *hits))
    return Places.from_environment(
        {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv")}
    )


def left(tmp_path: Path) -> list[str]:
    lake = Lake(tmp_path / "lake")
    tables = (RAW_LIVES, RAW_USER_SEARCHES)
    return sorted(pl.concat([all_raw(lake, table) for table in tables]).collect()["capture_id"])


def test_a_handle_that_is_a_common_word_erases_only_the_creators_data(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    erased = forget("@OK", places, b"key")
    assert left(tmp_path) == ["c2", "c3", "c5"]
    assert dict(erased.rows) == {"raw_lives": 1, "raw_user_searches": 1}
    assert dict(erased.redacted) == {"raw_lives": 1}
    assert erased.from_roster
    assert "ok," not in (tmp_path / "roster.csv").read_text()


def test_the_file_of_known_gifts_loses_the_creators_lines_before_anything_else_is_changed(tmp_path: Path) -> None:
    gifts = tmp_path / "gifts.csv"
    gifts.write_text("stream_id,diamonds\nok:1,5\nbo:1,6\n")
    deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    (tmp_path / "settings.toml").write_text(f'[gifts]\nknown_streams = "{gifts}"\n')
    places = Places.from_environment(
        {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv")}
        | {"TIKTOK_PIPELINE_SETTINGS": str(tmp_path / "settings.toml")}
    )
    assert forget("ok", places, b"key").rows["known_gifts"] == 1
    assert gifts.read_text() == "stream_id,diamonds\nbo:1,6\n"
    gifts.unlink()
    before = left(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read"):
        forget("bo", places, b"key")
    assert left(tmp_path) == before


def test_a_compacted_hour_is_erased_from_and_still_knows_its_content(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    lake = Lake(places.lake)
    lake.write_raw(RAW_LIVES, HOUR, "w-0001", frame(RAW_LIVES, {"capture_id": "c6", "creator_id": "ok"}))
    lake.write_raw(RAW_LIVES, HOUR, "w-0002", RAW_LIVES.empty())
    files = lake.hour_files(RAW_LIVES, HOUR)
    lake.compact(RAW_LIVES, HOUR, files, lake.scan_raw(RAW_LIVES, [HOUR]).collect())
    assert forget("ok", places, b"key").rows["raw_lives"] == 2
    assert left(tmp_path) == ["c2", "c3", "c5"]
    assert lake.raw_window(RAW_LIVES, HOUR, "w") == ["w-0000", "w-0001", "w-0002"]


def test_a_bad_line_of_the_roster_stays_unless_it_names_the_erased_creator(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\nno good,1\n@OK,x\n")
    forget("ok", places, b"key")
    assert places.roster.read_text() == "handle,user_id\nbo,\nno good,1\n"


def test_the_report_is_rewritten_without_the_creator(tmp_path: Path) -> None:
    small(tmp_path)
    places = Places.from_environment({"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": "none"})
    write_report(places.warehouse / LINK, places.report)
    assert "@zoe" in places.report.read_text()
    forget("zoe", places, b"key")
    assert "zoe" not in places.report.read_text()
    assert "@ann" in places.report.read_text()


def test_an_unknown_creator_is_reported_and_nothing_changes(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nbo\n")
    with pytest.raises(RosterError, match="nothing was removed"):
        forget("nobody", places, b"key")
    assert len(left(tmp_path)) == 5


def test_postgres_loses_the_creators_rows_too(tmp_path: Path, postgres_url: str) -> None:
    places = deployed(tmp_path, "handle\nriser\nquiet\n")
    lake = Lake(tmp_path / "lake")
    small_lake.fill(lake)
    postgres.publish(postgres_url, lake, now=HOUR)
    texts = " UNION ALL ".join(f"SELECT t::text FROM tiktok.{table.name} t" for table in PUBLISHED)
    mentions = f"SELECT count(*) FROM ({texts}) AS s (line) WHERE line LIKE '%%' || '{{}}' || '%%'"
    assert ask(postgres_url, mentions.format("riser"))[0][0] > 30
    forget("riser", places, b"key", postgres_url)
    assert ask(postgres_url, mentions.format("riser")) == [(0,)]
    assert ask(postgres_url, mentions.format("quiet"))[0][0] > 30


def test_if_postgres_is_unreachable_nothing_is_erased(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nok\n")
    with pytest.raises(PublishError, match="cannot be used"):
        forget("ok", places, b"key", "postgresql://u:hunter2@127.0.0.1:1/db")
    assert len(left(tmp_path)) == 5
    assert "ok" in (tmp_path / "roster.csv").read_text()


def called(tmp_path: Path, *arguments: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    home = {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv")}
    return subprocess.run(
        [sys.executable, "-m", "tiktok_pipeline.cli", *arguments],
        env=kept | home, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        **({"input": answer} if answer is not None else {"stdin": subprocess.DEVNULL}),
    )  # fmt: skip


def test_a_script_needs_no_confirmation_and_n_on_stdin_stops_it(tmp_path: Path) -> None:
    deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    refused = called(tmp_path, "forget", "ok", answer="n\n")
    assert (refused.returncode, refused.stderr) == (1, "tiktok-pipeline: nothing was removed: not confirmed\n")
    assert len(left(tmp_path)) == 5
    done = called(tmp_path, "forget", "ok")
    assert done.returncode == 0, done.stderr
    assert "raw_lives" in done.stdout
    assert done.stderr == ""
    assert called(tmp_path, "forget", "bo", answer="y\n").returncode == 0
    assert called(tmp_path, "forget", "nobody", "--yes").stderr.startswith("tiktok-pipeline: @nobody is not known here")


def test_the_roster_refuses_an_erased_creator_until_they_are_added_with_again(tmp_path: Path) -> None:
    deployed(tmp_path, "handle,user_id\nzoe,6912345678901234567\nbo,\n")
    assert called(tmp_path, "forget", "zoe", "--yes").returncode == 0
    (tmp_path / "roster.csv").write_text("handle,user_id\nbo,\nzoe,\nnew,6912345678901234567\n")
    assert "roster.csv, line 3: this creator was erased" in called(tmp_path, "roster", "validate").stderr
    listed = called(tmp_path, "roster", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["bo"]
    (tmp_path / "roster.csv").write_text("handle,user_id\nbo,\n")
    refused = called(tmp_path, "roster", "add", "@Zoe")
    assert (refused.returncode, "add --again" in refused.stderr) == (1, True)
    assert called(tmp_path, "roster", "add", "new", "--user-id", "6912345678901234567").returncode == 1
    added = called(tmp_path, "roster", "add", "zoe", "--again")
    assert added.returncode == 0, added.stderr
    assert "zoe" in called(tmp_path, "roster", "list").stdout
    assert "2 creators, no bad line" in called(tmp_path, "roster", "validate").stdout


def test_an_interrupted_erasure_must_be_completed_before_its_creator_is_added_again(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nbo\n")
    key = hash_key(places.home, {})
    ErasedCreators(places.lake, lambda: key).add(hashes_of(key, creator_ids=["ok"], handles=["ok"]), HOUR)
    refused = called(tmp_path, "roster", "add", "ok", "--again")
    assert (refused.returncode, "was interrupted: run it again first" in refused.stderr) == (1, True)
    assert "interrupted" in called(tmp_path, "forget", "ok").stdout
    assert called(tmp_path, "roster", "add", "ok", "--again").returncode == 0


def test_a_handle_that_two_creators_had_is_refused_until_one_of_them_is_named(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nbo\n")
    lake = Lake(places.lake)
    known = [
        {"creator_id": "ana", "handle": "ana.new", "previous_handles": ["ana"], "user_id": "6900000000000000001"},
        {"creator_id": "ben", "handle": "ana", "previous_handles": ["ben"], "user_id": "6900000000000000002"},
    ]
    lake.write_whole(CREATORS, frame(CREATORS, *known))
    rows = [
        {"capture_id": "a", "creator_id": "ana", "subject": "ana.new", "body": '{"user":{"uniqueId":"ana.new"}}'},
        {
            "capture_id": "b",
            "creator_id": "ben",
            "subject": "ana",
            "body": '{"user":{"uniqueId":"ana"},"t":"@ana.new"}',
        },
        {"capture_id": "c", "creator_id": "bo", "subject": "bo", "body": '{"t":"with @ana and @ana.new"}'},
    ]
    lake.write_raw(RAW_LIVES, HOUR, "w-0001", frame(RAW_LIVES, *rows))
    with pytest.raises(
        RosterError, match="2 creators; nothing was removed: choose one with --creator ana or --creator ben"
    ):
        forget("ana", places, b"key")
    with pytest.raises(RosterError, match="never had the handle"):
        forget("ana", places, b"key", as_creator="bo")
    forget("ana", places, b"key", as_creator="ana")
    kept = dict(
        all_raw(lake, RAW_LIVES)
        .filter(pl.col("capture_id").is_in(["a", "b", "c"]))
        .select("capture_id", "body")
        .collect()
        .iter_rows()
    )
    # The other creator has the handle now: their rows, and mentions of them, stay.
    assert kept == {
        "b": '{"user":{"uniqueId":"ana"},"t":"@[erased]"}',
        "c": '{"t":"with @ana and @[erased]"}',
    }
    assert lake.scan_all(CREATORS).collect()["creator_id"].to_list() == ["ben"]


def test_an_account_found_only_in_a_search_can_be_erased(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nbo\n")
    lake = Lake(places.lake)
    hit = {"vendor": "v", "observed_at": HOUR, "keyword": "art", "rank": 1}
    hits = [hit | {"capture_id": name, "handle": name} for name in ("seen.only", "okay")]
    lake.write_day(SEARCH_HITS, HOUR.date(), frame(SEARCH_HITS, *hits))
    assert forget("seen.only", places, b"key").rows == {"search_hits": 1}
    assert lake.scan_all(SEARCH_HITS).collect()["handle"].to_list() == ["okay"]


def test_a_keyword_equal_to_a_handle_keeps_its_searches(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nart\nbo\n")
    forget("art", places, b"key")
    assert left(tmp_path) == ["c1", "c2", "c3", "c4", "c5"]


def test_rows_of_a_running_window_return_neither_as_raw_nor_by_the_next_derive(tmp_path: Path) -> None:
    """Before the fix, 13 tables showed the creator again."""
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    environment = {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(places.roster)}
    pipeline = Pipeline(environment=environment | {"TIKTOK_PIPELINE_HASH_KEY": "key"})
    held = frame(RAW_LIVES, {"capture_id": "late", "creator_id": "ok", "subject": "ok", "body": '{"handle":"ok"}'})
    derived = frame(SEARCH_HITS, {"vendor": "v", "observed_at": HOUR, "capture_id": "c4", "rank": 1, "handle": "ok"})
    forget("ok", places, b"key")
    pipeline.lake.write_raw(RAW_LIVES, HOUR, "w-0009", held)
    pipeline.lake.write_day(SEARCH_HITS, HOUR.date(), derived)
    assert "late" not in left(tmp_path)
    assert pipeline.lake.scan_all(SEARCH_HITS).collect().is_empty()
    places.roster.write_text("handle\nok\nbo\n")
    assert [creator.creator_id for creator in pipeline.roster().creators] == ["bo"]
