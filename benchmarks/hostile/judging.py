"""Compare the results of a replay with the sandbox's log and its damage: return a list of violations.

Files of the lake are read as Parquet, not through the pipeline's own code.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from urllib.request import urlopen

import polars as pl

from benchmarks.hostile.reader import Expected, expected
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.server import VENDORS, RunningSandbox
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.vendor import Request, Vendor
from tiktok_pipeline.tables import TABLES
from tiktok_pipeline.transforms.observations import read_bodies

# Damage that keeps the rest of the body readable: every other value of the body must be found.
_READABLE = frozenset(
    (
        *(
            "type",
            "absent",
            "number",
            "not_a_number",
            "surrogate",
            "text",
            "nesting_10",
            "duplicate_key",
            "bom",
            "count",
        ),
        *("count_as_text", "flag", "time", "handle", "id", "cursor", "has_more", "state", "price", "one_id", "emptied"),
        *("repeated_item", "null_item", "odd_item", "reversed", "many_items"),
    )
)
# Damage that changes the list but keeps each item.
_ITEMS_STAY = frozenset(("repeated_item", "null_item", "odd_item", "reversed", "many_items"))
# Headers that do not affect whether the body is good.
_HEADERS_THAT_DO_NOT_MATTER = frozenset(("value", "twice", "absent"))
_TOO_LONG = "x-long"  # A client may refuse a header of 100,000 bytes.
_STRANGERS = frozenset(("another_creator", "another_creator_under_this_handle"))
# Bodies that name their account in one place for the whole body.
_SAY_WHOSE = (
    "/live",
    "/live/info",
    "{handle}",
    "{username}",
    "/userinfo-by-username/",
    "/userinfo-by-id/",
    "/user/info",
)

_SAME_STREAM = timedelta(minutes=5)
_EXAMPLES = 8
# Highest share of readings that may be withheld because their account is unknown, with 5 % of responses damaged.
_MOST_WITHHELD = 0.03


@dataclass
class Judged:
    """Results of the comparison."""

    requests: int = 0
    landed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    # Kind of damage ("" for undamaged responses) -> [expected, present].
    readings: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    quarantined: Counter[str] = field(default_factory=Counter)
    # Readings of responses without an account, in quarantine because a response about another account is near.
    withheld: int = 0
    streams_true: int = 0
    streams_found: int = 0
    streams_invented: int = 0
    broken: list[str] = field(default_factory=list)


def judge(sandbox: RunningSandbox, home: Path, start: datetime, end: datetime) -> Judged:
    """Compare the results of a replay of [start, end) in `home` with all checkable expectations.

    If nothing was published, raw is read here, so that lost readings are named too; accounts and streams, which are
    judged when a day is derived, are then not compared.
    """
    derived = (home / "warehouse" / "tiktok.duckdb").exists()
    judged = Judged()
    log, faults = (_truth(sandbox, name) for name in ("log", "faults"))
    raw = _raw(home / "lake")
    judged.requests, judged.landed = len(log), raw.height
    judged.outcomes = Counter(raw["outcome"].to_list())
    judged.damaged = Counter(f"{row['part']}: {row['kind']}" for row in faults)
    judged.broken += _not_landed(log, raw)
    judged.broken += _requests_caused_by_bodies(sandbox, log, raw)
    judged.broken += _odd_credits(raw)
    tables = {name: _normalized(home / "lake", name) for name in _NORMALIZED} if derived else _read(home / "lake")
    _compare(sandbox, log, faults, raw, tables, judged)
    if derived:
        judged.broken += _strangers_accepted(faults, log, raw, tables)
    judged.broken += _impossible(tables, start, end)
    judged.quarantined = Counter(tables["quarantine"]["reason"].to_list())
    if derived:
        _streams(sandbox, home, start, end, judged)
    return judged


def _truth(sandbox: RunningSandbox, name: str) -> list[dict[str, Any]]:
    with urlopen(f"{sandbox.url}/truth/{name}") as response:
        rows: list[dict[str, Any]] = json.loads(response.read())
    for row in rows:
        row["at"] = datetime.fromisoformat(row["at"])
    return rows


def _raw(lake: Path) -> pl.DataFrame:
    columns = ("capture_id", "vendor", "endpoint", "creator_id", "subject", "cursor", "requested_at", "observed_at")
    files = sorted((lake / "raw").glob("*/date=*/hour=*/*.parquet"))
    frames = [pl.read_parquet(file, columns=[*columns, "outcome", "credits"]) for file in files]
    return pl.concat(frames).unique("capture_id").sort("requested_at")


_COMPARED = (
    "live_observations",
    "profile_observations",
    "story_observations",
    "post_observations",
    "live_ranking_entries",
)
_NORMALIZED = (*_COMPARED, "quarantine")


def _normalized(lake: Path, table: str) -> pl.DataFrame:
    files = sorted((lake / "normalized" / table).glob("date=*/*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]) if files else TABLES[table].empty()


def _read(lake: Path) -> dict[str, pl.DataFrame]:
    """Return the normalized tables as the pipeline reads raw, with or without a derived day."""
    found: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
    for folder in sorted((lake / "raw").iterdir()):
        raw = pl.concat([pl.read_parquet(file) for file in sorted(folder.glob("date=*/hour=*/*.parquet"))])
        for name, frame in read_bodies(raw, folder.name, hash_key=b"benchmark").items():
            found[name].append(frame)
    return {name: pl.concat(frames) for name, frames in found.items()}


def _not_landed(log: list[dict[str, Any]], raw: pl.DataFrame) -> Iterator[str]:
    """Return requests of the server's log without a row, and rows without a logged request.

    A request over a connection that the server has just closed never arrives: its row is a network error.
    """
    logged = Counter(_key(row) for row in log)
    found = Counter(_captured(row) for row in raw.iter_rows(named=True))
    arrived = Counter(_captured(row) for row in raw.filter(pl.col("outcome") != "network_error").iter_rows(named=True))
    for violation, keys in (
        ("requests without a row", logged - found),
        ("rows of requests never made", arrived - logged),
    ):
        by_endpoint = Counter({key[:2]: 0 for key in keys})
        for key, number in keys.items():
            by_endpoint[key[:2]] += number
        for (vendor, endpoint), number in sorted(by_endpoint.items()):
            example = next(key for key in keys if key[:2] == (vendor, endpoint))
            yield f"{vendor} {endpoint}: {number} {violation}, such as {example[2]!r} at {example[4]}"


def _requests_caused_by_bodies(sandbox: RunningSandbox, log: list[dict[str, Any]], raw: pl.DataFrame) -> Iterator[str]:
    """Return requests that a vendor's body caused: unknown routes, and creators polled under another's name."""
    unknown = Counter(row["subject"] for row in log if row["endpoint"] == "unknown")
    if unknown:
        yield f"{unknown.total()} requests to routes that no vendor has, such as {unknown.most_common(3)}"
    owners: dict[str, str] = {}
    for creator in sandbox.world.creators:
        owners |= dict.fromkeys((creator.handle, creator.renamed_to or creator.handle, creator.user_id), creator.handle)
    for subject in raw.filter(pl.col("endpoint").str.contains("/live/"))["subject"].unique():
        room = sandbox.world.find_room(subject)
        if room is not None:
            owners[subject] = room[0].handle
    known = raw.filter(pl.col("creator_id").is_not_null()).select("creator_id", "subject").iter_rows()
    others = Counter(
        (creator_id, subject)
        for creator_id, subject in known
        if owners.get(subject.lstrip("@").lower(), creator_id) != creator_id
    )
    if others:
        yield f"{others.total()} requests for a creator under the name or id of another: {others.most_common(3)}"
    numbers_or_handles = raw["subject"].str.contains(r"^@?[A-Za-z0-9_.:]{1,40}$")
    odd = raw.filter(~numbers_or_handles)["subject"].unique().to_list()
    if odd:
        yield f"requests for subjects without TikTok's form: {odd[:5]}"


def _odd_credits(raw: pl.DataFrame) -> Iterator[str]:
    odd = raw.filter(pl.col("credits").is_nan() | pl.col("credits").is_infinite() | (pl.col("credits") < 0))
    if odd.height:
        yield f"{odd.height} raw rows with impossible credits: {odd['credits'].unique().to_list()[:5]}"


def _compare(
    sandbox: RunningSandbox,
    log: list[dict[str, Any]],
    faults: list[dict[str, Any]],
    raw: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    judged: Judged,
) -> None:
    """Compare each undamaged reading with the normalized rows of its capture."""
    vendors = {kind.name: kind(sandbox.world, Ledger()) for kind in VENDORS}
    harmed = {_key(row): row for row in faults}
    captures = _captures(raw)
    creators = dict(raw.select("capture_id", "creator_id").iter_rows())
    rows: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for name in _COMPARED:
        for row in tables[name].iter_rows(named=True):
            rows[name, row["capture_id"]].append(row)
    suspected = set(tables["quarantine"].filter(pl.col("reason") == "another account")["capture_id"])
    accounts = {
        creator.handle: (creator.user_id.encode(), creator.sec_uid.encode()) for creator in sandbox.world.creators
    }
    lost: defaultdict[str, list[str]] = defaultdict(list)
    for logged_request in log:
        if logged_request["status"] == 0 or logged_request["endpoint"] == "unknown":
            continue
        harm = harmed.get(_key(logged_request))
        kind = "" if harm is None else f"{harm['part']}: {harm['kind']}"
        capture = captures.get(_key(logged_request))
        room = sandbox.world.find_room(logged_request["subject"])
        if room is not None and capture is not None and room[0].handle != creators[capture]:
            continue  # The room of another creator: none of it may be read.
        body, readings = _expected(vendors[logged_request["vendor"]], logged_request, harm)
        # The account of such a response is unknown: it must not be read, and must be rare.
        if capture in suspected and not any(one in body for one in accounts[creators[capture]]):
            judged.withheld += len(readings)
            continue
        for reading in readings:
            found = [] if capture is None else rows[reading.table, capture]
            difference = _missing(reading, found)
            judged.readings[kind][0] += 1
            judged.readings[kind][1] += difference is None
            if difference is not None:
                path = "" if harm is None else f" (damaged at {harm['path'] or 'the whole body'})"
                lost[kind].append(
                    f"{logged_request['vendor']} {logged_request['endpoint']} {logged_request['subject']} "
                    f"{logged_request['at']:%m-%d %H:%M:%S.%f}{path}: "
                    f"{reading.table}: {difference}"
                )
    promised = sum(wanted for wanted, _ in judged.readings.values())
    if judged.withheld > _MOST_WITHHELD * promised:
        judged.broken.append(f"{judged.withheld} readings withheld beside {promised}, because they name no account")
    for kind, examples in sorted(lost.items()):
        wanted, present = judged.readings[kind]
        judged.broken.append(f"{wanted - present} of {wanted} readings lost, {kind or 'undamaged responses'}")
        judged.broken += [f"    {example}" for example in examples[:_EXAMPLES]]


_Key = tuple[str, str, str, str, datetime]


def _key(row: Mapping[str, Any]) -> _Key:
    """Return the common key of a request on the server and its row; two pages of a walk may have the same instant."""
    # A ranking's subject is the region on the server, and list and region in raw.
    if row["endpoint"].endswith("/ranking"):
        query = dict(parse_qsl(row.get("query", "")))
        region = f"{query['rank_type']}:{query['region']}" if query else row["subject"]
        subject = region.replace("0:", "hourly:").replace("8:", "daily:")
    else:
        subject = str(row["subject"]).lstrip("@").lower()
    query = dict(parse_qsl(row.get("query", "")))
    cursor = row["cursor"] if "cursor" in row else query.get("cursor", query.get("time"))
    return row["vendor"], row["endpoint"], subject, "" if cursor in (None, "0") else str(cursor), row["at"]


def _captured(row: Mapping[str, Any]) -> _Key:
    return _key({**row, "at": row["requested_at"]})


def _captures(raw: pl.DataFrame) -> dict[_Key, str]:
    return {_captured(row): row["capture_id"] for row in raw.iter_rows(named=True)}


def _expected(
    vendor: Vendor, logged_request: Mapping[str, Any], harm: Mapping[str, Any] | None
) -> tuple[bytes, list[Expected]]:
    """Return the undamaged body, and the expected readings: all of them, or those that the damage did not touch."""
    query = dict(parse_qsl(logged_request["query"], keep_blank_values=True))
    if harm is not None:
        if harm["part"] == "connection" or harm["kind"] in _STRANGERS or harm["path"] == _TOO_LONG:
            return b"", []
        if harm["part"] == "headers" and harm["kind"] not in _HEADERS_THAT_DO_NOT_MATTER:
            return b"", []
        if harm["part"] == "body" and harm["kind"] not in _READABLE:
            return b"", []
    request = Request(logged_request["endpoint"], logged_request["subject"], query, logged_request["at"])
    response = vendor.endpoints()[logged_request["endpoint"]](request)
    readings = expected(vendor.name, logged_request["endpoint"], response.status, response.body)
    if harm is None or harm["part"] == "headers" or harm["kind"] == "bom" or harm["kind"] in _ITEMS_STAY:
        return response.body, readings
    return response.body, [rest for reading in readings if (rest := reading.without(harm["path"])) is not None]


def _missing(reading: Expected, found: list[dict[str, Any]]) -> str | None:
    """Return why the rows of a capture do not contain a reading; None if they do."""
    wanted = {name: value for name, (value, _) in reading.fields.items()}
    rows = found
    if reading.key is not None:
        rows = [row for row in found if row[reading.key] == wanted[reading.key]]
    if not rows:
        return (
            f"no row{'' if reading.key is None else ' of ' + str(wanted[reading.key])} ({len(found)} of the response)"
        )
    differences = [
        {name: (value, row[name]) for name, value in wanted.items() if row[name] != value and value != ""}
        for row in rows
    ]
    best = min(differences, key=len)
    return None if not best else f"expected and found: {best}"


def _strangers_accepted(
    faults: list[dict[str, Any]], log: list[dict[str, Any]], raw: pl.DataFrame, tables: Mapping[str, pl.DataFrame]
) -> Iterator[str]:
    """Return responses about another creator whose readings were stored under the requested creator."""
    captures = _captures(raw)
    strangers = {
        captures[_key(row)]: row
        for row in faults
        if row["kind"] in _STRANGERS and row["endpoint"].endswith(_SAY_WHOSE) and _key(row) in captures
    }
    accepted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in ("live_observations", "profile_observations"):
        for row in tables[name].filter(pl.col("capture_id").is_in(list(strangers))).iter_rows(named=True):
            if name == "live_observations" and row["live_state"] in ("unknown", "ended"):
                continue
            harm = strangers[row["capture_id"]]
            accepted[harm["vendor"], harm["endpoint"]].append(f"{harm['subject']} {harm['at']} {harm['kind']} {name}")
    for (vendor, endpoint), examples in accepted.items():
        yield f"{len(examples)} readings of another creator accepted from {vendor} {endpoint}: {examples[:3]}"


def _impossible(tables: Mapping[str, pl.DataFrame], start: datetime, end: datetime) -> Iterator[str]:
    """Return impossible values."""
    for name in _COMPARED:
        table = tables[name]
        outside = table.filter(
            (pl.col("observed_at") < start - timedelta(minutes=10)) | (pl.col("observed_at") > end + timedelta(hours=1))
        )
        if outside.height:
            yield f"{name}: {outside.height} rows observed outside the replay, such as {outside['observed_at'][0]}"
        for column, dtype in table.schema.items():
            if dtype == pl.Int64 and table.filter(pl.col(column) < 0).height:
                yield f"{name}: negative {column}"
            if column in ("published_at", "started_at") and dtype.is_temporal():
                odd = table.filter(
                    (pl.col(column) < datetime(2016, 1, 1, tzinfo=UTC)) | (pl.col(column) > end + timedelta(days=1))
                )
                if odd.height:
                    yield f"{name}: {odd.height} rows with an impossible {column}, such as {odd[column][0]}"
    live = tables["live_observations"]
    backward = live.filter(pl.col("ended_at") < pl.col("started_at"))
    if backward.height:
        yield f"live_observations: {backward.height} rows end before they start"


def _streams(sandbox: RunningSandbox, home: Path, start: datetime, end: datetime, judged: Judged) -> None:
    """Check that streams of public creators within the span are found exactly once, and that no other is found."""
    found = pl.concat(
        [pl.read_parquet(file) for file in sorted((home / "lake" / "marts" / "streams").glob("date=*/*.parquet"))]
    )
    world = sandbox.world
    by_handle = {creator.handle: creator for creator in world.creators}
    margin = timedelta(minutes=15)
    true: list[TrueStream] = [
        stream
        for creator in world.creators
        if creator.kind == "public"
        for stream in world.streams(creator, start, end)
        if stream.started_at > start + _SAME_STREAM
        and stream.ended_at < end - margin
        and stream.ended_at - stream.started_at > margin / 2
    ]
    rows = found.rows(named=True)
    for stream in true:
        matches = [
            row
            for row in rows
            if row["creator_id"] == stream.creator.handle
            and row["started_at"] < stream.ended_at
            and row["ended_at_lo"] > stream.started_at - _SAME_STREAM
        ]
        judged.streams_found += len(matches) == 1
        if len(matches) > 1:
            judged.broken.append(f"{len(matches)} streams for one: {stream.creator.handle} at {stream.started_at}")
    judged.streams_true = len(true)
    for row in rows:
        first, last = row["started_at"] - timedelta(minutes=1), row["ended_at_lo"] + timedelta(minutes=1)
        if not world.streams(by_handle[row["creator_id"]], first, last):
            judged.streams_invented += 1
            judged.broken.append(f"an invented stream: {row['stream_id']} from {first} to {last}")
