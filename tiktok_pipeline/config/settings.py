"""What the operator can set in settings.toml: every default of the project stands here, once.

`load_settings()` reads the file that TIKTOK_PIPELINE_SETTINGS names (default settings.toml); a missing file
means defaults. Where things lie comes from the environment: see `Places`. Secrets are never settings: each
vendor's file in `providers/` names the environment variables of its credentials, and how hard it may be asked.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Limits


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every section refuses keys that it does not know: a misspelt setting must not pass in silence."""


class Routes(_Section, frozen=True):
    """Capability -> vendors in order of preference; the next is asked where one cannot answer."""

    live: tuple[str, ...] = ("social_fetch", "konbini")
    room: tuple[str, ...] = ("tikhub",)
    # Exact counts first: a rounded one makes the lift of a large account unobservable.
    profile: tuple[str, ...] = ("social_fetch", "konbini", "tikliveapi")
    stories: tuple[str, ...] = ("konbini", "tikliveapi", "tikhub")
    posts: tuple[str, ...] = ("social_fetch", "konbini", "tikliveapi")
    # Its list says the exact total, where its profile rounds.
    followers: tuple[str, ...] = ("tikliveapi", "social_fetch", "konbini")
    user_search: tuple[str, ...] = ("konbini", "social_fetch", "tikliveapi")
    live_ranking: tuple[str, ...] = ("tikhub",)
    live_ranking_of: tuple[str, ...] = ("tikhub",)
    user_id: tuple[str, ...] = ("tikliveapi",)
    identity: tuple[str, ...] = ("tikliveapi", "tikhub")


class Watch(_Section, frozen=True):
    """How a watch window asks who is live."""

    window_minutes: int = 10
    flush_seconds: int = 60
    # Never ask the same creator again sooner than this.
    min_gap_seconds: int = 120
    # Ask every creator at least this often, whatever the policy thinks.
    max_gap_minutes: int = 30
    # Time between two rounds of the roster.
    round_seconds: int = 300
    # While live, the room (concurrent and cumulative viewers, new follows) is asked this often.
    room_minutes: int = 15
    # Who is asked next: everybody in turn, or for as many questions whom it is worth most by learned habits.
    policy: Literal["round_robin", "adaptive"] = "round_robin"

    def __post_init__(self) -> None:
        """Refuse what would ask nobody, or without end."""
        if min(self.window_minutes, self.flush_seconds, self.max_gap_minutes, self.round_seconds) < 1:
            raise ValueError("window_minutes, flush_seconds, max_gap_minutes and round_seconds must be at least 1")

    @property
    def seconds_of_a_round(self) -> int:
        """The length of a round: no creator waits longer than `max_gap_minutes`."""
        return min(self.round_seconds, self.max_gap_minutes * 60)


class Retries(_Section, frozen=True):
    """How often and how patiently one question is asked again (all vendors)."""

    attempts: int = 3
    backoff_seconds: float = 2.0
    # A vendor that asks for more patience than this is passed over instead.
    longest_wait_seconds: float = 120.0
    # Failures in a row that open a vendor's circuit, and the first pause before it is tried again.
    circuit_failures: int = 8
    circuit_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what would ask nobody."""
        if self.attempts < 1 or self.circuit_failures < 1 or self.backoff_seconds < 0:
            raise ValueError("attempts and circuit_failures must be at least 1, backoff_seconds not negative")


class Responses(_Section, frozen=True):
    """Bounds of one response (all vendors)."""

    # Size of a body after decompression, MiB (2^20 bytes). A larger one is a `malformed` row, and is not retried.
    max_mebibytes: float = 16.0
    # Time of a whole exchange, from the connection to the last byte of the body: real seconds, on every clock.
    deadline_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse bounds that no response fits in, or that bound nothing."""
        if not 0.001 <= self.max_mebibytes <= 512 or not 0.1 <= self.deadline_seconds <= 3600:
            raise ValueError("max_mebibytes must be 0.001 to 512, and deadline_seconds 0.1 to 3600")


class Sweeps(_Section, frozen=True):
    """What is asked beside lives, profiles and stories, and how far a listing is walked."""

    # Pages of one walk: a page of posts holds 10 to 35, of followers 30 to 50.
    post_pages: int = 2
    follower_pages: int = 2
    # Keywords to search users for, and regions whose live rankings are read; none costs nothing.
    keywords: tuple[str, ...] = ()
    ranking_regions: tuple[str, ...] = ()
    # Also where each creator on air stands, in the list that their room competes in.
    ranking_of_live: bool = False

    @property
    def asks_rankings(self) -> bool:
        """Whether there is a ranking to ask for."""
        return bool(self.ranking_regions) or self.ranking_of_live


class Boundary(_Section, frozen=True):
    """What is asked around the start and the end of a stream, beside the sweeps."""

    # The counts that a lift is made of: when a stream starts, and so many minutes after it ended.
    profile_at_start: bool = True
    profile_minutes: tuple[int, ...] = (0, 15, 60, 180)
    # The ended room knows its exact end. The watch asks it; this is for ends that the watch got no answer for.
    room_minutes: tuple[int, ...] = (2,)
    # Recaps: most are published within hours; their views of the first day say how far they went.
    posts_minutes: tuple[int, ...] = (180, 1440)
    # Who joined: the newest followers at the start, and those above them afterwards.
    followers_at_start: bool = True
    followers_minutes: tuple[int, ...] = (15,)
    # The sweep of stories is near enough: none by default.
    stories_minutes: tuple[int, ...] = ()
    # A moment that nobody could answer for is given up after this long.
    patience_minutes: int = 30

    def __post_init__(self) -> None:
        """Refuse what would read the lake for ever, or never ask."""
        offsets = (
            *self.profile_minutes,
            *self.room_minutes,
            *self.posts_minutes,
            *self.followers_minutes,
            *self.stories_minutes,
        )
        if self.patience_minutes < 1 or any(not 0 <= minutes <= 2880 for minutes in offsets):
            raise ValueError("patience_minutes must be at least 1, and minutes after an end from 0 to 2880 (two days)")


class Streams(_Section, frozen=True):
    """Constants of the streams (docs/methods.md 1)."""

    # Weak readings of off air that end a stream, and the time that they must span.
    confirm_offline: int = 2
    confirm_span_seconds: int = 120
    # Rooms closer than this are one stream with a reconnect. The valley between reconnects and new streams.
    merge_gap_minutes: int = 10
    # Without a reading of on air for this long, a stream without an end is lost.
    stale_open_minutes: int = 30
    # Without any known reading for this long, what comes next is another stream.
    censor_hours: int = 12
    lookback_days: int = 3
    # A gap between readings counts as observed up to this much: three rounds of the default cadence.
    gap_cap_seconds: int = 900

    def __post_init__(self) -> None:
        """Refuse what would end every stream at once."""
        if min(self.confirm_offline, self.gap_cap_seconds, self.lookback_days, self.censor_hours) < 1:
            raise ValueError("confirm_offline, gap_cap_seconds, lookback_days and censor_hours must be at least 1")


class Lift(_Section, frozen=True):
    """Constants of the lift (docs/methods.md 2)."""

    # Minutes after the end that still count as the stream's.
    carry_over_minutes: int = 60
    # What lies this close to a stream is not organic: carry-over after, people waiting before.
    guard_minutes: int = 180
    guard_before_minutes: int = 15
    # The organic rate is taken from this long on each side, and from longer until it holds enough clean time.
    local_hours: int = 24
    lookback_days: int = 28
    alpha: float = 0.10
    min_placebos: int = 19
    few_placebos: int = 40
    # Placebo quantiles of all creators that join a creator's own, and the most placebo windows of one stream.
    pool_size: int = 50
    max_placebos: int = 400
    min_clean_hours: float = 6.0
    # Two counts further apart than this say nothing of the time between them.
    max_segment_hours: float = 12.0
    # 24 hours of baseline and 2 of guard after the window, and one for late answers.
    final_after_hours: float = 27.0

    def __post_init__(self) -> None:
        """Refuse a level that is none."""
        if not 0 < self.alpha < 1 or min(self.max_placebos, self.lookback_days, self.pool_size) < 1:
            raise ValueError("alpha must lie between 0 and 1; max_placebos, lookback_days and pool_size be at least 1")


class Conversions(_Section, frozen=True):
    """How far follower lists may lie from the stream that they are compared around."""

    # One walk a day still gives every stream a list on both sides.
    reach_hours: float = 24.0
    # Who looks when a stream is seen to begin looks a little late: the list still counts as the one before.
    late_minutes: float = 10.0
    # Further away, most of those who joined between the lists came without the stream: no conversion is told.
    tight_hours: float = 3.0

    def __post_init__(self) -> None:
        """Refuse lists from after the next day: the day of a stream does not read that far."""
        if not 0 < self.tight_hours <= self.reach_hours <= 24 or not 0 <= self.late_minutes <= 60:
            raise ValueError("0 < tight_hours <= reach_hours <= 24, and late_minutes must be 0 to 60")


class Recaps(_Section, frozen=True):
    """Points of the recap score (docs/methods.md 6.1): a logistic sum."""

    # A post belongs to the newest stream that began this long before it and ended at most window_hours before.
    soonest_minutes: float = 5.0
    window_hours: float = 72.0
    # Posts with this score and more are recaps. 0 keeps every post, for labelling.
    threshold: float = 0.5
    base: float = -3.2
    # What the caption says.
    live: float = 1.4
    recap: float = 1.6
    both: float = 1.2
    tag: float = 3.0
    announcement: float = -2.2
    noise: float = -2.0
    # When it came.
    during: float = 0.8
    # Within 3 hours of the end, within 24, within the window.
    soon: float = 1.1
    next_day: float = 1.0
    later: float = 0.3
    no_stream: float = -1.0

    def __post_init__(self) -> None:
        """Refuse a window that the day of a post does not read, or that is none."""
        if not 24 <= self.window_hours <= 72 or not 0 <= self.threshold <= 1 or self.soonest_minutes < 0:
            raise ValueError("window_hours must be 24 to 72, threshold 0 to 1, soonest_minutes not negative")


class Gifts(_Section, frozen=True):
    """What is known of gifts, by the operator alone."""

    # A CSV file with the columns stream_id and diamonds, relative to the working directory; none: no diamonds.
    known_streams: str = ""

    @property
    def path(self) -> Path | None:
        """The file, if there is one."""
        return Path(self.known_streams) if self.known_streams else None


class Retention(_Section, frozen=True):
    """How long things are kept. Without `raw_days` raw is kept for ever: it is the only source."""

    snapshots: int = 3
    raw_days: int | None = None
    # Dagster's runs and their logs, where a later run made the same partitions again.
    run_days: int = 7

    def __post_init__(self) -> None:
        """Refuse what would keep nothing."""
        if self.snapshots < 1 or self.run_days < 1:
            raise ValueError("snapshots and run_days must be at least 1")


class Publish(_Section, frozen=True):
    """What is published to DuckDB, Parquet and Postgres."""

    # Days of the tables of observations, back from the newest day. Marts are published whole.
    observation_days: int = 90

    def __post_init__(self) -> None:
        """Refuse fewer days than the views and the report read."""
        if self.observation_days < 2:
            raise ValueError("observation_days must be at least 2: views and the report read the last two days")


# The schedule derives the last days again, and an operator needs some to find out that they must be.
_DAYS_TO_DERIVE_AGAIN = 7


class Checks(_Section, frozen=True):
    """When a check warns; see docs/operations.md for what each check means."""

    # Clocks of vendors and machines differ by this much before a time counts as the future's.
    clock_skew_seconds: int = 300
    # The newest reading may be this old: the slowest round of the watch, and a run of `derive`.
    stale_minutes: int = 60
    # Of a vendor's attempts of a day, those that failed.
    error_share: float = 0.2
    error_min_requests: int = 50
    # Of a vendor's credits_per_day.
    budget_share: float = 0.8
    # Of a day's captures, those with something in quarantine.
    quarantine_share: float = 0.02
    # Of the roster, creators whom nobody asked about all day; of readings, those that say nothing.
    unasked_share: float = 0.05
    unknown_share: float = 0.3
    # Bodies a day and endpoint whose shape is looked at: what drift costs.
    shape_bodies: int = 40
    # A shape is known by the days before, once they hold this many bodies of an endpoint ...
    drift_days: int = 28
    drift_min_bodies: int = 20
    # ... and a field that was in this share of them has vanished when it is in none.
    always_share: float = 0.95

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        shares = (self.error_share, self.budget_share, self.quarantine_share, self.unasked_share, self.unknown_share)
        if not all(0 <= share <= 1 for share in (*shares, self.always_share)):
            raise ValueError("shares lie between 0 and 1")
        if min(self.clock_skew_seconds, self.stale_minutes, self.shape_bodies, self.drift_days) < 1:
            raise ValueError("clock_skew_seconds, stale_minutes, shape_bodies and drift_days must be at least 1")


class Alerts(_Section, frozen=True):
    """What TIKTOK_PIPELINE_ALERT_WEBHOOK is told, and how often."""

    # The same alert is not sent again sooner than this.
    repeat_minutes: int = 60
    # Also say who went live and whose stream ended.
    go_live: bool = False

    def __post_init__(self) -> None:
        """Refuse an alert a second."""
        if self.repeat_minutes < 1:
            raise ValueError("repeat_minutes must be at least 1")


class Settings(_Section, frozen=True):
    """Everything in settings.toml."""

    routes: Routes = Routes()
    vendors: dict[str, Limits] = msgspec.field(default_factory=lambda: {n: v.limits for n, v in VENDORS.items()})
    watch: Watch = Watch()
    sweeps: Sweeps = Sweeps()
    boundary: Boundary = Boundary()
    retries: Retries = Retries()
    responses: Responses = Responses()
    streams: Streams = Streams()
    lift: Lift = Lift()
    conversions: Conversions = Conversions()
    recaps: Recaps = Recaps()
    gifts: Gifts = Gifts()
    publish: Publish = Publish()
    retention: Retention = Retention()
    checks: Checks = Checks()
    alerts: Alerts = Alerts()

    @property
    def look_back_days(self) -> int:
        """Days of raw that must stay: what may be derived again, and all that its streams and lift are made from."""
        return _DAYS_TO_DERIVE_AGAIN + self.streams.lookback_days + self.lift.lookback_days

    def __post_init__(self) -> None:
        """Refuse a retention that takes what a derive needs."""
        if self.retention.raw_days is not None and self.retention.raw_days < self.look_back_days:
            raise ValueError(
                f"[retention] raw_days must be at least {self.look_back_days}: [streams] and [lift] look back so far"
            )


# In the home of a demo: what its sandbox was made from.
SANDBOX_MARKER = "sandbox.json"


def _default_roster(home: Path) -> Path:
    """A demo's home has a roster of its own: whom it invented must not be looked for in the real one."""
    return home / "roster.csv" if (home / SANDBOX_MARKER).exists() else Path("roster.csv")


@dataclass(frozen=True)
class Places:
    """Where things lie: read from the environment, relative to the working directory."""

    home: Path
    lake: Path
    settings: Path
    roster: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Places:
        """The places that TIKTOK_PIPELINE_HOME, _LAKE, _SETTINGS and _ROSTER name, or their defaults.

        Raises:
            SettingsError: TIKTOK_PIPELINE_LAKE names an object store, which this release cannot write to.
        """
        home = Path(environment.get("TIKTOK_PIPELINE_HOME") or "data").absolute()
        lake = environment.get("TIKTOK_PIPELINE_LAKE")
        if lake and "://" in lake:
            raise SettingsError(
                f"TIKTOK_PIPELINE_LAKE={lake}: this release keeps its lake in a folder; "
                "name a folder, or unset the variable to use $TIKTOK_PIPELINE_HOME/lake"
            )
        return cls(
            home=home,
            lake=Path(lake).absolute() if lake else home / "lake",
            settings=Path(environment.get("TIKTOK_PIPELINE_SETTINGS") or "settings.toml").absolute(),
            roster=Path(environment.get("TIKTOK_PIPELINE_ROSTER") or _default_roster(home)).absolute(),
        )

    @property
    def warehouse(self) -> Path:
        """The folder of the published DuckDB file and Parquet tables."""
        return self.home / "warehouse"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.home / "report" / "index.html"


def postgres_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """The Postgres that is published to: TIKTOK_PIPELINE_POSTGRES_URL; None where it is not set.

    Raises:
        SettingsError: it is no URL of Postgres; the message never shows it.
    """
    url = environment.get("TIKTOK_PIPELINE_POSTGRES_URL", "").strip()
    if not url:
        return None
    try:
        address = urlsplit(url)
        wrong = address.scheme not in ("postgresql", "postgres") or "@" in f"{address.path}{address.query}"
    except ValueError:
        wrong = True
    # A stray @ means that the password was cut in two, and half of it would pass for a host that may be shown.
    if wrong or address.fragment or "@" in address.netloc.rpartition("@")[0]:
        raise SettingsError(
            "TIKTOK_PIPELINE_POSTGRES_URL must read postgresql://user:password@host:5432/database; in the password "
            "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
        )
    return url


def hash_key(home: Path, environment: Mapping[str, str] = os.environ) -> bytes:
    """The key that followers' ids are hashed with: at most 64 bytes.

    TIKTOK_PIPELINE_HASH_KEY, else the key in `home`, which is made when it is first needed. With another key the
    same follower is somebody else: keep it with the data, and away from those who must not know.
    """
    said = environment.get("TIKTOK_PIPELINE_HASH_KEY", "")
    if said:
        return said.encode()[:64]
    path = home / "hash.key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        staged = home / f".hash.key.{os.getpid()}"
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_hex(32), encoding="utf-8")
        # Whoever is first makes the key; everybody reads that one.
        with contextlib.suppress(FileExistsError):
            os.link(staged, path)
        staged.unlink()
    key = path.read_text(encoding="utf-8").strip().encode()[:64]
    if not key:
        raise SettingsError(f"{path} is empty: put back the key that was in it, or remove it to make a new one")
    return key


def load_settings(path: Path) -> Settings:
    """Settings from the TOML file at `path`; defaults where the file or a key is missing.

    Raises:
        SettingsError: not TOML, an unknown key, a value of the wrong type, or a vendor that does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as UTF-8 text: {error}") from None
    try:
        settings = msgspec.convert(_over(msgspec.to_builtins(Settings()), tomllib.loads(text)), Settings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path.name}: {_plain(error)}") from None
    known = set(VENDORS)
    for vendor in settings.vendors.keys() - known:
        raise SettingsError(f"{path.name}: [vendors.{vendor}] is no vendor; vendors are {', '.join(sorted(known))}")
    for capability in Routes.__struct_fields__:
        for vendor in getattr(settings.routes, capability):
            if vendor not in known:
                raise SettingsError(
                    f"{path.name}: [routes] {capability} names {vendor!r}; vendors are {', '.join(sorted(known))}"
                )
    return settings


def _over(defaults: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What was said over the defaults, key by key: one key of a vendor leaves its other defaults alone."""
    merged = dict(defaults)
    for key, value in said.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _plain(error: msgspec.ValidationError) -> str:
    """msgspec's message in the operator's words: section and key, not a JSON path."""
    message, _, path = str(error).partition(" - at `$")
    where = path.strip("`.").replace(".", ".")
    message = message.replace("Object contains unknown field", "unknown key")
    return f"[{where}] {message}" if where else message
