"""The settings in settings.toml, with all defaults of the project.

`load_settings()` reads the file that TIKTOK_PIPELINE_SETTINGS names (default settings.toml in the home); a missing file
means defaults. Paths come from the environment: see `Places`. Secrets are never settings: each vendor's file in
`providers/` names the environment variables of its credentials, and its default rate limits.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Limits


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of settings.toml. Unknown keys are errors, so that a misspelt setting is reported."""


class Routes(_Section, frozen=True):
    """Capability -> vendors in order of preference; the next vendor is the fallback."""

    live: tuple[str, ...] = ("social_fetch", "konbini")
    room: tuple[str, ...] = ("tikhub",)
    # Exact counts first: a rounded one makes the lift of a large account unobservable.
    profile: tuple[str, ...] = ("social_fetch", "konbini", "tikliveapi")
    stories: tuple[str, ...] = ("konbini", "tikliveapi", "tikhub")
    posts: tuple[str, ...] = ("social_fetch", "konbini", "tikliveapi")
    # Its list contains the exact total, while its profile rounds.
    followers: tuple[str, ...] = ("tikliveapi", "social_fetch", "konbini")
    user_search: tuple[str, ...] = ("konbini", "social_fetch", "tikliveapi")
    live_ranking: tuple[str, ...] = ("tikhub",)
    live_ranking_of: tuple[str, ...] = ("tikhub",)
    user_id: tuple[str, ...] = ("tikliveapi",)
    identity: tuple[str, ...] = ("tikliveapi", "tikhub")


class Watch(_Section, frozen=True):
    """How a watch window polls live states."""

    window_minutes: int = 10
    flush_seconds: int = 60
    # Shortest time between two polls of the same creator.
    min_gap_seconds: int = 120
    # Longest time between two polls of the same creator, under any policy.
    max_gap_minutes: int = 30
    # Time between two rounds of the roster.
    round_seconds: int = 300
    # While a creator is live, interval of room requests (concurrent and cumulative viewers, new follows).
    room_minutes: int = 15
    # Poll order: fixed rounds, or the same number of polls by their value under estimated habits.
    policy: Literal["round_robin", "adaptive"] = "round_robin"

    def __post_init__(self) -> None:
        """Reject values that would stop polling, or never end it."""
        if min(self.window_minutes, self.flush_seconds, self.max_gap_minutes, self.round_seconds) < 1:
            raise ValueError("window_minutes, flush_seconds, max_gap_minutes and round_seconds must be at least 1")

    @property
    def seconds_of_a_round(self) -> int:
        """The length of a round: no creator waits longer than `max_gap_minutes`."""
        return min(self.round_seconds, self.max_gap_minutes * 60)


class Retries(_Section, frozen=True):
    """Retry policy and circuit breaker of a request (all vendors)."""

    attempts: int = 3
    backoff_seconds: float = 2.0
    # If a vendor requests a longer wait than this, it is skipped.
    longest_wait_seconds: float = 120.0
    # Consecutive failures that open a vendor's circuit, and the first pause before a trial request.
    circuit_failures: int = 8
    circuit_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Reject values that would stop polling."""
        if self.attempts < 1 or self.circuit_failures < 1 or self.backoff_seconds < 0:
            raise ValueError("attempts and circuit_failures must be at least 1, backoff_seconds not negative")


class Responses(_Section, frozen=True):
    """Limits of one response (all vendors)."""

    # Size of a body after decompression, MiB (2^20 bytes). A larger one gives a `malformed` row without a retry.
    max_mebibytes: float = 16.0
    # Time of a whole exchange, from the connection to the last byte of the body: real seconds, on every clock.
    deadline_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Reject limits that no response fits, or that limit nothing."""
        if not 0.001 <= self.max_mebibytes <= 512 or not 0.1 <= self.deadline_seconds <= 3600:
            raise ValueError("max_mebibytes must be 0.001 to 512, and deadline_seconds 0.1 to 3600")


class Sweeps(_Section, frozen=True):
    """Requests of sweeps other than lives, profiles and stories, and the number of pages of a listing."""

    # Pages of one walk: a page of posts holds 10 to 35, of followers 30 to 50.
    post_pages: int = 2
    follower_pages: int = 2
    # Keywords for user searches, and regions for live rankings; empty lists cost nothing.
    keywords: tuple[str, ...] = ()
    ranking_regions: tuple[str, ...] = ()
    # Also request the rank of each creator on air, in the list in which the room competes.
    ranking_of_live: bool = False

    @property
    def has_rankings(self) -> bool:
        """Whether any live ranking is requested."""
        return bool(self.ranking_regions) or self.ranking_of_live


class Boundary(_Section, frozen=True):
    """Follow-up requests at the start and the end of a stream, in addition to the sweeps."""

    # Follower counts for the lift: at the start of a stream, and this many minutes after its end.
    profile_at_start: bool = True
    profile_minutes: tuple[int, ...] = (0, 15, 60, 180)
    # An ended room reports its exact end. The watch requests it; this covers ends for which it got no response.
    room_minutes: tuple[int, ...] = (2,)
    # Recaps: most are published within hours; their views on the first day show their reach.
    posts_minutes: tuple[int, ...] = (180, 1440)
    # Conversions: the newest followers at the start, and those that are newer afterwards.
    followers_at_start: bool = True
    followers_minutes: tuple[int, ...] = (15,)
    # The sweep of stories is frequent enough: no follow-ups by default.
    stories_minutes: tuple[int, ...] = ()
    # A follow-up without a response expires after this time.
    patience_minutes: int = 30

    def __post_init__(self) -> None:
        """Reject values that would read all of the lake, or request nothing."""
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
    # Rooms with a shorter gap are one stream with a reconnect. The minimum between reconnects and new streams.
    merge_gap_minutes: int = 10
    # After this time without an on-air reading, a stream without an end is lost.
    stale_open_minutes: int = 30
    # After this time without any known reading, the next on-air reading starts another stream.
    censor_hours: int = 12
    lookback_days: int = 3
    # The part of a gap between readings that counts as observed: three rounds of the default cadence.
    gap_cap_seconds: int = 900

    def __post_init__(self) -> None:
        """Reject values that would end every stream at once."""
        if min(self.confirm_offline, self.gap_cap_seconds, self.lookback_days, self.censor_hours) < 1:
            raise ValueError("confirm_offline, gap_cap_seconds, lookback_days and censor_hours must be at least 1")


class Lift(_Section, frozen=True):
    """Constants of the lift (docs/methods.md 2)."""

    # Minutes after the end that still count as part of the stream.
    carry_over_minutes: int = 60
    # Time this close to a stream is not organic: carry-over after it, waiting viewers before it.
    guard_minutes: int = 180
    guard_before_minutes: int = 15
    # The organic rate is estimated over this time on each side, extended until it holds enough clean time.
    local_hours: int = 24
    lookback_days: int = 28
    alpha: float = 0.10
    min_placebos: int = 19
    few_placebos: int = 40
    # Placebo quantiles from all creators that are added to a creator's own, and the most placebo windows of a stream.
    pool_size: int = 50
    max_placebos: int = 400
    min_clean_hours: float = 6.0
    # Two counts further apart than this give no information about the time between them.
    max_segment_hours: float = 12.0
    # 24 hours of baseline and 2 of guard after the window, and one for late responses.
    final_after_hours: float = 27.0

    def __post_init__(self) -> None:
        """Reject values outside their range."""
        if not 0 < self.alpha < 1 or min(self.max_placebos, self.lookback_days, self.pool_size) < 1:
            raise ValueError("alpha must lie between 0 and 1; max_placebos, lookback_days and pool_size be at least 1")


class Conversions(_Section, frozen=True):
    """The largest distance between a follower list and the stream for which it is compared."""

    # With one walk a day, every stream still has a list on both sides.
    reach_hours: float = 24.0
    # A walk that starts when a stream is detected is a little late: its list still counts as the one before.
    late_minutes: float = 10.0
    # Beyond this, most new followers between the lists came without the stream: no conversion is computed.
    tight_hours: float = 3.0

    def __post_init__(self) -> None:
        """Reject lists from after the next day: a day of streams does not read that far."""
        if not 0 < self.tight_hours <= self.reach_hours <= 24 or not 0 <= self.late_minutes <= 60:
            raise ValueError("0 < tight_hours <= reach_hours <= 24, and late_minutes must be 0 to 60")


class Recaps(_Section, frozen=True):
    """Points of the recap score (docs/methods.md 6.1): a logistic sum."""

    # A post belongs to the newest stream that began at least this long before it and ended within window_hours.
    soonest_minutes: float = 5.0
    window_hours: float = 72.0
    # Posts with at least this score are recaps. 0 keeps every post, for labelling.
    threshold: float = 0.5
    base: float = -3.2
    # Points for the caption.
    live: float = 1.4
    recap: float = 1.6
    both: float = 1.2
    moment: float = 2.6
    tag: float = 3.0
    announcement: float = -2.2
    noise: float = -2.0
    # Points for the time of publication.
    during: float = 0.8
    # Within 3 hours of the end, within 24, within the window.
    soon: float = 1.1
    next_day: float = 1.0
    later: float = 0.3
    no_stream: float = -1.0

    def __post_init__(self) -> None:
        """Reject a window that a day of posts does not read, or an empty one."""
        if not 24 <= self.window_hours <= 72 or not 0 <= self.threshold <= 1 or self.soonest_minutes < 0:
            raise ValueError("window_hours must be 24 to 72, threshold 0 to 1, soonest_minutes not negative")


class Gifts(_Section, frozen=True):
    """Known gifts, which only the operator can supply."""

    # A CSV file with the columns stream_id and diamonds, relative to the working directory; empty: no diamonds.
    known_streams: str = ""

    @property
    def path(self) -> Path | None:
        """The file, if there is one."""
        return Path(self.known_streams) if self.known_streams else None


class Retention(_Section, frozen=True):
    """How long files are kept. Without `raw_days` raw is kept for ever: it is the only source."""

    snapshots: int = 3
    raw_days: int | None = None
    # Days after which Dagster's runs and logs are deleted, if a later run made the same partitions again.
    run_days: int = 7

    def __post_init__(self) -> None:
        """Reject values that would keep nothing."""
        if self.snapshots < 1 or self.run_days < 1:
            raise ValueError("snapshots and run_days must be at least 1")


class Partitions(_Section, frozen=True):
    """The first partition in the Dagster UI."""

    # Partitions begin at the first capture, or at this day if it is earlier: for raw rows that are added later.
    first_day: date | None = None


class Publish(_Section, frozen=True):
    """What is published to DuckDB, Parquet and Postgres."""

    # Days of the observation tables, counted back from the newest day. Marts are published whole.
    observation_days: int = 90

    def __post_init__(self) -> None:
        """Reject fewer days than the views and the report read."""
        if self.observation_days < 2:
            raise ValueError("observation_days must be at least 2: views and the report read the last two days")


# The schedule derives the last days again, and operators need some days to notice that a rebuild is needed.
_DAYS_TO_DERIVE_AGAIN = 7


class Checks(_Section, frozen=True):
    """Thresholds of checks; see docs/operations.md for the meaning of each check."""

    # Clocks of vendors and machines differ by up to this much; later times count as being in the future.
    clock_skew_seconds: int = 300
    # Largest age of the newest reading: the slowest round of the watch, plus a run of `derive`.
    stale_minutes: int = 60
    # Share of a vendor's attempts of a day that failed.
    error_share: float = 0.2
    error_min_requests: int = 50
    # Share of a vendor's credits_per_day.
    budget_share: float = 0.8
    # Share of a day's captures with an entry in quarantine.
    quarantine_share: float = 0.02
    # Share of the roster's creators that were not polled all day; share of readings without a state.
    unasked_share: float = 0.05
    unknown_share: float = 0.3
    # Bodies per day and endpoint whose shape is compared; this limits the cost of drift detection.
    shape_bodies: int = 40
    # The baseline is the shapes of this many previous days, once they contain this many bodies of an endpoint ...
    drift_days: int = 28
    drift_min_bodies: int = 20
    # ... and a field in this share of them is reported as missing when no body contains it.
    always_share: float = 0.95

    def __post_init__(self) -> None:
        """Reject shares outside 0 to 1."""
        shares = (self.error_share, self.budget_share, self.quarantine_share, self.unasked_share, self.unknown_share)
        if not all(0 <= share <= 1 for share in (*shares, self.always_share)):
            raise ValueError("shares lie between 0 and 1")
        if min(self.clock_skew_seconds, self.stale_minutes, self.shape_bodies, self.drift_days) < 1:
            raise ValueError("clock_skew_seconds, stale_minutes, shape_bodies and drift_days must be at least 1")


class Alerts(_Section, frozen=True):
    """What is sent to TIKTOK_PIPELINE_ALERT_WEBHOOK, and how often."""

    # Shortest time between two messages for the same alert.
    repeat_minutes: int = 60
    # Also send a message when a creator goes live, and when a stream ends.
    go_live: bool = False

    def __post_init__(self) -> None:
        """Reject an alert every second."""
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
    partitions: Partitions = Partitions()
    publish: Publish = Publish()
    retention: Retention = Retention()
    checks: Checks = Checks()
    alerts: Alerts = Alerts()

    @property
    def look_back_days(self) -> int:
        """Days of raw that must be kept: the days that may be derived again, and the days that these read."""
        return _DAYS_TO_DERIVE_AGAIN + self.streams.lookback_days + self.lift.lookback_days

    def __post_init__(self) -> None:
        """Reject a retention that deletes raw rows which a derivation needs."""
        if self.retention.raw_days is not None and self.retention.raw_days < self.look_back_days:
            raise ValueError(
                f"[retention] raw_days must be at least {self.look_back_days}: [streams] and [lift] look back so far"
            )


# Variables of the pipeline itself. Those of vendors are in their files in `providers/`.
VARIABLES = tuple(
    f"TIKTOK_PIPELINE_{name}"
    for name in (
        *("HOME", "LAKE", "SETTINGS", "ROSTER", "POSTGRES_URL", "CLOCK", "SCHEDULES", "HASH_KEY", "ALERT_WEBHOOK"),
        *("UI_URL", "CLOCK_SPEED", "CLOCK_ANCHOR"),
    )
)

# A file in the home of a demo: the parameters of its sandbox.
SANDBOX_MARKER = "sandbox.json"


def _default_file(home: Path, name: str) -> Path:
    """Return the default place of a deployment's own file: the home, or the working directory if only that has it.

    A demo never takes a file of the working directory: its invented creators do not exist on TikTok.
    """
    in_home, here = home / name, Path(name)
    if in_home.exists() or (home / SANDBOX_MARKER).exists() or not here.exists():
        return in_home
    return here


@dataclass(frozen=True)
class Places:
    """Paths of the deployment: read from the environment, relative to the working directory."""

    home: Path
    lake: Path
    settings: Path
    roster: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Places:
        """Return the paths in TIKTOK_PIPELINE_HOME, _LAKE, _SETTINGS and _ROSTER, or their defaults.

        Raises:
            SettingsError: TIKTOK_PIPELINE_LAKE names an object store, which this release does not support.
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
            settings=Path(
                environment.get("TIKTOK_PIPELINE_SETTINGS") or _default_file(home, "settings.toml")
            ).absolute(),
            roster=Path(environment.get("TIKTOK_PIPELINE_ROSTER") or _default_file(home, "roster.csv")).absolute(),
        )

    @property
    def warehouse(self) -> Path:
        """The folder of the published DuckDB file and of the Parquet copies."""
        return self.home / "warehouse"

    @property
    def report(self) -> Path:
        """The path of the HTML report."""
        return self.home / "report" / "index.html"


def postgres_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL in TIKTOK_PIPELINE_POSTGRES_URL, to which tables are published; None if it is not set.

    Raises:
        SettingsError: it is not a Postgres URL; the message never contains it.
    """
    url = environment.get("TIKTOK_PIPELINE_POSTGRES_URL", "").strip()
    if not url:
        return None
    try:
        address = urlsplit(url)
        invalid = address.scheme not in ("postgresql", "postgres") or "@" in f"{address.path}{address.query}"
    except ValueError:
        invalid = True
    # A stray @ splits the password, and a part of it would be taken for the host, which messages may contain.
    if invalid or address.fragment or "@" in address.netloc.rpartition("@")[0]:
        raise SettingsError(
            "TIKTOK_PIPELINE_POSTGRES_URL must read postgresql://user:password@host:5432/database; in the password "
            "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
        )
    return url


def hash_key(home: Path, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return the key for hashing followers' ids: at most 64 bytes.

    TIKTOK_PIPELINE_HASH_KEY, or else the key in `home`, which is made at first use. Another key gives the same follower
    another hash. So keep the key with the data, and do not give it to readers who must not identify followers.
    """
    from_environment = environment.get("TIKTOK_PIPELINE_HASH_KEY", "")
    if from_environment:
        return from_environment.encode()[:64]
    path = home / "hash.key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        staged = home / f".hash.key.{os.getpid()}"
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_hex(32), encoding="utf-8")
        # The first process makes the key; all processes read that one.
        with contextlib.suppress(FileExistsError):
            os.link(staged, path)
        staged.unlink()
    key = path.read_text(encoding="utf-8").strip().encode()[:64]
    if not key:
        raise SettingsError(f"{path} is empty: put back the key that was in it, or remove it to make a new one")
    return key


def load_settings(path: Path) -> Settings:
    """Load settings from the TOML file at `path`; use defaults if the file or a key is missing.

    Raises:
        SettingsError: invalid TOML, an unknown key, a value of the wrong type, or an unknown vendor.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as UTF-8 text: {error}") from None
    try:
        given = tomllib.loads(text)
        settings = msgspec.convert(_over(msgspec.to_builtins(Settings()), given), Settings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path.name}: {_plain(error, given)}") from None
    known = set(VENDORS)
    listed = f"vendors are {', '.join(sorted(known))}"
    for vendor in settings.vendors.keys() - known:
        raise SettingsError(f"{path.name}: [vendors.{vendor}] is not a vendor; {listed}{near_miss(vendor, known)}")
    for capability in Routes.__struct_fields__:
        for vendor in getattr(settings.routes, capability):
            if vendor not in known:
                raise SettingsError(
                    f"{path.name}: [routes] {capability} names {vendor!r}; {listed}{near_miss(vendor, known)}"
                )
    return settings


def _over(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Merge given values over the defaults, key by key: one key of a vendor keeps its other defaults."""
    merged = dict(defaults)
    for key, value in given.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` if a known word is like this one; else nothing."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def _plain(error: msgspec.ValidationError, given: Mapping[str, Any]) -> str:
    """Rewrite a message of msgspec: section and key instead of a JSON path, with what is allowed there."""
    message, at, path = str(error).rpartition(" - at `$")
    message = message if at else path
    where = path.strip("`.") if at else ""
    if unknown := _UNKNOWN.fullmatch(message):
        key = unknown[1]
        # msgspec does not say which vendor.
        if where == "vendors[...]":
            of = (name for name, section in given["vendors"].items() if isinstance(section, dict) and key in section)
            where = f"vendors.{next(of, '...')}"
        message = f"unknown key `{key}`{_meant(key, where.partition('.')[0])}"
    elif words := _allowed(*where.split(".")):
        message += f"; allowed are {', '.join(words)}"
    return " ".join((f"[{where}] {message}" if where else message).split())


def _meant(key: str, section: str) -> str:
    """Return what an unknown key of a section may mean; the empty section is the top of the file."""
    sections = {name: set(type(getattr(Settings(), name)).__struct_fields__)
                for name in Settings.__struct_fields__ if name != "vendors"} | {
                    "vendors": set(Limits.__struct_fields__)}  # fmt: skip
    if hint := near_miss(key, sections.get(section, ()) if section else sections):
        return hint
    homes = [name for name, keys in sections.items() if key in keys]
    named = ["[vendors.NAME]" if name == "vendors" else f"[{name}]" for name in homes]
    return f"; it belongs below {' or '.join(named)}" if named else ""


def _allowed(section: str, key: str = "", *_: str) -> tuple[str, ...]:
    """Return the allowed words of a setting; empty if it takes other values."""
    kind = get_type_hints(type(getattr(Settings(), section, None))).get(key)
    return get_args(kind) if get_origin(kind) is Literal else ()
