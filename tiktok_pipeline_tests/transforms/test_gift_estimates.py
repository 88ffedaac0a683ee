"""Gift estimates: an index by default, a range if diamonds of some streams are known, else null."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tiktok_pipeline.tables import CREATORS, LIVE_OBSERVATIONS, RECAPS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.gift_estimates import SIGNALS, gift_estimates, gift_signals
from tiktok_pipeline.transforms.gift_ranges import ranges
from tiktok_pipeline_tests.transforms.frames import DAY, frame, hours

Row = dict[str, Any]
MONDAY = DAY.date()
NOTHING_KNOWN = pl.DataFrame(schema={"stream_id": pl.String, "diamonds": pl.Float64})


def stream(name: str, start: float = 1, **more: Any) -> Row:
    return {
        "stream_id": f"{name}:{start}", "creator_id": name, "started_at": hours(start), "ended_at": hours(start + 1),
        "ended_at_lo": hours(start + 1), "airtime_s": 3600.0, "viewers_total": 1_000, "peak_viewers": 100,
    } | more  # fmt: skip


def signals(*streams: Row, **tables: Any) -> pl.DataFrame:
    names = {row["creator_id"] for row in streams}
    creators = tables.get("creators") or [{"creator_id": name, "followers": 50_000} for name in sorted(names)]
    return gift_signals(
        frame(STREAMS, *streams),
        frame(STREAM_LIFT, *tables.get("lift", ())),
        frame(RECAPS, *tables.get("recaps", ())),
        frame(LIVE_OBSERVATIONS, *tables.get("live", ())),
        frame(CREATORS, *creators),
    )


def estimated(*streams: Row, day: int = 0, **tables: Any) -> dict[str, Row]:
    rows = gift_estimates(MONDAY + timedelta(days=day), signals(*streams, **tables), NOTHING_KNOWN)
    return {row["creator_id"]: row for row in rows.rows(named=True)}


def test_the_index_is_the_percentile_by_observable_signals() -> None:
    rows = estimated(*(stream(name, viewers_total=10**place) for place, name in enumerate("abcde")))
    assert {name: row["gift_index"] for name, row in rows.items()} == {"a": 10, "b": 30, "c": 50, "d": 70, "e": 90}
    assert all(row["compared_with"] == 5 for row in rows.values())


@pytest.mark.parametrize(
    ("signal", "tables"),
    [
        ("viewers_total", {}),
        ("peak_viewers", {}),
        ("airtime_s", {}),
        ("gifters", {"live": [{"creator_id": "e", "room_id": "r", "gifters": 40, "observed_at": hours(1.5)}]}),
        ("recaps", {"recaps": [{"stream_id": "e:1", "views": 5_000, "likes": 100}]}),
        ("lift", {"lift": [{"stream_id": f"{n}:1", "observable": True, "lift": 900.0 * (n == "e")} for n in "abcde"]}),
    ],
)
def test_every_signal_raises_the_index_of_a_stream(signal: str, tables: dict[str, Any]) -> None:
    if signal == "gifters":
        quiet = [{"creator_id": n, "room_id": "r", "gifters": 1, "observed_at": hours(1.2)} for n in "abcde"]
        tables = {"live": [*quiet, *tables["live"]]}
    ahead = {signal: 50_000} if signal in ("viewers_total", "peak_viewers", "airtime_s") else {}
    rows = estimated(*(stream(name, **(ahead if name == "e" else {})) for name in "abcde"), **tables)
    assert rows["e"]["gift_index"] == 90
    assert {rows[name]["gift_index"] for name in "abcd"} == {40}


def test_streams_are_compared_within_their_follower_tier_and_the_seven_days_up_to_theirs() -> None:
    small = [stream(name, viewers_total=10**place) for place, name in enumerate("abcde")]
    large = [stream(name, viewers_total=10**9) for name in "vwxyz"]
    sizes = [{"creator_id": n, "followers": 5_000 if n < "m" else 5_000_000} for n in "abcdevwxyz"]
    rows = estimated(*small, *large, creators=sizes)
    assert rows["e"]["gift_index"] == 90
    assert (rows["e"]["follower_tier"], rows["v"]["follower_tier"]) == ("under_10k", "over_1m")
    # The same five are six days old, seven days old, and a day later: only the first are within the week.
    week = [stream(name, viewers_total=1) for name in "abcd"]
    assert estimated(*week, stream("z", 24 * 6), day=6)["z"]["compared_with"] == 5
    assert estimated(*week, stream("z", 24 * 7), day=7)["z"]["compared_with"] == 1
    assert estimated(*(row | {"started_at": hours(25)} for row in week), stream("z"))["z"]["compared_with"] == 1


def test_followers_before_the_stream_define_the_tier_before_those_of_today() -> None:
    lift = [{"stream_id": "a:1", "observable": False, "followers_before": 9_000}]
    assert estimated(stream("a"), lift=lift)["a"]["follower_tier"] == "under_10k"
    unknown = estimated(stream("a"), creators=[{"creator_id": "b", "followers": 1}])["a"]
    assert (unknown["follower_tier"], unknown["gift_index"], unknown["compared_with"]) == (None, None, 0)


def test_too_few_streams_to_compare_give_no_index() -> None:
    assert {row["gift_index"] for row in estimated(*(stream(name) for name in "abcd")).values()} == {None}


def test_a_missing_signal_counts_as_average_and_is_not_named() -> None:
    streams = [stream(name, viewers_total=10**place) for place, name in enumerate("abcde")]
    streams[4]["viewers_total"] = None
    rows = estimated(*streams)
    assert rows["e"]["gift_index"] == 50
    assert "viewers_total" not in rows["e"]["signals"]
    assert rows["a"]["signals"] == ["viewers_total", "peak_viewers", "airtime", "recap_views", "recap_likes"]


def test_an_unobservable_lift_is_no_signal() -> None:
    lift = [{"stream_id": "a:1", "observable": False, "lift": None}]
    assert "lift" not in estimated(stream("a"), lift=lift)["a"]["signals"]


def test_gifters_are_summed_over_the_rooms_of_the_stream_only() -> None:
    live = [
        {"creator_id": "a", "room_id": "r1", "gifters": 5, "observed_at": hours(1.2)},
        {"creator_id": "a", "room_id": "r1", "gifters": 9, "observed_at": hours(1.4)},
        {"creator_id": "a", "room_id": "r2", "gifters": 10, "observed_at": hours(1.8)},
        {"creator_id": "a", "room_id": "r3", "gifters": 500, "observed_at": hours(4)},
        {"creator_id": "b", "room_id": "r4", "gifters": 500, "observed_at": hours(1.5)},
    ]
    row = signals(stream("a"), live=live).row(0, named=True)
    assert row["gifters"] == pytest.approx(np.log1p(19))
    assert signals(stream("c"), live=live)["gifters"].to_list() == [None]


def test_without_known_streams_no_diamonds_are_estimated() -> None:
    for row in estimated(*(stream(name) for name in "abcdefgh")).values():
        assert (row["low"], row["mid"], row["high"]) == (None, None, None)
        assert (row["basis"], row["known_streams"], row["method"]) == ("none", 0, "index/1")


def world(creators: int, each: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Simulate signals and diamonds: gifts depend on audience, creator and chance (docs/methods.md 7.2)."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(creators), each)
    audience = rng.normal(7, 1.5, creators)[owner] + rng.normal(0, 0.7, len(owner))
    gifts = audience - 2 + rng.normal(0, 1.2, creators)[owner] + rng.normal(0, 0.6, len(owner))
    ids = [f"c{c}:{n}" for n, c in enumerate(owner)]
    rows = pl.DataFrame({"stream_id": ids, "creator_id": [f"c{c}" for c in owner], "viewers_total": audience})
    other_signals = [pl.lit(None, pl.Float64).alias(name) for name in SIGNALS if name != "viewers_total"]
    return rows.with_columns(other_signals), pl.DataFrame(
        {"stream_id": ids, "diamonds": np.expm1(np.maximum(gifts, 0.01))}
    )


def estimates(creators: int, each: int, known_of_each: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (the estimates of streams whose diamonds are not known, their true diamonds)."""
    rows, diamonds = world(creators, each, seed)
    known = diamonds.filter(pl.int_range(pl.len()) % each < known_of_each)
    wanted = rows.join(known, on="stream_id", how="anti").select("stream_id")
    return ranges(rows, wanted, known, tuple(SIGNALS)), diamonds


def covered(found: pl.DataFrame, truth: pl.DataFrame, basis: str) -> float:
    joined = found.filter(pl.col("basis") == basis).join(truth, on="stream_id")
    assert joined.height > 50
    return joined.select((pl.col("diamonds").is_between("low", "high")).mean()).item()  # type: ignore[no-any-return]


def test_ranges_hold_nine_of_ten_streams_of_creators_with_known_streams() -> None:
    shares, widths = [], []
    for seed in range(8):
        found, truth = estimates(creators=20, each=12, known_of_each=4, seed=seed)
        shares.append(covered(found, truth, "creator"))
        widths.append(found.select((pl.col("high") / pl.col("low")).sqrt().median()).item())
    assert 0.86 <= np.mean(shares) <= 0.95
    assert np.median(widths) < 5, "a creator's own streams make it about x/4"


def test_ranges_hold_nine_of_ten_streams_of_creators_without_known_streams_and_are_wide() -> None:
    shares, widths = [], []
    for seed in range(8):
        rows, diamonds = world(creators=60, each=4, seed=seed)
        known = diamonds.filter(pl.col("stream_id").str.extract(r"c(\d+):").cast(pl.Int64) < 30)
        wanted = rows.join(known, on="stream_id", how="anti").select("stream_id")
        found = ranges(rows, wanted, known, tuple(SIGNALS))
        shares.append(covered(found, diamonds, "roster"))
        widths.append(found.select((pl.col("high") / pl.col("low")).sqrt().median()).item())
    assert 0.84 <= np.mean(shares) <= 0.96
    assert np.median(widths) > 5, "without a creator's own streams it is about x/10"


def test_fewer_than_20_known_streams_give_no_range_and_a_middle_needs_30() -> None:
    assert estimates(creators=6, each=5, known_of_each=3, seed=1)[0].is_empty(), "18 known streams"
    found, _ = estimates(creators=10, each=4, known_of_each=2, seed=1)
    assert found["basis"].unique().to_list() == ["creator"]
    assert found["mid"].null_count() == found.height, "20 known streams give a range and no middle"
    found, _ = estimates(creators=10, each=6, known_of_each=3, seed=1)
    assert found["mid"].null_count() == 0
    assert found.filter(~pl.col("mid").is_between("low", "high")).is_empty()
    assert found["known_streams"].unique().to_list() == [30]


def test_few_creators_give_no_range_for_another_one() -> None:
    rows, diamonds = world(creators=8, each=10, seed=3)
    known = diamonds.filter(pl.col("stream_id").str.starts_with("c7:").not_())
    found = ranges(rows, rows.filter(pl.col("creator_id") == "c7").select("stream_id"), known, tuple(SIGNALS))
    assert found.is_empty()


def test_a_known_stream_keeps_its_known_value() -> None:
    rows, diamonds = world(creators=10, each=4, seed=2)
    found = ranges(rows, diamonds.select("stream_id"), diamonds, tuple(SIGNALS)).join(diamonds, on="stream_id")
    assert set(found["basis"]) == {"known"}
    for column in ("low", "mid", "high"):
        assert found[column].equals(found["diamonds"])


def test_the_order_of_known_streams_changes_nothing() -> None:
    rows, diamonds = world(creators=12, each=6, seed=4)
    known = diamonds.gather_every(2)
    wanted = rows.select("stream_id")
    found = ranges(rows, wanted, known, tuple(SIGNALS))
    assert found.equals(ranges(rows.reverse(), wanted.reverse(), known.reverse(), tuple(SIGNALS)))
    assert found.filter(pl.col("low") < 0).is_empty()


def test_the_table_has_the_ranges_and_their_basis() -> None:
    streams = [stream(name, hour, viewers_total=1_000 * (hour + 1)) for name in "abcdefghij" for hour in (1, 5, 9, 30)]
    known = pl.DataFrame([
        {"stream_id": row["stream_id"], "diamonds": 2.0 * row["viewers_total"]}
        for row in streams if row["started_at"] < hours(24)
    ])  # fmt: skip
    rows = gift_estimates(MONDAY + timedelta(days=1), signals(*streams), known)
    assert rows.height == 10
    for row in rows.rows(named=True):
        assert (row["basis"], row["known_streams"], row["method"]) == ("creator", 30, "log-linear/1")
        assert row["low"] <= row["mid"] <= row["high"]
        assert row["mid"] == pytest.approx(62_000, rel=0.5)
