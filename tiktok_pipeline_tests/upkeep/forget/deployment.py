"""A small deployment that names one creator in every place, and a search over all its bytes."""

import contextlib
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from tiktok_pipeline import tables
from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.lake.remembered import Remembered
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.exports import export
from tiktok_pipeline.publish.report.page import write_report
from tiktok_pipeline_tests.commands.command_line import run_here
from tiktok_pipeline_tests.publish.report import rosters
from tiktok_pipeline_tests.transforms.frames import frame

CREATOR, RENAMED = "zoe.live7", "zoe_now7"
USER_ID, SEC_UID, NAME = "6912345678901234567", "MS4wLjABAAAAzoeSecUid0001", "Zoë Brightwater"
TERMS = (CREATOR, RENAMED, USER_ID, SEC_UID, NAME)
HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)
KEY = "a hash key of this test"

ANN_POSTS = {"data": {"posts": [
    {"id": "7100000000000000001", "caption": f"with @{RENAMED} today", "author": {"uniqueId": "ann"}},
    {"id": "7100000000000000002", "caption": "mine", "text_extra": [{"user_unique_id": CREATOR, "sec_uid": SEC_UID}]},
    {"id": "7100000000000000003", "caption": "a repost", "author": {"uniqueId": RENAMED, "nickname": NAME}},
]}}  # fmt: skip
HITS = {"user_list": [
    {"user_info": {"uid": USER_ID, "unique_id": RENAMED, "nickname": NAME}},
    {"user_info": {"uid": "6900000000000000002", "unique_id": "ann", "nickname": "Ann"}},
]}  # fmt: skip


@dataclass
class Deployment:
    """Paths of the deployment, and the environment of its commands."""

    root: Path
    postgres_url: str | None

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        home = {
            "TIKTOK_PIPELINE_HOME": str(self.root / "home"),
            "TIKTOK_PIPELINE_ROSTER": str(self.root / "roster.csv"),
            "TIKTOK_PIPELINE_SETTINGS": str(self.root / "settings.toml"),
            "TIKTOK_PIPELINE_HASH_KEY": KEY,
            "DAGSTER_HOME": str(self.root / "dagster"),
        }
        if self.postgres_url is not None:
            home["TIKTOK_PIPELINE_POSTGRES_URL"] = self.postgres_url
        return kept | home

    @property
    def places(self) -> Places:
        return Places.from_environment(self.environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_here(arguments, self.environment, self.root)


def build(root: Path, postgres_url: str | None = None) -> Deployment:
    """Fill `root` with a deployment that names the creator everywhere."""
    made = Deployment(root, postgres_url)
    root.mkdir(parents=True, exist_ok=True)
    (root / "roster.csv").write_text(f"handle,niche,user_id\nann,art,\n{CREATOR},music,{USER_ID}\n")
    (root / "gifts.csv").write_text(f"stream_id,diamonds\nann:1,5\n{CREATOR}:1,6\n")
    (root / "settings.toml").write_text(f'[gifts]\nknown_streams = "{root / "gifts.csv"}"\n')
    home = root / "home"
    rosters.small(home)
    lake = Lake(home / "lake")
    _rename_in_lake(lake)
    _land(lake)
    (lake.staging() / "killed.part").write_text(f"@{RENAMED}")
    Remembered(lake, "follower-index", most=9).put("a", pl.DataFrame({"creator_id": [CREATOR], "handle": [RENAMED]}))
    for keep in (5, 5):
        with duckdb.connect(":memory:") as connection:
            publish(connection, lake, home / "warehouse", now=rosters.AS_OF, keep=keep)
        lake.write_day(tables.COVERAGE, rosters.TODAY, tables.COVERAGE.empty())
    write_report(home / "warehouse" / LINK, home / "report" / "index.html")
    (home / "report" / f".index.html.{os.getpid()}").write_text(NAME)
    for form in ("csv", "xlsx", "parquet"):
        export(home / "warehouse", "creators", form, output=home / f"creators.{form}")  # type: ignore[arg-type]
    if postgres_url is not None:
        postgres.publish(postgres_url, lake, now=rosters.AS_OF)
    dagster_records(root / "dagster")
    return made


def _rename_in_lake(lake: Lake) -> None:
    """Rename the roster's `zoe` to the creator; `ann` mentions them in a title."""
    for path in lake.root.rglob("*.parquet"):
        rows = pl.read_parquet(path, hive_partitioning=False)
        rows = rows.with_columns(pl.col(pl.String).str.replace(r"^zoe(:|$)", f"{CREATOR}$1"))
        if "title" in rows.columns:
            rows = rows.with_columns(title=pl.lit(f"hello @{RENAMED}!"))
        rows.write_parquet(path)
    creators = lake.scan_all(tables.CREATORS).collect()
    is_creator = pl.col("creator_id") == CREATOR

    def of_creator(column: str, value: Any) -> pl.Expr:
        return pl.when(is_creator).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)

    lake.write_whole(
        tables.CREATORS,
        creators.with_columns(
            of_creator("handle", RENAMED),
            of_creator("user_id", USER_ID),
            of_creator("sec_uid", SEC_UID),
            of_creator("display_name", NAME),
            previous_handles=pl.when(is_creator).then(pl.lit([CREATOR])).otherwise("previous_handles"),
        ),
    )
    seen = {"creator_id": CREATOR, "vendor": "konbini", "observed_at": HOUR, "handle": RENAMED, "user_id": USER_ID,
            "sec_uid": SEC_UID, "display_name": NAME, "source": "profile"}  # fmt: skip
    lake.write_day(
        tables.PROFILE_OBSERVATIONS, HOUR.date(), frame(tables.PROFILE_OBSERVATIONS, seen | {"capture_id": "p1"})
    )
    hits = [
        {"keyword": "art", "rank": 1, "handle": RENAMED, "user_id": USER_ID},
        {"keyword": "art", "rank": 2, "handle": "ann", "user_id": "6900000000000000002"},
    ]
    about = {"vendor": "tikliveapi", "observed_at": HOUR, "capture_id": "s1"}
    lake.write_day(tables.SEARCH_HITS, HOUR.date(), frame(tables.SEARCH_HITS, *(about | hit for hit in hits)))


def raw(number: int, creator: str | None, subject: str, body: object, **more: object) -> dict[str, object]:
    """Return a raw row."""
    return {
        "capture_id": f"c{number}", "vendor": "konbini", "endpoint": "/x", "creator_id": creator, "subject": subject,
        "page": 0, "requested_at": HOUR, "received_at": HOUR, "observed_at": HOUR, "attempt": 1, "http_status": 200,
        "outcome": "ok", "body": json.dumps(body), **more,
    }  # fmt: skip


def _land(lake: Lake) -> None:
    lives = [
        raw(1, CREATOR, RENAMED, {"profile": {"handle": RENAMED, "name": NAME, "secUid": SEC_UID}}),
        raw(2, "ann", "ann", {"profile": {"handle": "ann"}, "title": f"raid @{CREATOR}"}),
        raw(3, CREATOR, USER_ID, {}, outcome="network_error"),
    ]
    lake.write_raw(tables.RAW_LIVES, HOUR, "w-0000", frame(tables.RAW_LIVES, *lives))
    lake.write_raw(tables.RAW_POSTS, HOUR, "w-0000", frame(tables.RAW_POSTS, raw(4, "ann", "ann", ANN_POSTS)))
    lake.write_raw(tables.RAW_USER_SEARCHES, HOUR, "w-0000", frame(tables.RAW_USER_SEARCHES, raw(5, None, "art", HITS)))


def dagster_records(home: Path) -> None:
    """Write a run, its events, its log, a tick and a cursor that name the creator."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        with dg.DagsterInstance.get() as instance:
            for handle in (CREATOR, "ann"):
                config = {"ops": {"boundary": {"config": {"due": {handle: "ended", "max": "ended"}}}}}
                done = dg.materialize(
                    [_boundary()], instance=instance, run_config=config, tags={"asked": f"@{handle}"}, partition_key="a"
                )
                log = home / "storage" / done.run_id / "compute_logs" / "boundary.err"
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(f"asked @{handle} and {handle}:7569000123456785195\n")
            _cursor(instance)
    finally:
        del os.environ["DAGSTER_HOME"]


def _boundary() -> dg.AssetsDefinition:
    @dg.asset(
        config_schema={"due": dict},
        partitions_def=dg.StaticPartitionsDefinition(["a"]),
        check_specs=[dg.AssetCheckSpec("completeness", asset="boundary")],
    )
    def boundary(context: dg.AssetExecutionContext) -> Iterator[Any]:
        polled = next(iter(context.op_execution_context.op_config["due"]))
        context.log.warning("Left out of the roster: roster.csv, line 3: @%s is listed twice", polled)
        table = f"| request | times | creators | reason |\n|---|---|---|---|\n| live | 3 | {polled}, max | down |"
        picture = "![lift](data:image/png;base64,iVBORw0KGgo=)"
        yield dg.MaterializeResult(
            metadata={"unanswered": dg.MetadataValue.md(table), "lifts": dg.MetadataValue.md(picture)},
            check_results=[
                dg.AssetCheckResult(
                    check_name="completeness", passed=False, severity=dg.AssetCheckSeverity.WARN,
                    metadata={"examples": dg.MetadataValue.json([f"{polled}", f"2026-11-02 {polled}"])},
                )
            ],
        )  # fmt: skip

    return boundary


def _cursor(instance: dg.DagsterInstance) -> None:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="tiktok_pipeline.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(loadable_target_origin=target)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "go_live")
    on_air = {"since": "2026-11-02T10:00:00Z", "seen": "2026-11-02T10:00:00Z"}
    outbox = {"sent": {f"live:{CREATOR}:2026-11-02T10:00:00+00:00": "2026-11-02T10:00:00Z"}, "repeated": {},
              "waiting": [{"key": f"live:{CREATOR}:2026-11-02T10:00:00+00:00", "text": f"@{RENAMED} is live"},
                          {"key": "live:ann:2026-11-02T10:00:00+00:00", "text": "@ann is live"}]}  # fmt: skip
    cursor = json.dumps({"on_air": {"broadcasts": {CREATOR: on_air, "ann": on_air}, "until": None}, "outbox": outbox})
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData(cursor=cursor)
    )
    instance.add_instigator_state(state)
    instance.create_tick(
        TickData(
            instigator_origin_id=origin.get_id(), instigator_name="go_live", instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED, timestamp=HOUR.timestamp(), cursor=cursor, selector_id=state.selector_id,
            skip_reason=f"@{RENAMED} is live",
        )
    )  # fmt: skip


def go_live_cursor(home: Path) -> dict[str, Any]:
    """Return the cursor as the sensor reads it at its next tick."""
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        with dg.DagsterInstance.get() as instance:
            (state,) = instance.all_instigator_state()
            data = state.instigator_data
            assert isinstance(data, SensorInstigatorData)
            found: dict[str, Any] = json.loads(data.cursor or "")
            return found
    finally:
        del os.environ["DAGSTER_HOME"]


def traces(root: Path, terms: tuple[str, ...] = TERMS) -> dict[str, int]:
    """Return files below `root` that contain a term in any form, with the number of hits: as bytes, and
    decompressed.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            texts = [path.read_bytes(), *_decompressed(path)]
            number = sum(text.lower().count(term.lower().encode()) for text in texts for term in terms)
            if number:
                found[str(path.relative_to(root))] = number
    return found


def _decompressed(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        with contextlib.suppress(pl.exceptions.ComputeError):
            yield pl.read_parquet(path, hive_partitioning=False).cast({pl.Datetime: pl.String}).write_json().encode()
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for (table,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall():
                yield repr(connection.sql(f"SELECT * FROM {table}").fetchall()).encode()
    elif path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif path.suffix == ".db":
        yield from _inflated(path.read_bytes())


def _inflated(raw_bytes: bytes) -> Iterator[bytes]:
    """Return all parts of a file that zlib can decompress."""
    at = raw_bytes.find(b"\x78\x9c")
    while at >= 0:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(raw_bytes[at : at + 2_000_000])
        at = raw_bytes.find(b"\x78\x9c", at + 2)


def postgres_traces(url: str, terms: tuple[str, ...] = TERMS) -> int:
    """Return rows of published tables, and samples of the server's statistics, that contain a term."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace AND relkind = 'r'"
        )
        names = [name for (name,) in cursor.fetchall()]
        texts = [f"SELECT t::text AS line FROM tiktok.{name} t" for name in names]
        texts.append("SELECT s::text FROM pg_stats s WHERE schemaname = 'tiktok'")
        wanted = " OR ".join(f"line ILIKE '%{term.replace('_', chr(92) + '_')}%'" for term in terms)
        cursor.execute(f"SELECT count(*) FROM ({' UNION ALL '.join(texts)}) AS s WHERE {wanted}")
        (count,) = cursor.fetchone()
        connection.rollback()
        return int(count)


def yesterday() -> datetime:
    """Return a past time."""
    return datetime.now(UTC) - timedelta(days=1)
