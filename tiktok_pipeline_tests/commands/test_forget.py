"""Forgetting takes what is the creator's, and leaves what only looks like it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline import postgres
from tiktok_pipeline.commands.forget import forget
from tiktok_pipeline.errors import PublishError, RosterError, SettingsError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.published import PUBLISHED
from tiktok_pipeline.report.page import write_report
from tiktok_pipeline.settings import Places
from tiktok_pipeline.tables import RAW_LIVES, RAW_USER_SEARCHES
from tiktok_pipeline.warehouse import LINK
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.report.rosters import small
from tiktok_pipeline_tests.test_postgres import ask
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
    return sorted(pl.concat([lake.scan_all_raw(table) for table in tables]).collect()["capture_id"])


def test_a_handle_that_is_a_word_takes_only_what_is_the_creators(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    erased = forget("@OK", places, b"key")
    assert left(tmp_path) == ["c2", "c5"]
    assert dict(erased.rows) == {"raw_lives": 2, "raw_user_searches": 1}
    assert erased.from_roster
    assert "ok," not in (tmp_path / "roster.csv").read_text()


def test_the_file_of_known_gifts_loses_the_creators_lines_before_anything_else_is_touched(tmp_path: Path) -> None:
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


def test_a_folded_hour_forgets_and_still_knows_what_it_holds(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\n")
    lake = Lake(places.lake)
    lake.write_raw(RAW_LIVES, HOUR, "w-0001", frame(RAW_LIVES, {"capture_id": "c6", "creator_id": "ok"}))
    lake.write_raw(RAW_LIVES, HOUR, "w-0002", RAW_LIVES.empty())
    answered = lake.hour_files(RAW_LIVES, HOUR)
    lake.fold(RAW_LIVES, HOUR, answered, lake.scan_raw(RAW_LIVES, [HOUR]).collect())
    assert forget("ok", places, b"key").rows["raw_lives"] == 3
    assert left(tmp_path) == ["c2", "c5"]
    assert lake.raw_window(RAW_LIVES, HOUR, "w") == ["w-0000", "w-0001", "w-0002"]


def test_a_bad_line_of_the_roster_stays_unless_it_is_about_who_is_forgotten(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle,user_id\nok,77066\nbo,\nno good,1\n@OK,x\n")
    forget("ok", places, b"key")
    assert places.roster.read_text() == "handle,user_id\nbo,\nno good,1\n"


def test_the_report_is_made_again_without_the_creator(tmp_path: Path) -> None:
    small(tmp_path)
    places = Places.from_environment({"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": "none"})
    write_report(places.warehouse / LINK, places.report)
    assert "@zoe" in places.report.read_text()
    forget("zoe", places, b"key")
    assert "zoe" not in places.report.read_text()
    assert "@ann" in places.report.read_text()


def test_who_is_not_known_is_told_and_nothing_is_touched(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nbo\n")
    with pytest.raises(RosterError, match="nothing was removed"):
        forget("nobody", places, b"key")
    assert len(left(tmp_path)) == 5


def test_postgres_forgets_too(tmp_path: Path, postgres_url: str) -> None:
    places = deployed(tmp_path, "handle\nriser\nquiet\n")
    lake = Lake(tmp_path / "lake")
    small_lake.fill(lake)
    postgres.publish(postgres_url, lake, now=HOUR)
    texts = " UNION ALL ".join(f"SELECT t::text FROM tiktok.{table.name} t" for table in PUBLISHED)
    said = f"SELECT count(*) FROM ({texts}) AS s (line) WHERE line LIKE '%%' || '{{}}' || '%%'"
    assert ask(postgres_url, said.format("riser"))[0][0] > 30
    forget("riser", places, b"key", postgres_url)
    assert ask(postgres_url, said.format("riser")) == [(0,)]
    assert ask(postgres_url, said.format("quiet"))[0][0] > 30


def test_where_postgres_is_away_nothing_is_forgotten_by_halves(tmp_path: Path) -> None:
    places = deployed(tmp_path, "handle\nok\n")
    with pytest.raises(PublishError, match="cannot be used"):
        forget("ok", places, b"key", "postgresql://u:hunter2@127.0.0.1:1/db")
    assert len(left(tmp_path)) == 5
    assert "ok" in (tmp_path / "roster.csv").read_text()
