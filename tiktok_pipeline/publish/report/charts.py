"""The charts, drawn by Altair and rendered by vl-convert: no browser, no network, no external script.

Colours are CSS variables, so that one drawing serves light and dark: Vega passes them to the SVG. Interactive charts
are compiled to Vega here, and the page includes Vega's runtime once. They start without rows: page.js adds the rows,
because it also filters them.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from tiktok_pipeline.publish import formats

FONT = "Inter, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"

# 940 and 1.2k; Vega's own short form writes 0.5k and 0k beside 1k.
_SHORT = "datum.value < 1000 ? datum.value : format(datum.value, '~s')"

_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
# Number of vendor colours in page.css, assigned in the order of vendors' names.
_VENDOR_COLOURS = 6

# Rows of the picture in Dagster, which stays below 50 KB.
_PICTURE_ROWS = 10

# Most lifts are small, a few are large: linear around zero, logarithmic beyond a tenth of a percent.
_COMPRESSED = alt.Scale(type="symlog", constant=0.1, nice=False)
_PERCENT = "(datum.value > 0 ? '+' : '') + datum.value + ' %'"
_PERCENTS = [sign * size for size in (0.03, 0.1, 0.3, 1, 3, 10, 30, 100) for sign in (1, -1)] + [0]

# Verdict on an interval (the last word of words.verdict) -> its colour.
_TONES = {"lift": "var(--accent)", "effect": "var(--muted)", "loss": "var(--down)"}

Spec = dict[str, Any]


@cache
def runtime() -> str:
    """Return Vega with its embedding function `vegaEmbed` as one script of 0.9 MB, built once a process."""
    script = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    # This text inside a page would end the script.
    return script.replace("</script", "<\\/script")


def lift_chart() -> Spec:
    """Return the chart of lifts in percent of followers with intervals, a row a stream. Rows: stream, percent,
    percent_lo, percent_hi, label, tone (lift, effect or loss)."""
    rows = alt.Chart(alt.InlineData(values=[], name="rows"))
    y = alt.Y("stream:N", sort=None, title=None, axis=alt.Axis(labelLimit=230, labelFontSize=12, labelPadding=8))
    colour = alt.Color("tone:N", scale=alt.Scale(domain=list(_TONES), range=list(_TONES.values())), legend=None)
    x = alt.X(
        "percent_lo:Q",
        title="Followers gained, in percent of those before (compressed scale)",
        scale=_COMPRESSED,
        axis=alt.Axis(values=_PERCENTS, labelExpr=_PERCENT, labelOverlap=True),
    )
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color="var(--ink)", opacity=0.5).encode(x="zero:Q")
    line = rows.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.45).encode(
        x=x, x2="percent_hi:Q", y=y, color=colour
    )
    dot = rows.mark_point(filled=True, size=80, opacity=1).encode(
        x="percent:Q", y=y, color=colour, tooltip=alt.Tooltip("label:N")
    )
    chart = alt.layer(zero, line, dot).properties(width="container", height={"step": 24})
    return _compiled(chart, "Lift of the last streams with its interval")


def heat_chart() -> Spec:
    """Return the chart of weekday by hour. Rows: weekday (Mon ... Sun), hour (0-23), value, label."""
    cells = (
        alt.Chart(alt.InlineData(values=[], name="rows"))
        .mark_rect(cornerRadius=3, stroke="var(--card)", strokeWidth=2)
        .encode(
            x=alt.X(
                "hour:O",
                title="Hour of the day, UTC",
                scale=alt.Scale(domain=list(range(24))),
                axis=alt.Axis(
                    labelAngle=0, labelOverlap=True, values=list(range(0, 24, 3)), labelExpr="datum.value + ':00'"
                ),
            ),
            y=alt.Y("weekday:O", title=None, scale=alt.Scale(domain=_WEEKDAYS)),
            color=alt.condition(
                "datum.value > 0",
                alt.Color(
                    "value:Q",
                    scale=alt.Scale(type="quantize", domainMin=0, range=[f"var(--heat{n})" for n in range(1, 6)]),
                    legend=None,
                ),
                alt.value("var(--heat0)"),
            ),
            tooltip=alt.Tooltip("label:N"),
        )
    )
    return _compiled(cells.properties(width="container", height={"step": 26}), "When streams are on air")


def credits_chart(vendors: list[str]) -> Spec:
    """Return the chart of credits a day, stacked by vendor in order. Rows: day, vendor, credits, label."""
    bars = (
        alt.Chart(alt.InlineData(values=[], name="rows"))
        .mark_bar(cornerRadius=1, stroke="var(--card)", strokeWidth=1)
        .encode(
            x=alt.X("day:O", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("credits:Q", title="Credits a day", axis=alt.Axis(labelExpr=_SHORT, tickCount=4)),
            color=alt.Color(
                "vendor:N",
                scale=alt.Scale(domain=vendors, range=[vendor_colour(n) for n in range(len(vendors))]),
                legend=None,
            ),
            tooltip=alt.Tooltip("label:N"),
        )
    )
    return _compiled(bars.properties(width="container", height=190), "Credits a day by vendor")


def vendor_colour(place: int) -> str:
    """Return the colour of the vendor at `place` among the vendors shown."""
    return f"var(--vendor{place % _VENDOR_COLOURS + 1})"


def lift_picture(lifts: pl.DataFrame) -> bytes:
    """Draw the first rows of the lift chart as a PNG in plain colours, for places without HTML.

    Rows are named by niche and time, because the picture stays in Dagster's log after a creator is forgotten.
    """
    shown = lifts.head(_PICTURE_ROWS).with_columns(
        stream=pl.Series(
            [f"{row['niche']}, {formats.moment(row['started_at'])}" for row in lifts.to_dicts()][:_PICTURE_ROWS]
        ),
        tone=pl.when(pl.col("percent_lo") > 0).then(pl.lit("lift")).otherwise(pl.lit("effect")),
    )
    rows = alt.Chart(
        alt.InlineData(values=shown.select("stream", "percent", "percent_lo", "percent_hi", "tone").to_dicts())
    )
    y = alt.Y("stream:N", sort=None, title=None, axis=alt.Axis(labelLimit=260))
    colour = alt.Color("tone:N", scale=alt.Scale(domain=["lift", "effect"], range=["#0b6b66", "#5b6470"]), legend=None)
    x = alt.X(
        "percent_lo:Q",
        title="Lift with 90 % interval, share of followers (scale compressed)",
        scale=_COMPRESSED,
        axis=alt.Axis(values=_PERCENTS, labelExpr=_PERCENT, labelOverlap=True),
    )
    chart = alt.layer(
        rows.mark_rule(strokeWidth=3, opacity=0.45).encode(x=x, x2="percent_hi:Q", y=y, color=colour),
        rows.mark_point(filled=True, size=60, opacity=1).encode(x="percent:Q", y=y, color=colour),
    ).properties(width=420, height={"step": 22}, background="white")
    return _deflated(bytes(vl_convert.vegalite_to_png(chart.to_dict())))


def _deflated(png: bytes) -> bytes:
    """Return the same picture at a quarter of the size: vl-convert hardly compresses, and every run keeps metadata."""
    chunks, pixels, at = [], b"", 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            pixels += body
        else:
            chunks.append((kind, body))
    chunks.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)))
    return png[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _compiled(chart: alt.LayerChart | alt.FacetChart | alt.Chart, description: str) -> Spec:
    themed = (
        chart.properties(
            description=description, background="transparent", autosize={"type": "fit-x", "contains": "padding"}
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            titleColor="var(--muted)",
            titleFontWeight="normal",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=11,
            titleFontSize=11,
        )
    )
    return dict(vl_convert.vegalite_to_vega(themed.to_dict()))
