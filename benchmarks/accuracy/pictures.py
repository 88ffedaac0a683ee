"""Draw the pictures of docs/methods.md from the accuracy benchmark: `python -m benchmarks.accuracy.pictures`.

The same seeds give the same pictures. Takes a minute or two, most of it for the coverage of every scenario.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import vl_convert

from benchmarks.accuracy.follower_histories import SCENARIOS, Histories, Scenario, simulate
from benchmarks.accuracy.lift_estimates import judged, score, undisturbed
from benchmarks.accuracy.polled_lives import VENDORS
from benchmarks.accuracy.polled_lives import simulate as simulate_lives
from tiktok_pipeline.config.settings import Lift, Streams
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline.transforms.streams import streams

_FOLDER = Path(__file__).parent.parent.parent / "docs" / "pictures"
_SEEDS, _CREATORS = (101, 102), 250
_SHOWN_STREAMS = 250
_CLOCK = alt.X("at:T", title="UTC", scale=alt.Scale(type="utc"), axis=alt.Axis(format="%H:%M", grid=False))
_INK, _QUIET, _ACCENT, _WARM = "#222222", "#8a8f98", "#1f6feb", "#d1602b"


def main() -> None:
    """Draw all four pictures."""
    _FOLDER.mkdir(exist_ok=True)
    _save("evidence", evidence_to_stream())
    _save("one-stream", one_stream())
    results = {s.name: pl.concat(judged(s, creators=_CREATORS, seed=seed) for seed in _SEEDS) for s in SCENARIOS}
    _save("lift-against-truth", lift_against_truth(undisturbed(results[SCENARIOS[0].name])))
    _save("coverage", coverage_by_scenario(results))


def lift_against_truth(rows: pl.DataFrame) -> alt.TopLevelMixin:
    """Draw naive differences and lifts of the same streams against their true lift."""
    seen = rows.filter("observable").sample(_SHOWN_STREAMS, seed=1).sort("stream_id")
    points = pl.concat(
        seen.select(
            estimate=pl.lit(name),
            true=(pl.col("true_lift") / pl.col("per_day")).round(3),
            shown=(pl.col(column) / pl.col("per_day")).round(3),
        )
        for name, column in (("naive difference", "naive_delta"), ("lift", "lift"))
    ).filter(pl.col("true") <= 1.2, pl.col("shown").is_between(-0.4, 1.6))
    axis = alt.Scale(domain=(-0.4, 1.6), nice=False)
    dots = alt.Chart().mark_circle(size=14, opacity=0.45, color=_ACCENT)
    estimates = dots.encode(
        x=alt.X("true:Q", title="true lift, days of organic growth", scale=alt.Scale(domain=(-0.05, 1.2), nice=False)),
        y=alt.Y("shown:Q", title="estimate, days of organic growth", scale=axis),
    )
    right = alt.Chart(alt.Data(values=[{"true": 0, "shown": 0}, {"true": 1.2, "shown": 1.2}]))
    diagonal = right.mark_line(color=_INK, strokeWidth=1).encode(x="true:Q", y="shown:Q")
    panels = [
        alt.layer(estimates.properties(data=_values(points.filter(pl.col("estimate") == name))), diagonal).properties(
            width=270, height=270, title=name
        )
        for name in ("naive difference", "lift")
    ]
    return alt.hconcat(*panels)


def coverage_by_scenario(results: dict[str, pl.DataFrame]) -> alt.TopLevelMixin:
    """Draw how often the 90 % interval contains the truth, with the scatter expected from so many streams."""
    shown = []
    for name, rows in results.items():
        got = score(undisturbed(rows))
        assert got is not None
        scatter = 1.96 * float(np.sqrt(got.coverage * (1 - got.coverage) / got.streams))
        shown.append(
            {"scenario": name, "covers": got.coverage, "low": got.coverage - scatter, "high": got.coverage + scatter}
        )
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y("scenario:N", sort=[row["scenario"] for row in shown], title=None)
    )
    scale = alt.Scale(domain=(0.8, 1.0), nice=False)
    band = alt.Chart(alt.Data(values=[{"low": 0.88, "high": 0.93}])).mark_rect(color=_QUIET, opacity=0.18)
    nominal = alt.Chart(alt.Data(values=[{"covers": 0.9}])).mark_rule(color=_INK, strokeDash=[4, 3])
    return alt.layer(
        band.encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        nominal.encode(x="covers:Q"),
        base.mark_rule(color=_ACCENT).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_circle(color=_ACCENT, size=60, opacity=1).encode(
            x=alt.X("covers:Q", scale=scale, title="share of 90 % intervals that hold the true lift")
        ),
    ).properties(width=420, height=24 * len(shown))


def one_stream() -> alt.TopLevelMixin:
    """Draw counts around one stream, the expected organic growth, and the lift between them."""
    histories = simulate(Scenario("one", days=28), creators=12, seed=_SEEDS[0])
    row = _example_stream(histories)
    before, after = row["before_at"], row["after_at"]
    reach = timedelta(hours=5)
    counts = histories.profiles.filter(
        pl.col("creator_id") == row["creator_id"], pl.col("observed_at").is_between(before - reach, after + reach)
    ).sort("observed_at")
    dots = [{"at": _iso(at), "followers": count} for at, count in counts.select("observed_at", "followers").iter_rows()]
    expected = row["followers_before"] + row["expected_organic"]
    anyway = [
        {"at": _iso(before), "followers": row["followers_before"]},
        {"at": _iso(after), "followers": round(expected, 1)},
    ]
    lift, low, high = row["lift"], row["lift_lo"], row["lift_hi"]
    measured = {
        "at": _iso(after), "low": expected, "high": expected + lift,
        "shown": f"lift {lift:,.0f}, 90 % interval {low:,.0f} to {high:,.0f}",
    }  # fmt: skip
    interval = {"at": _iso(after), "low": expected + low, "high": expected + high}
    span = {"at": _iso(row["started_at"]), "until": _iso(row["ended_at"])}
    followers = alt.Y(
        "followers:Q", title="followers", scale=alt.Scale(zero=False), axis=alt.Axis(format=",.0f", tickCount=5)
    )
    bounds = {"y": alt.Y("low:Q"), "y2": "high:Q"}
    return alt.layer(
        alt.Chart(_rows([span])).mark_rect(color=_WARM, opacity=0.15).encode(x=_CLOCK, x2="until:T"),
        alt.Chart(_rows(dots)).mark_circle(color=_QUIET, size=22, opacity=1).encode(x=_CLOCK, y=followers),
        alt.Chart(_rows(anyway)).mark_line(color=_INK, strokeDash=[5, 3]).encode(x=_CLOCK, y=followers),
        alt.Chart(_rows([interval])).mark_rule(color=_ACCENT, strokeWidth=9, opacity=0.3).encode(x=_CLOCK, **bounds),
        alt.Chart(_rows([measured])).mark_rule(color=_ACCENT, strokeWidth=3).encode(x=_CLOCK, **bounds),
        alt.Chart(_rows([measured]))
        .mark_text(align="left", dx=10, color=_ACCENT)
        .encode(x=_CLOCK, y="low:Q", text="shown:N"),
    ).properties(width=600, height=260)


def _example_stream(histories: Histories) -> dict[str, Any]:
    """Return a stream that makes a clear picture: an hour or longer, with a lift of about half a day's growth."""
    lifts = stream_lift(
        histories.streams, histories.profiles, histories.live, histories.posts, settings=Lift(), as_of=histories.as_of
    )
    days = pl.col("lift") / pl.col("per_day")
    fit = histories.truth.join(lifts, on="stream_id", maintain_order="left").filter(
        ~pl.col("viral"), "is_significant", days.is_between(0.2, 0.6), pl.col("placebos") > 100,
        pl.col("ended_at") - pl.col("started_at") > timedelta(hours=1.5),
    )  # fmt: skip
    return fit.row(0, named=True)


def evidence_to_stream() -> alt.TopLevelMixin:
    """Draw the readings of three vendors, the truth, and the stream derived from the readings."""
    lives = simulate_lives(creators=60, days=3, seed=_SEEDS[0], vendors=(VENDORS[0], VENDORS[1].flaky(0.2), VENDORS[2]))
    found = streams(lives.live, settings=Streams(), as_of=lives.as_of)
    failed = lives.live.filter(pl.col("live_state") == "unknown").select("creator_id", "observed_at")
    drawn = (
        found.filter(pl.col("rooms") > 1, pl.col("airtime_s") < 3 * 3_600)
        .join_where(
            failed.rename({"creator_id": "whose"}),
            pl.col("creator_id") == pl.col("whose"),
            pl.col("observed_at").is_between("started_at", "ended_at"),
        )
        .sort("observations", "stream_id", "observed_at", descending=True)
        .row(0, named=True)
    )
    margin = timedelta(minutes=40)
    low, high = drawn["started_at"] - margin, drawn["ended_at"] + margin
    readings = lives.live.filter(
        pl.col("creator_id") == drawn["creator_id"], pl.col("observed_at").is_between(low, high)
    ).sort("observed_at")
    states = [
        {"row": vendor, "at": _iso(at), "state": {"ended": "off air", "live": "on air"}.get(state, "no response")}
        for vendor, at, state in readings.select("vendor", "observed_at", "live_state").iter_rows()
    ]
    truth = lives.truth.filter(
        pl.col("creator_id") == drawn["creator_id"], pl.col("started_at") < high, pl.col("ended_at") > low
    )
    bars = [
        {"row": "truth", "at": _iso(start), "until": _iso(end)}
        for start, end in truth.select("started_at", "ended_at").iter_rows()
    ] + [{"row": "stream", "at": _iso(drawn["started_at"]), "until": _iso(drawn["ended_at"])}]
    bounds = [
        {"row": "stream", "at": _iso(drawn[f"{edge}_lo"]), "until": _iso(drawn[f"{edge}_hi"])}
        for edge in ("started_at", "ended_at")
    ]
    order = [*(vendor.name for vendor in VENDORS), "truth", "stream"]
    y = alt.Y("row:N", sort=order, title=None)
    kinds = ["on air", "off air", "no response"]
    colors = alt.Scale(domain=kinds, range=[_ACCENT, _WARM, _QUIET])
    shapes = alt.Scale(domain=kinds, range=["circle", "cross", "triangle-down"])
    return alt.layer(
        alt.Chart(_rows(bars)).mark_bar(height=12, color=_QUIET).encode(x=_CLOCK, x2="until:T", y=y),
        alt.Chart(_rows(bounds)).mark_bar(height=4, color=_INK).encode(x=_CLOCK, x2="until:T", y=y),
        alt.Chart(_rows(states))
        .mark_point(size=45, filled=True, opacity=1)
        .encode(
            x=_CLOCK,
            y=y,
            color=alt.Color("state:N", scale=colors, title=None),
            shape=alt.Shape("state:N", scale=shapes, title=None),
        ),
    ).properties(width=600, height=150)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _rows(rows: list[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=rows)


def _values(frame: pl.DataFrame) -> alt.Data:
    return alt.Data(values=frame.to_dicts())


def _save(name: str, chart: alt.TopLevelMixin) -> None:
    plain = chart.configure(background="white", font="sans-serif", aria=False).configure_view(stroke=None)
    path = _FOLDER / f"{name}.svg"
    path.write_text(vl_convert.vegalite_to_svg(plain.to_dict()))
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
