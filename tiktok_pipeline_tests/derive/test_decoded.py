"""Raw rows are decoded once: only new files are decoded, whatever happens to the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.derive import decoded
from tiktok_pipeline.derive.decoded import FOLDER, REQUESTS, DecodedHours, prune
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.erased.names import hashes_of
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.social_fetch import LIVE
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS, QUARANTINE, RAW_LIVES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline_tests.derive.off_air import OFF_AIR

HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)
KEY = b"a hash key of this test"


def land(
    lake: Lake, name: str, *numbers: int, creator: str = "ana", hour: datetime = HOUR, body: str | None = None
) -> Path:
    text = json.dumps(OFF_AIR) if body is None else body
    rows = [
        dict.fromkeys(RAW_LIVES.schema.names()) | {
            "capture_id": f"c-{number:04}", "vendor": "social_fetch", "endpoint": LIVE, "creator_id": creator,
            "subject": creator, "page": 0, "attempt": 1, "outcome": "ok", "http_status": 200,
            "requested_at": hour + timedelta(seconds=number), "received_at": hour + timedelta(seconds=number),
            "observed_at": hour + timedelta(seconds=number), "headers": "{}", "body": text,
        }
        for number in numbers
    ]  # fmt: skip
    return lake.write_raw(RAW_LIVES, hour, name, pl.DataFrame(rows, schema=RAW_LIVES.schema))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, ErasedCreators(tmp_path, lambda: KEY))


@pytest.fixture
def rows_decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that gives the number of rows decoded since its last call."""
    counted, read_bodies = [0], decoded.read_bodies

    def counting(raw: pl.DataFrame, table: str, *, hash_key: bytes) -> dict[str, pl.DataFrame]:
        counted[0] += raw.height
        return read_bodies(raw, table, hash_key=hash_key)

    def since() -> int:
        number, counted[0] = counted[0], 0
        return number

    monkeypatch.setattr(decoded, "read_bodies", counting)
    return since


def read(lake: Lake, *, keep: bool = True) -> dict[str, pl.DataFrame]:
    return DecodedHours.of(Lake(lake.root, lake.erased), KEY, 2, keep=keep).read(RAW_LIVES, [HOUR])


def captures(frames: dict[str, pl.DataFrame]) -> list[int]:
    return [int(capture_id[2:]) for capture_id in frames[LIVE_OBSERVATIONS.name]["capture_id"]]


def same_as_from_raw(lake: Lake) -> bool:
    kept, anew = read(lake), read(lake, keep=False)
    return kept.keys() == anew.keys() and all(kept[name].equals(anew[name]) for name in anew)


def test_only_rows_of_new_files_are_decoded(lake: Lake, rows_decoded: Callable[[], int]) -> None:
    land(lake, "w-0002", 3, 4, 5)
    assert captures(read(lake)) == [3, 4, 5]
    assert rows_decoded() == 3
    assert captures(read(lake)) == [3, 4, 5]
    assert rows_decoded() == 0
    land(lake, "w-0001", 1, 2)
    assert captures(read(lake)) == [1, 2, 3, 4, 5]
    assert rows_decoded() == 2
    assert same_as_from_raw(lake)


def test_a_compaction_causes_no_decoding(lake: Lake, rows_decoded: Callable[[], int]) -> None:
    land(lake, "w-0001", 1, 2)
    land(lake, "w-0002", 3)
    before = read(lake)
    rows_decoded()
    compact(lake, [RAW_LIVES], now=HOUR + timedelta(hours=9), window=timedelta(minutes=10))
    assert len(lake.hour_files(RAW_LIVES, HOUR)) == 1
    after = read(lake)
    assert rows_decoded() == 0
    assert all(before[name].equals(after[name]) for name in before)
    land(lake, "w-0003", 4)
    assert captures(read(lake)) == [1, 2, 3, 4]
    assert rows_decoded() == 1


def test_new_files_that_were_compacted_before_they_were_read_are_decoded(lake: Lake) -> None:
    land(lake, "w-0001", 1, 2)
    read(lake)
    land(lake, "w-0002", 3)
    compact(lake, [RAW_LIVES], now=HOUR + timedelta(hours=9), window=timedelta(minutes=10))
    assert captures(read(lake)) == [1, 2, 3]
    assert same_as_from_raw(lake)


def test_a_capture_in_two_files_is_read_once(lake: Lake) -> None:
    land(lake, "w-0002", 1, 2)
    read(lake)
    land(lake, "w-0001", 2, 3, body="not JSON")
    assert captures(read(lake)) == [1, 2, 3]
    assert same_as_from_raw(lake)
    assert read(lake)[QUARANTINE.name]["capture_id"].unique().sort().to_list() == ["c-0002", "c-0003"]


def test_a_replaced_file_is_decoded_again(lake: Lake) -> None:
    land(lake, "w-0001", 1, 2)
    read(lake)
    land(lake, "w-0001", 1)
    assert captures(read(lake)) == [1]
    land(lake, "w-0002", 5)
    lake.hour_files(RAW_LIVES, HOUR)[0].unlink()
    assert captures(read(lake)) == [5]


def test_decoded_rows_of_an_hour_with_a_damaged_file_are_not_cached(
    lake: Lake, rows_decoded: Callable[[], int]
) -> None:
    land(lake, "w-0001", 1, 2)
    bad = land(lake, "w-0002", 3)
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    assert captures(read(lake)) == [1, 2]
    bad.write_bytes(whole)
    assert captures(read(lake)) == [1, 2, 3]
    rows_decoded()
    read(lake)
    assert rows_decoded() == 0


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"half"])
def test_a_damaged_cache_file_is_written_again(lake: Lake, content: bytes) -> None:
    land(lake, "w-0001", 1, 2)
    read(lake)
    [kept] = (lake.root / FOLDER).rglob("*.bin")
    kept.write_bytes(content if content != b"half" else kept.read_bytes()[: kept.stat().st_size // 2])
    assert captures(read(lake)) == [1, 2]
    assert same_as_from_raw(lake)


def test_another_hash_key_decodes_everything_again(lake: Lake, rows_decoded: Callable[[], int]) -> None:
    land(lake, "w-0001", 1, 2)
    read(lake)
    rows_decoded()
    DecodedHours.of(lake, b"another key", 2).read(RAW_LIVES, [HOUR])
    assert rows_decoded() == 2


def test_rows_of_a_creator_erased_during_decoding_are_not_cached(lake: Lake) -> None:
    land(lake, "w-0001", 1, creator="ana")
    land(lake, "w-0002", 2, creator="zoe.live7")
    hours = DecodedHours.of(lake, KEY, 2)
    assert lake.erased is not None
    lake.erased.add(hashes_of(KEY, creator_ids=["zoe.live7"], handles=["zoe.live7"]), HOUR)
    hours.read(RAW_LIVES, [HOUR])
    assert list((lake.root / FOLDER).rglob("*.bin")) == []
    # Raw still has the row; the cache must not.
    DecodedHours.of(lake, KEY, 2).read(RAW_LIVES, [HOUR])
    [kept] = (lake.root / FOLDER).rglob("*.bin")
    assert b"zoe.live7" not in kept.read_bytes()
    assert captures(read(lake)) == [1]


def test_several_hours_come_as_one_frame_and_single_frames_can_be_named(lake: Lake) -> None:
    land(lake, "w-0001", 1, 2)
    later = HOUR + timedelta(hours=1)
    land(lake, "w-0002", 3, hour=later)
    hours = DecodedHours.of(lake, KEY, 2)
    none, two = HOUR - timedelta(hours=1), hours.read(RAW_LIVES, [HOUR, later], [REQUESTS])
    assert {name: frame.height for name, frame in two.items()} == {REQUESTS: 3}
    assert hours.read(RAW_LIVES, [none])[PROFILE_OBSERVATIONS.name].is_empty()


def test_cached_rows_of_old_days_are_removed(lake: Lake) -> None:
    land(lake, "w-0001", 1)
    read(lake)
    prune(lake, HOUR.date() + timedelta(days=5))
    assert list((lake.root / FOLDER).rglob("*.bin"))
    prune(lake, HOUR.date() + timedelta(days=6))
    assert not list((lake.root / FOLDER).rglob("*.bin"))
