"""`make demo` and `make dev`: the pipeline on a sandbox, without any account."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import duckdb
import msgspec

from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.commands.dagster_service import give_up_runs, serve_dagster
from tiktok_pipeline.commands.instance import only_program, use_instance
from tiktok_pipeline.commands.ports import require_free_port
from tiktok_pipeline.commands.replay import replay_span
from tiktok_pipeline.commands.terminal_table import TerminalColumn, print_table
from tiktok_pipeline.config.settings import SANDBOX_MARKER, Places
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.sandbox.server import start_in_process

Say = Callable[[str], None]

# The demo ends at least this many days before today: `make dev` continues from there at many times real speed, and
# Dagster has partitions only up to the present.
_DAYS_BEFORE_TODAY = 7

# At many times real speed a window of the default ten minutes would end before its run has started. The watch ticks
# every minute of wall time; the overhead of its run fits into the rest.
_DEV_WINDOW_S = 57

# The last day stops in the evening, when creators are on air: at midnight a report would show no live stream.
_ENDS_AT = timedelta(hours=20)


# The world stands still for at least this long, while Dagster starts: nobody would poll it.
_STARTING = timedelta(seconds=45)


class WorldOnDisk(msgspec.Struct, frozen=True):
    """The parameters of this home's sandbox, so that `make dev` starts the same world again."""

    seed: int
    creators: int
    start: datetime
    days: int

    @property
    def end(self) -> datetime:
        """Return the end of the demo: in the evening of its last day."""
        return self.start + timedelta(days=self.days - 1) + _ENDS_AT


@dataclass(frozen=True)
class _Home:
    places: Places

    @property
    def marker(self) -> Path:
        return self.places.home / SANDBOX_MARKER

    def world(self) -> WorldOnDisk | None:
        if not self.marker.exists():
            return None
        try:
            return msgspec.json.decode(self.marker.read_bytes(), type=WorldOnDisk)
        except (OSError, msgspec.MsgspecError) as error:
            raise SettingsError(
                f"{self.marker} does not describe the demo's world ({error}): remove {self.places.home}, or name "
                "another folder in TIKTOK_PIPELINE_HOME"
            ) from None


def run_demo(*, creators: int, days: int, seed: int, say: Say) -> None:
    """Replay `days` days of a world of `creators` into the home, and print the results.

    Run again, the same world is replayed: this makes no request twice and changes nothing.

    Raises:
        SettingsError: the home holds data that is not a demo's, or another program runs in it.
    """
    home = _Home(Places.from_environment())
    for own in (home.places.lake, home.places.home / "roster.csv"):
        if home.world() is None and own.exists():
            raise SettingsError(f"{own} is not a demo's: name another folder in TIKTOK_PIPELINE_HOME")
    with only_program(home.places, "demo"):
        _replay_demo(home, creators=creators, days=days, seed=seed, say=say)


def _replay_demo(home: _Home, *, creators: int, days: int, seed: int, say: Say) -> None:
    world = home.world()
    if world is None:
        world = WorldOnDisk(seed, creators, _first_day(datetime.now(UTC), days), days)
        home.marker.write_bytes(msgspec.json.encode(world))
    elif (creators, days, seed) != (world.creators, world.days, world.seed):
        say(f"{home.places.home} holds another world, which is replayed again; for a new world use another folder")
    begun = time.monotonic()
    say(f"starting a sandbox of {world.creators} creators (seed {world.seed})")
    with start_in_process(seed=world.seed, creators=world.creators, start=world.start) as sandbox:
        _use(home, sandbox.environment, sandbox.url)
        os.environ["TIKTOK_PIPELINE_CLOCK"] = "replay"
        replay_span(home.places, world.start, world.end, say=say)
    say(f"done in {time.monotonic() - begun:.0f} s\n")
    _show(home.places.warehouse / LINK)
    say(f"DuckDB file: {home.places.warehouse / LINK}")
    say(f"Report:      {home.places.report} (open it in a browser; it needs no network)")
    say("Look at the runs and assets in the Dagster UI, and continue the demo: make dev")


def run_dev(*, speed: float, port: int, say: Say) -> None:
    """Serve the demo's world at `speed` times real time, and the Dagster UI with its schedules on it.

    Raises:
        SettingsError: there is no demo in the home yet, another program runs in it, or the port is taken.
    """
    home = _Home(Places.from_environment())
    world = home.world()
    if world is None:
        raise SettingsError(f"there is no demo in {home.places.home} yet: run `make demo` first")
    with only_program(home.places, "dev"):
        require_free_port(port, use="make dev PORT=3001")
        _serve_world(home, world, speed=speed, port=port, say=say)


def _serve_world(home: _Home, world: WorldOnDisk, *, speed: float, port: int, say: Say) -> None:
    # Continue after the newest raw row: raw lands before it is published, and a clock behind it would make it future.
    shown = max(world.end, newest_capture(Lake(home.places.lake)) or world.end)
    if shown >= datetime.now(UTC):
        raise SettingsError(f"this world has caught up with the present: remove {home.places.home}, run `make demo`")
    # Schedules tick at whole minutes: the first tick of the world is at its start.
    now = datetime.now(UTC)
    begins = (now + _STARTING).replace(second=0, microsecond=0) + timedelta(minutes=1)
    with start_in_process(
        seed=world.seed,
        creators=world.creators,
        start=world.start,
        clock=shown,
        delay_s=(begins - now).total_seconds(),
        speed=speed,
    ) as sandbox:
        _use(home, sandbox.environment, sandbox.url)
        settings = home.places.home / "settings.toml"
        settings.write_text(dev_settings(speed), encoding="utf-8")
        os.environ |= dev_environment(speed, shown, begins) | {"TIKTOK_PIPELINE_SETTINGS": str(settings)}
        use_instance(home.places)
        give_up_runs()
        catches_up = begins + (begins - shown) / max(speed - 1, 1e-6)
        say(f"the world runs at {speed:.0f} times real speed from {shown:%Y-%m-%d %H:%M} UTC")
        say(f"it starts at {begins:%H:%M} UTC, when Dagster has started")
        say(f"it reaches the present at {catches_up:%Y-%m-%d %H:%M} UTC; stop with Ctrl-C before then")
        serve_dagster(port, home.places.home / "logs" / "dev.log", say)


def dev_settings(speed: float) -> str:
    """Return settings for a clock that runs `speed` times as fast: run time on the wall clock counts as much more."""
    window = max(10, round(_DEV_WINDOW_S * speed / 60))
    return f"""[watch]
window_minutes = {window}
flush_seconds = 5
[boundary]
patience_minutes = {max(30, round(1.5 * speed))}
[sweeps]
ranking_regions = ["US"]
ranking_of_live = true
keywords = ["live"]
"""


def dev_environment(speed: float, shown: datetime, begins: datetime | None = None) -> dict[str, str]:
    """Return variables of a deployment, switched on, with a clock that runs `speed` times as fast.

    It shows `shown` until the system time `begins`, which is now by default.
    """
    anchor = begins or datetime.now(UTC)
    return {
        "TIKTOK_PIPELINE_CLOCK": "real",
        "TIKTOK_PIPELINE_SCHEDULES": "on",
        "TIKTOK_PIPELINE_CLOCK_SPEED": str(speed),
        "TIKTOK_PIPELINE_CLOCK_ANCHOR": f"{anchor.isoformat()}/{shown.isoformat()}",
    }


def _first_day(now: datetime, days: int) -> datetime:
    """Return the newest Monday from which `days` days end early enough.

    Habits follow the week: a world that begins on a Monday is the same world whatever the day of the demo.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    latest = midnight - timedelta(days=_DAYS_BEFORE_TODAY + days)
    return latest - timedelta(days=latest.weekday())


def _use(home: _Home, vendors: dict[str, str], url: str) -> None:
    """Point this process and its children to the sandbox and to the home's own roster."""
    places = home.places
    roster = places.home / "roster.csv"
    if not roster.exists():
        with urlopen(f"{url}/truth/roster.csv") as response:
            roster.write_bytes(response.read())
    os.environ |= vendors | {"TIKTOK_PIPELINE_ROSTER": str(roster), "TIKTOK_PIPELINE_HOME": str(places.home)}
    # A settings file in the working directory is for real vendors.
    os.environ.setdefault("TIKTOK_PIPELINE_SETTINGS", str(places.home / "settings.toml"))


def moved(change: int | None, *, is_new: bool | None) -> str:
    """Return a rank change in a word; empty if it is unknown which creators were polled in the period before."""
    if change is None:
        return "new" if is_new else "–"
    return f"{change:+d}" if change else "="


def _show(snapshot: Path) -> None:
    """Print a small leaderboard and the lifts of the last streams."""
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        board = connection.execute(
            "SELECT rank, rank_change, is_new, handle, value / 3600, share FROM leaderboard_today "
            "WHERE period = 'week' AND niche = '*' AND metric = 'airtime' AND rank <= 8 ORDER BY rank, handle"
        ).fetchall()
        lifts = connection.execute(
            "SELECT handle, started_at, airtime_s / 60, average_viewers, followers_before, naive_delta, lift, "
            "lift_lo, lift_hi, observable, is_final FROM stream_overview "
            "WHERE status = 'ended' ORDER BY started_at DESC LIMIT 10"
        ).fetchall()
    print_table(
        "Hours on air, last 7 days",
        [
            TerminalColumn("rank"),
            TerminalColumn("change", drop=1),
            TerminalColumn("creator", left=True),
            TerminalColumn("hours"),
            TerminalColumn("share", drop=2),
        ],
        [
            (f"{rank}", moved(change, is_new=is_new), handle, f"{hours:.1f}", f"{share:.0%}")
            for rank, change, is_new, handle, hours, share in board
        ],
    )
    rows = []
    for handle, start, minutes, viewers, before, naive, lift, low, high, observable, final in lifts:
        known = observable and lift is not None
        rows.append(
            (
                handle,
                f"{start:%m-%d %H:%M}",
                f"{minutes:.0f}",
                _number(viewers),
                _number(before),
                _number(naive),
                _number(lift) if known else "not observable",
                f"{_number(low)} to {_number(high)}" if known else "",
                "" if final else "provisional",
            )
        )
    columns = [
        *(
            TerminalColumn("creator", left=True),
            TerminalColumn("start (UTC)"),
            TerminalColumn("minutes", drop=3),
            TerminalColumn("viewers", drop=4),
        ),
        *(
            TerminalColumn("followers", drop=5),
            TerminalColumn("naive", drop=6),
            TerminalColumn("lift"),
            TerminalColumn("interval", drop=1),
        ),
        TerminalColumn("", left=True, drop=2),
    ]
    print_table("The last streams and their lift (90 % interval)", columns, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{round(value) or 0:,}"
