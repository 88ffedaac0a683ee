"""An erased creator stays erased: writes to the lake, windows and the roster obey the list of erased creators."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiktok_pipeline import tables
from tiktok_pipeline.config import roster
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.erased.names import hashes_of
from tiktok_pipeline.errors import LakeError, SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline_tests.transforms.frames import frame

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
USER_ID = "6912345678901234567"


def erased(root: Path, key: bytes = b"k") -> ErasedCreators:
    return ErasedCreators(root, lambda: key)


def zoe(key: bytes = b"k") -> set[str]:
    return hashes_of(key, creator_ids=["zoe"], handles=["zoe", "zoe_now7"], ids=[USER_ID])


def test_without_a_list_no_key_is_requested(tmp_path: Path) -> None:
    def no_key() -> bytes:
        raise AssertionError

    assert not ErasedCreators(tmp_path, no_key).names()


def test_the_list_contains_no_readable_name(tmp_path: Path) -> None:
    erased(tmp_path).add(zoe(), NOW)
    written = (tmp_path / "_erased.json").read_bytes()
    assert not any(name in written for name in (b"zoe", USER_ID.encode()))
    assert not set(zoe(b"another key")) & {h for e in erased(tmp_path).entries() for h in e.hashes}


def test_rows_that_a_window_held_when_the_creator_was_erased_do_not_land(tmp_path: Path) -> None:
    lake = Lake(tmp_path, erased(tmp_path))
    rows = [
        {"capture_id": "c1", "creator_id": "zoe", "subject": "zoe", "body": "{}"},
        {"capture_id": "c2", "creator_id": "ann", "subject": "ann", "body": '{"title":"hi @zoe"}'},
        {"capture_id": "c3", "creator_id": "bo", "subject": "zoe_now7", "body": "{}"},
        {
            "capture_id": "c4",
            "creator_id": None,
            "subject": "zoe",
            "body": '{"l":[{"uniqueId":"zoe"},{"uniqueId":"a"}]}',
        },
    ]
    held = frame(tables.RAW_LIVES, *rows)
    lake.erased and lake.erased.add(zoe(), NOW)
    lake.write_raw(tables.RAW_LIVES, NOW, "w-0000", held)
    landed = lake.scan_raw(tables.RAW_LIVES, [NOW]).sort("capture_id").collect()
    # A keyword may equal a handle, so search keywords stay.
    assert landed["capture_id"].to_list() == ["c2", "c4"]
    assert landed["body"].to_list() == ['{"title":"hi @[erased]"}', '{"l":[{"uniqueId":"a"}]}']


def test_no_derived_table_accepts_rows_of_an_erased_creator(tmp_path: Path) -> None:
    lake = Lake(tmp_path, erased(tmp_path))
    lake.erased and lake.erased.add(zoe(), NOW)
    hits = [{"handle": "zoe_now7"}, {"handle": "b", "user_id": USER_ID}, {"handle": "ann", "keyword": "zoe"}]
    hits = [{"vendor": "v", "observed_at": NOW, "capture_id": f"c{n}", "rank": n, **hit} for n, hit in enumerate(hits)]
    lake.write_day(tables.SEARCH_HITS, NOW.date(), frame(tables.SEARCH_HITS, *hits))
    assert lake.scan_all(tables.SEARCH_HITS).collect()["handle"].to_list() == ["ann"]
    creators = [{"creator_id": "zoe", "handle": "x"}, {"creator_id": "ann", "handle": "ann", "previous_handles": ["a"]}]
    lake.write_whole(tables.CREATORS, frame(tables.CREATORS, *creators))
    assert lake.scan_all(tables.CREATORS).collect()["creator_id"].to_list() == ["ann"]


def test_an_erasure_waits_for_running_writes(tmp_path: Path) -> None:
    """Otherwise a file could appear after the erasure had passed its folder."""
    writing, added = erased(tmp_path), erased(tmp_path)
    done: list[str] = []

    def add() -> None:
        added.add(zoe(), NOW)
        done.append("added")

    with writing.filtered(frame(tables.CREATORS, {"creator_id": "zoe"})) as allowed:
        other = threading.Thread(target=add)
        other.start()
        other.join(0.3)
        assert done == []
        assert allowed.height == 1
    other.join(5)
    assert done == ["added"]
    with writing.filtered(frame(tables.CREATORS, {"creator_id": "zoe"})) as allowed:
        assert allowed.is_empty()


def test_another_hash_key_is_refused_because_it_would_match_no_name(tmp_path: Path) -> None:
    erased(tmp_path).add(zoe(), NOW)
    with pytest.raises(SettingsError, match="another hash key"):
        erased(tmp_path, b"new").names()
    with pytest.raises(SettingsError, match="another hash key"):
        Lake(tmp_path, erased(tmp_path, b"new")).write_whole(tables.CREATORS, tables.CREATORS.empty())


def test_a_damaged_list_is_an_error_and_never_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "_erased.json").write_text('{"key_check": 1')
    with pytest.raises(LakeError, match="restore it from a backup"):
        erased(tmp_path).names()


def test_names_of_one_creator_join_the_same_entry(tmp_path: Path) -> None:
    listed = erased(tmp_path)
    first = listed.add(hashes_of(b"k", handles=["zoe"]), NOW)
    listed.add(hashes_of(b"k", handles=["ann"]), NOW)
    both = listed.add(zoe(), datetime.now(UTC))
    assert (len(listed.entries()), both.begun) == (2, first.begun)
    assert listed.find("@ZOE_now7") == both
    listed.remove(both)
    assert not listed.names().matches("handle", "zoe")
    assert listed.names().matches("handle", "ann")


def test_a_roster_line_with_an_erased_creator_is_excluded_and_its_name_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(f"handle,user_id\nann,\nzoe,\nnew_name,{USER_ID}\n")
    erased(tmp_path).add(zoe(), NOW)
    read = roster.without_erased(roster.read_roster(path), path, erased(tmp_path).names())
    assert [creator.creator_id for creator in read.creators] == ["ann"]
    assert [problem.partition(":")[0] for problem in read.problems] == ["roster.csv, line 3", "roster.csv, line 4"]
    assert not any("zoe" in problem or "new_name" in problem for problem in read.problems)


def test_a_count_equal_to_an_erased_id_keeps_its_row(tmp_path: Path) -> None:
    listed = erased(tmp_path)
    listed.add(hashes_of(b"k", creator_ids=["a"], handles=["a"], ids=["77066"]), NOW)
    rows = frame(tables.CREATORS, {"creator_id": "b", "handle": "b", "followers": 77066})
    with listed.filtered(rows) as allowed:
        assert allowed.equals(rows)
