"""Landing loses no row: with a full disk, with two windows of one name, and with an oversized hour."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tiktok_pipeline.capture import replay
from tiktok_pipeline.capture.budget import SharedBudget
from tiktok_pipeline.capture.flush import Flusher
from tiktok_pipeline.capture.landing import Attempt, Landing, Landings
from tiktok_pipeline.capture.rate_limit import SharedDepartures
from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.social_fetch import LIVE
from tiktok_pipeline.providers.vendor import Outcome, Request, Verdict
from tiktok_pipeline.tables import RAW_LIVES
from tiktok_pipeline_tests.raw_files import all_raw

HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)


def attempt(number: int, at: datetime = HOUR, body: bytes | None = b"{}", **verdict: object) -> Attempt:
    request = Request(LIVE, f"c{number}", f"/{number}", creator_id=f"c{number}", cursor="next")
    return Attempt(
        "social_fetch", request, at, at, at, 1.0, 1, 200, Verdict(Outcome.OK, **verdict), {"age": "0"}, body  # type: ignore[arg-type]
    )  # fmt: skip


def subjects(lake: Lake) -> list[str]:
    return sorted(all_raw(lake, RAW_LIVES).collect()["subject"].to_list())


def test_concurrent_windows_with_one_name_lose_no_row_and_share_no_capture_id(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    together = threading.Barrier(6)

    def run(first: int) -> None:
        landing = Landing(lake, RAW_LIVES, "watch", "watch-20261102T100000")
        for flush in range(5):
            landing.add(attempt(first * 100 + flush))
            together.wait()
            landing.flush()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    found = lake.scan_raw(RAW_LIVES, [HOUR]).collect()
    assert found.height == 30
    assert found["capture_id"].n_unique() == found["subject"].n_unique() == 30


def test_a_foreign_file_beside_a_windows_files_does_not_stop_the_window(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    landing = Landing(lake, RAW_LIVES, "watch", "watch-20261102T100000")
    landing.add(attempt(1))
    landing.flush()
    folder = lake.hour_folder(RAW_LIVES, HOUR)
    (folder / "watch-20261102T100000-copy.parquet").write_bytes(next(folder.iterdir()).read_bytes())
    landing.add(attempt(2))
    landing.flush()
    assert {"c1", "c2"} <= set(subjects(lake))


def test_text_that_parquet_cannot_hold_costs_no_row(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    landing = Landing(lake, RAW_LIVES, "watch", "watch-20261102T100000")
    landing.add(attempt(1, body=b"\xff\xfe\x00 \xed\xa0\xbd", error="\ud83d", request_id="\x00\ud83d"))
    landing.add(attempt(2, body='{"é":"😀"}'.encode()))
    landing.add(attempt(3, body=None))
    landing.flush()
    rows = all_raw(lake, RAW_LIVES).collect().sort("subject")
    assert rows["body"].to_list() == ["��\x00 ���", '{"é":"😀"}', None]
    assert rows["error"][0] == "?"


def test_an_oversized_replayed_hour_is_written_in_parts_and_complete_with_the_last(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    landing = Landing(lake, RAW_LIVES, "watch")
    for number in range(3):
        landing.add(attempt(number))
        landing.flush(partly=True)
    assert landing.waiting == 0
    assert not replay._landed(lake, RAW_LIVES, HOUR, "watch")
    # The first try was cut short; the second polls again and gets fewer responses.
    again = Landing(lake, RAW_LIVES, "watch")
    again.add(attempt(0))
    again.flush(partly=True)
    again.add(attempt(1))
    again.flush(before=HOUR + timedelta(hours=1))
    assert replay._landed(lake, RAW_LIVES, HOUR, "watch")
    assert subjects(lake) == ["c0", "c1"]


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """Mount a small file system; skip the test where this process may not mount one."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filling = folder / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filling


def test_while_the_disk_is_full_rows_wait_and_are_written_when_there_is_space(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        lake = Lake(disk / "lake")
        landings = Landings(lake, "watch", "watch-20261102T100000")
        landings.add(attempt(0))
        landings.flush()
        filling = fill(disk)
        for number in range(1, 4):
            landings.add(attempt(number))
            with pytest.raises(LakeError, match="No space left on device"):
                landings.flush()
            assert landings.waiting == number
        assert not list((disk / "lake" / "_staging").glob("*.part"))
        filling.unlink()
        landings.flush()
        assert landings.waiting == 0
        assert subjects(lake) == ["c0", "c1", "c2", "c3"]


def test_an_hour_that_cannot_be_written_does_not_delay_other_hours(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    landing = Landing(lake, RAW_LIVES, "watch", "watch-20261102T100000")
    landing.add(attempt(1, HOUR))
    landing.add(attempt(2, HOUR + timedelta(hours=1)))
    with tiny_disk(lake.hour_folder(RAW_LIVES, HOUR), "1m,ro"):
        with pytest.raises(LakeError):
            landing.flush()
        assert landing.waiting == 1
    landing.flush()
    assert subjects(lake) == ["c1", "c2"]


class _Clock:
    replaying = False

    def now(self) -> datetime:
        return HOUR


def test_the_flush_timer_survives_a_full_disk_and_reports_the_number_of_waiting_rows(tmp_path: Path) -> None:
    messages: list[str] = []
    with tiny_disk(tmp_path / "disk") as disk:
        landings = Landings(Lake(disk / "lake"), "watch", "watch-20261102T100000")
        flusher = Flusher(landings, RAW_LIVES, _Clock(), 0.05, messages.append)  # type: ignore[arg-type]
        filling = fill(disk)

        async def work() -> None:
            async with flusher.keeping_time():
                for number in range(5):
                    flusher.add(attempt(number))
                    await asyncio.sleep(0.1)
                assert landings.waiting == 5
                filling.unlink()
                await asyncio.sleep(0.3)
                assert landings.waiting == 0

        asyncio.run(work())
    assert flusher.tally.flush_failures >= 3
    assert flusher.tally.most_rows_waiting == 5
    assert any(
        "5 rows wait in memory; the next flush tries again" in line and "No space left" in line for line in messages
    )
    assert any(line.endswith(", 5 rows wait in memory") for line in messages)


def test_the_last_flush_waits_for_disk_space(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        landings = Landings(Lake(disk / "lake"), "watch", "watch-20261102T100000")
        flusher = Flusher(landings, RAW_LIVES, _Clock(), 0.1, lambda line: None)  # type: ignore[arg-type]
        filling = fill(disk)
        flusher.add(attempt(1))
        threading.Timer(0.5, filling.unlink).start()
        begun = time.monotonic()
        flusher.flush_last()
        assert 0.3 < time.monotonic() - begun < 5
        assert subjects(Lake(disk / "lake")) == ["c1"]


def test_a_last_flush_that_fails_for_good_reports_the_number_of_lost_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiktok_pipeline.capture.flush._LAST_FLUSH_S", 0.3)
    (tmp_path / "lake").write_bytes(b"a file where the lake belongs")
    landings = Landings(Lake(tmp_path / "lake"), "watch", "watch-20261102T100000")
    flusher = Flusher(landings, RAW_LIVES, _Clock(), 0.1, lambda line: None)  # type: ignore[arg-type]
    flusher.add(attempt(1))
    with pytest.raises(LakeError, match="1 rows of raw_lives are lost: "):
        flusher.flush_last()


def test_budgets_and_rate_limits_hold_while_the_disk_is_full(tmp_path: Path) -> None:
    day = HOUR.date()
    with tiny_disk(tmp_path / "disk") as disk:
        full = fill(disk)
        budget, departures = SharedBudget(disk / "gates" / "v.credits", {day: 7.0}), SharedDepartures(disk / "gates/v")
        assert [budget.reserve(day, 1, 10) for _ in range(4)] == [True, True, True, False]
        second = timedelta(seconds=1)
        assert [departures.try_leave(HOUR, 2, second) for _ in range(3)] == [HOUR, HOUR, HOUR + second]
        full.unlink()
        budget.settle(day, -1)
        assert SharedBudget(disk / "gates" / "v.credits").reserve(day, 1, 10)
        assert not budget.affords(day, 1, 10)
        full = fill(disk)
        budget.settle(day, -3)
        assert [budget.reserve(day, 1, 10) for _ in range(4)] == [True, True, True, False]
