"""Damage one creator's responses with a seed, derive every table, and verify the checks and the other creators' rows.

`python -m tiktok_pipeline_tests.transforms.odd_inputs --tries 500` tries that many worlds.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.capture.sweep import EVERY_HOURS
from tiktok_pipeline.checks.contract import contract
from tiktok_pipeline.checks.identities import RULES, identities
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.sandbox.server import start_in_process
from tiktok_pipeline.tables import RAW_LIVES, RAW_TABLES, TABLES
from tiktok_pipeline.transforms.coverage import coverage
from tiktok_pipeline.transforms.creator_days import creator_days
from tiktok_pipeline.transforms.creator_hours import creator_hours
from tiktok_pipeline.transforms.creators import creators
from tiktok_pipeline.transforms.gift_estimates import gift_estimates, gift_signals
from tiktok_pipeline.transforms.identity import Identities, doubted, expel, other_accounts, requests_of, sightings
from tiktok_pipeline.transforms.identity import identities as accounts
from tiktok_pipeline.transforms.leaderboard import leaderboard
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline.transforms.observations import NORMALIZED, profile_existence, read_bodies, settle_absences
from tiktok_pipeline.transforms.payload_shapes import payload_shapes
from tiktok_pipeline.transforms.recaps import recaps
from tiktok_pipeline.transforms.soundness import correct_ages, make_sound, merge_shapes
from tiktok_pipeline.transforms.stories import stories
from tiktok_pipeline.transforms.stream_conversions import stream_conversions
from tiktok_pipeline.transforms.stream_hours import stream_hours
from tiktok_pipeline.transforms.streams import streams
from tiktok_pipeline.transforms.vendor_usage import vendor_usage
from tiktok_pipeline_tests.providers.mutations import TOKENS

START = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 2
END = START + timedelta(days=DAYS)

Frames = dict[str, pl.DataFrame]
Damage = Callable[[Frames, str, random.Random], Frames]

# Tables and columns in which one creator's numbers depend on other creators: ranks, shares, percentiles, and interval
# errors that are shared between creators.
_POOLED = {
    "stream_lift": ("lift", "lift_lo", "lift_hi", "lift_pct", "lift_per_hour", "interval_level", "observable",
                    "is_significant", "flags"),
    "stream_hours": ("lift",),
    "creator_hours": ("lift",),
    "creator_days": ("lift", "lift_streams"),
}  # fmt: skip
_ABOUT_ALL = ("leaderboard", "gift_estimates", "vendor_usage", "payload_shapes")


@dataclass(frozen=True)
class World:
    """Two days of a sandbox: raw rows by table, and the polled handles."""

    raw: Frames
    handles: tuple[str, ...]


@dataclass
class Tried:
    """Results of a run of damaged worlds."""

    worlds: int = 0
    rows_compared: int = 0
    quarantined: int = 0
    failures: list[str] = field(default_factory=list)


def capture(folder: Path, *, creators_watched: int = 5) -> World:
    """Poll a sandbox for two days: live states, profiles, posts, stories, followers, rankings, searches."""
    with start_in_process(seed=3, creators=creators_watched, start=START, faults="none") as sandbox:
        targets = [Target(c.handle, c.handle, c.user_id) for c in sandbox.world.creators if c.kind == "public"]
        here = Deployment(Lake(folder), Settings(), accesses(sandbox.environment), targets)
        hours = hours_between(START, END)
        replay_hours(here, RAW_LIVES, hours, kind="watch")
        for table in RAW_TABLES:
            if table is not RAW_LIVES:
                replay_hours(here, table, hours, kind="sweep", every_hours=EVERY_HOURS[table.name])
        raw = {table.name: here.lake.scan_raw(table, hours).collect() for table in RAW_TABLES}
    return World(raw, tuple(target.creator_id for target in targets if target.creator_id))


def derive(raw: Frames, handles: tuple[str, ...]) -> Frames:
    """Return every table derived from these raw rows, by name, as the assets make them."""
    settings = Settings()
    bodies: dict[str, Frames] = {}
    shapes, requests = [], []
    for name, rows in raw.items():
        dated, implausible = correct_ages(rows, name)
        read = read_bodies(dated, name, hash_key=b"a test")
        read["quarantine"] = pl.concat([read["quarantine"], implausible])
        bodies[name] = read
        requests.append(requests_of(dated, TABLES[name]))
        shapes.append(payload_shapes(dated, bodies=500))
    all_requests = pl.concat(requests)
    found = {table.name: pl.concat([read[table.name] for read in bodies.values()]) for table in NORMALIZED}
    seen = sightings(found["profile_observations"], all_requests)
    known = accounts(seen.lazy(), {})
    others = other_accounts(found, all_requests, known, seen.clear())
    sound = [make_sound(expel(read, others, name), name) for name, read in bodies.items()]
    made = {table.name: pl.concat([each[table.name] for each in sound]) for table in NORMALIZED}
    made |= {"payload_shapes": merge_shapes(shapes), "account_sightings": seen}
    profiles = doubted(profile_existence(all_requests), seen, known)
    made["live_observations"] = settle_absences(made["live_observations"], profiles)
    return made | marts(made, handles, settings, known) | {"vendor_usage": vendor_usage(pl.concat(raw.values()))}


def marts(made: Frames, handles: tuple[str, ...], settings: Settings, accounts_known: Identities) -> Frames:
    """Return every mart of these normalized tables except `vendor_usage`, which is made from raw rows."""
    live, profiles, posts = (made[f"{name}_observations"] for name in ("live", "profile", "post"))
    days = [(START + timedelta(days=n)).date() for n in range(DAYS)]
    roster = pl.DataFrame(
        {"creator_id": handles, "handle": handles, "niche": ["art"] * len(handles), "tier": ["a"] * len(handles),
         "user_id": [""] * len(handles), "sec_uid": [""] * len(handles)}
    )  # fmt: skip
    found = streams(live, settings=settings.streams, as_of=END)
    lift = stream_lift(found, profiles, live, posts, settings=settings.lift, as_of=END)
    clips = recaps(posts, found, settings=settings.recaps)
    known = creators(roster, profiles, accounts_known, made["account_sightings"].lazy())
    hours = stream_hours(found, lift, live, settings=settings.streams)
    covered = coverage(live, pl.Series("creator_id", handles), pl.DataFrame({"day": days}))
    signals = gift_signals(found, lift, clips, live, known)
    no_gifts = pl.DataFrame(schema={"stream_id": pl.String, "diamonds": pl.Float64})
    return {
        "streams": found,
        "stream_lift": lift,
        "recaps": clips,
        "creators": known,
        "stream_hours": hours,
        "creator_hours": creator_hours(hours),
        "coverage": covered,
        "stories": stories(made["story_observations"]),
        "stream_conversions": stream_conversions(found, made["follower_list_entries"], settings=settings.conversions),
        "gift_estimates": pl.concat(gift_estimates(day, signals, no_gifts) for day in days),
        "leaderboard": pl.concat(leaderboard(found, lift, clips, known, day) for day in days),
        "creator_days": pl.concat(
            creator_days(
                day, streams=found, hours=hours, lift=lift, coverage=covered, profiles=profiles, creators=known
            )
            for day in days
        ),
    }


def faults(made: Frames) -> list[str]:
    """Return the failed checks."""
    found = []
    for name, frame in made.items():
        table = TABLES[name]
        verdict = contract(table, frame, latest=END + timedelta(days=1))
        if verdict.passed and name in RULES:
            verdict = verdict.also(identities(table, frame))
        if not verdict.passed:
            found.append(f"{verdict.message} {verdict.examples}")
    return found


def differences(made: Frames, plain: Frames, odd: str) -> tuple[list[str], int]:
    """Return (tables with changed rows of creators other than `odd`, number of compared rows)."""
    changed, compared = [], 0
    for name, frame in plain.items():
        if name in _ABOUT_ALL:
            continue
        found, expected = (_of_others(each, name, odd) for each in (made[name], frame))
        compared += expected.height
        if not found.equals(expected):
            changed.append(
                f"{name}: {found.height} rows of other creators instead of {expected.height}, or other values"
            )
    return changed, compared


def _of_others(frame: pl.DataFrame, name: str, odd: str) -> pl.DataFrame:
    rows = frame.filter(pl.col("creator_id") != odd).drop(_POOLED.get(name, ()))
    return rows.sort([name for name in TABLES[name].key if name in rows.columns], nulls_last=True)


# Damage to bodies


def _paths(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path for key, value in below for path in ((*at, key), *_paths(value, (*at, key)))]


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def _get(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


_MARK = "@@damage@@"
_TIMES = (
    -1, 0, 1, 946684800, 1451606399, 1, 4102444800, 4102444800000, 253402300799, 10**18, "2099-01-01T00:00:00Z",
    "2015-06-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", int(END.timestamp()) + 3600,
    int(START.timestamp()) - 86_400 * 90, int(START.timestamp()) + 100, int(START.timestamp()) * 1000,
)  # fmt: skip
_COUNTS = (-1, -(2**31), 2**31, 2**53, 2**63 - 1, 2**63, 10**12, 10**13, 10**10 + 1, "1.2M", "12,5K", "-5", 0.5, 1e300)


def _tokens(tree: Any, chance: random.Random, _: list[Any]) -> str:
    """Put odd JSON at up to three places."""
    chosen = []
    for _n in range(chance.randrange(1, 4)):
        paths = _paths(tree)
        if paths:
            _put(tree, chance.choice(paths), _MARK + str(len(chosen)))
            chosen.append(chance.choice(TOKENS))
    text = json.dumps(tree, ensure_ascii=False)
    for number, token in enumerate(chosen):
        text = text.replace(f'"{_MARK}{number}"', token)
    return text


def _repeat(tree: Any, chance: random.Random, _: list[Any]) -> str:
    """Repeat items of lists, some of them with other values."""
    for path in _paths(tree):
        found = _get(tree, path)
        if isinstance(found, list) and found:
            again = json.loads(json.dumps(found * chance.randrange(2, 4)))
            chance.shuffle(again)
            _put(tree, path, again)
            break
    return _numbers(tree, chance, []) if chance.random() < 0.5 else json.dumps(tree)


def _one_id(tree: Any, chance: random.Random, ids: list[Any]) -> str:
    """Give all items the same id, or ids of other creators' items."""
    value = chance.choice(ids) if ids and chance.random() < 0.7 else "7706328393213545217"
    for path in _paths(tree):
        if path[-1] in ("id", "id_str", "aweme_id", "video_id", "entityId", "roomId", "room_id", "videoId", "postId"):
            old = _get(tree, path)
            if isinstance(old, str | int) and len(str(old)) > 12:
                _put(tree, path, int(value) if isinstance(old, int) else value)
    return json.dumps(tree)


def _times(tree: Any, chance: random.Random, _: list[Any]) -> str:
    """Put odd times into time fields."""
    for path in _paths(tree):
        old = _get(tree, path)
        is_time = (isinstance(old, int) and not isinstance(old, bool) and 1.5e9 < old < 2e12) or (
            isinstance(old, str) and old[:2] == "20" and "T" in old
        )
        if is_time and chance.random() < 0.7:
            _put(tree, path, chance.choice(_TIMES))
    return json.dumps(tree)


def _numbers(tree: Any, chance: random.Random, _: list[Any]) -> str:
    """Put odd counts into number fields."""
    for path in _paths(tree):
        old = _get(tree, path)
        if isinstance(old, int) and not isinstance(old, bool) and chance.random() < 0.3:
            _put(tree, path, chance.choice(_COUNTS))
    return json.dumps(tree)


_KINDS = (_tokens, _repeat, _one_id, _times, _numbers)


def damage_bodies(raw: Frames, odd: str, chance: random.Random) -> Frames:
    """Return `raw` with bodies of `odd` damaged: by one kind, or by all kinds at once."""
    kinds = [chance.choice(_KINDS)] if chance.random() < 0.7 else list(_KINDS)
    share, ids = chance.choice((0.02, 0.3, 1.0)), _ids_of_others(raw, odd)
    damaged = {}
    for name, rows in raw.items():
        bodies = [
            _damaged(body, chance.choice(kinds), chance, ids)
            if body and creator in (odd, None) and chance.random() < share
            else body
            for creator, body in rows.select("creator_id", "body").iter_rows()
        ]
        damaged[name] = rows.with_columns(pl.Series("body", bodies, dtype=pl.String))
    return damaged


def _damaged(
    body: str, kind: Callable[[Any, random.Random, list[Any]], str], chance: random.Random, ids: list[Any]
) -> str:
    try:
        tree = json.loads(body)
    except ValueError:
        return body
    # As it lands: text, with a replacement character for invalid UTF-8.
    return kind(tree, chance, ids).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _ids_of_others(raw: Frames, odd: str) -> list[Any]:
    """Return ids of other creators' posts and stories, which a response may claim."""
    others = pl.concat([raw[name].filter(pl.col("creator_id") != odd) for name in ("raw_posts", "raw_stories")])
    found = others["body"].drop_nulls().str.extract_all(r"7\d{18}").explode().drop_nulls().unique().sort()
    return found.head(200).to_list()


def damage_rows(raw: Frames, odd: str, chance: random.Random) -> Frames:
    """Return `raw` with odd values in the columns that come from headers and retries."""
    of_odd = pl.col("creator_id") == odd
    ages = (timedelta(days=3650), timedelta(hours=-3), timedelta(hours=23), timedelta(days=1), timedelta(seconds=9))
    charges = (math.nan, math.inf, -math.inf, -5.0, 1e300, None)
    damaged = {}
    for name, rows in raw.items():
        height = rows.height
        age = pl.Series([chance.choice(ages) for _ in range(height)], dtype=pl.Duration("us"))
        odd_rows = rows.with_columns(
            observed_at=pl.when(of_odd).then(pl.col("received_at") - age).otherwise("observed_at"),
            credits=pl.when(of_odd)
            .then(pl.Series([chance.choice(charges) for _ in range(height)], dtype=pl.Float64))
            .otherwise("credits"),
            page=pl.when(of_odd & (pl.col("page") > 0)).then(pl.lit(2**31 - 1)).otherwise("page").cast(pl.Int32),
        )
        again = odd_rows.filter(of_odd).sample(fraction=0.2, seed=chance.randrange(10**6))
        damaged[name] = pl.concat([odd_rows, again])
    return damaged


DAMAGES: tuple[Damage, ...] = (damage_bodies, damage_rows)


def try_worlds(world: World, tries: int, seed: int, *, say: Callable[[str], None] = lambda text: None) -> Tried:
    """Damage one creator's responses `tries` times, derive everything, and collect violations."""
    tried, plain = Tried(), derive(world.raw, world.handles)
    tried.failures += faults(plain)
    for number in range(tries):
        chance = random.Random(f"{seed}/{number}")
        odd, raw = chance.choice(world.handles), world.raw
        for damage in DAMAGES if chance.random() < 0.3 else (chance.choice(DAMAGES),):
            raw = damage(raw, odd, chance)
        try:
            made = derive(raw, world.handles)
        except Exception as error:
            tried.failures.append(f"seed {seed}/{number}: {type(error).__name__}: {error}")
            continue
        finally:
            tried.worlds += 1
        changed, compared = differences(made, plain, odd)
        tried.rows_compared += compared
        tried.quarantined += made["quarantine"].height
        tried.failures += [f"seed {seed}/{number}: {fault}" for fault in (*faults(made), *changed)]
        say(f"{tried.worlds} worlds, {len(tried.failures)} failures")
    return tried


def odd_frames(made: Mapping[str, pl.DataFrame], odd: str, chance: random.Random) -> Frames:
    """Return normalized tables with odd values of every type in rows of `odd`, as a reader without any rule would
    make.
    """
    damaged = {}
    for name, frame in made.items():
        odd_part = frame.filter(pl.col("creator_id").eq_missing(odd))
        if odd_part.is_empty() or name == "payload_shapes":
            damaged[name] = frame
            continue
        rows = odd_part.to_dicts()
        columns = [c for c in TABLES[name].columns if c.name not in ("creator_id", "vendor", "capture_id", "source")]
        for row in rows:
            for column in columns:
                if chance.random() < 0.15 and (column.nullable or column.dtype != pl.Datetime("us", "UTC")):
                    row[column.name] = _odd(column.name, column.dtype, row, chance)
        again = [dict(chance.choice(rows)) for _ in range(len(rows) // 5 + 1)]
        everything = [*rows, *again]
        chance.shuffle(everything)
        damaged[name] = pl.concat(
            [frame.filter(~pl.col("creator_id").eq_missing(odd)), pl.DataFrame(everything, schema=frame.schema)]
        )
    return damaged


def _odd(name: str, dtype: pl.DataType, row: dict[str, Any], chance: random.Random) -> Any:
    if name in ("live_state", "evidence", "list", "table", "reason"):  # Words of our own, not of a vendor.
        return row[name]
    if name == "followers_precision":
        return chance.choice(("exact", "rounded", None))
    if dtype == pl.Int64():
        return chance.choice((-1, 0, 1, 2**63 - 1, -(2**63), 10**12, 10**10, 7))
    if dtype == pl.Float64():
        return chance.choice((math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300))
    if dtype == pl.Boolean():
        return chance.random() < 0.5
    if dtype == pl.String():
        values: tuple[Any, ...] = ("", " ", "0", "x" * 5_000, "\0", "7706328393213545217", "ünï🔥")
        return chance.choice(values)
    moment = row["observed_at"]
    return chance.choice(
        (
            datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC),
            moment + timedelta(hours=2), moment - timedelta(days=70), moment - timedelta(hours=1), moment,
            moment + timedelta(minutes=5), moment - timedelta(days=4),
        )
    )  # fmt: skip


def try_frames(world: World, tries: int, seed: int) -> Tried:
    """Do as `try_worlds`, with damage to the normalized rows instead of the bodies."""
    tried, plain = Tried(), derive(world.raw, world.handles)
    names = [table.name for table in NORMALIZED]
    for number in range(tries):
        chance = random.Random(f"frames {seed}/{number}")
        odd = chance.choice(world.handles)
        damaged = odd_frames({name: plain[name] for name in names}, odd, chance)
        tried.worlds += 1
        try:
            sound = make_sound(damaged, "raw_lives")
            sound["account_sightings"] = plain["account_sightings"]
            known = accounts(plain["account_sightings"].lazy(), {})
            made = sound | marts(sound, world.handles, Settings(), known)
        except Exception as error:
            tried.failures.append(f"frames {seed}/{number}: {type(error).__name__}: {error}")
            continue
        changed, compared = differences(made, {name: plain[name] for name in made}, odd)
        tried.rows_compared += compared
        tried.quarantined += made["quarantine"].height
        tried.failures += [f"frames {seed}/{number}: {fault}" for fault in (*faults(made), *changed)]
    return tried


def main() -> None:
    """Try the given number of damaged worlds, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = capture(Path(folder))
    begun = time.perf_counter()
    for tried in (try_worlds(world, options.tries, options.seed), try_frames(world, options.tries, options.seed)):
        print(
            f"{tried.worlds} worlds in {time.perf_counter() - begun:.0f} s: {tried.rows_compared:,} rows of others "
            f"compared, {tried.quarantined:,} rows in quarantine, {len(tried.failures)} failures"
        )
        for failure in tried.failures[:20]:
            print(failure[:1_000])
        if tried.failures:
            sys.exit(1)


if __name__ == "__main__":
    main()
