"""What the operator can set in settings.toml: every default of the project stands here, once.

`load_settings()` reads the file that TIKTOK_PIPELINE_SETTINGS names (default settings.toml); a missing file
means defaults. Where things lie comes from the environment: see `Places`. Secrets are never settings: each
vendor's file in `providers/` names the environment variables of its credentials.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from tiktok_pipeline.errors import SettingsError


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every section refuses keys that it does not know: a misspelt setting must not pass in silence."""


class Routes(_Section, frozen=True):
    """Capability -> vendors in order of preference; the next is asked where one cannot answer."""

    live: tuple[str, ...] = ("social_fetch", "konbini")
    room: tuple[str, ...] = ("tikhub",)
    # Exact counts first: a rounded one makes the lift of a large account unobservable.
    profile: tuple[str, ...] = ("social_fetch", "konbini", "tikliveapi")
    stories: tuple[str, ...] = ("konbini",)
    user_id: tuple[str, ...] = ("tikliveapi",)
    identity: tuple[str, ...] = ("tikliveapi",)


class Vendor(_Section, frozen=True):
    """How hard one vendor may be asked, and what it may cost."""

    requests_per_second: float = 10.0
    max_in_flight: int = 8
    timeout_s: float = 20.0
    credits_per_day: float | None = None
    credits_per_request: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what could never send a request."""
        if self.requests_per_second <= 0 or self.max_in_flight < 1 or self.timeout_s <= 0:
            raise ValueError("requests_per_second and timeout_s must be above 0 and max_in_flight at least 1")


class Vendors(_Section, frozen=True):
    """Per vendor limits. Defaults stay below what each vendor documents (vendors' notes, sections 1 to 4)."""

    # Konbini documents no limit; Social Fetch recommends up to ~500 in flight.
    konbini: Vendor = Vendor(requests_per_second=20, max_in_flight=16)
    social_fetch: Vendor = Vendor(requests_per_second=50, max_in_flight=32)
    # 200 requests a minute documented.
    tikliveapi: Vendor = Vendor(requests_per_second=3, max_in_flight=4)
    # "No high QPS" is all that the product family says; its sibling documents about 10 a second.
    tikhub: Vendor = Vendor(requests_per_second=5, max_in_flight=4)


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
    policy: Literal["round_robin"] = "round_robin"


class Retries(_Section, frozen=True):
    """How often and how patiently one question is asked again (all vendors)."""

    attempts: int = 3
    backoff_seconds: float = 2.0
    # A vendor that asks for more patience than this is passed over instead.
    longest_wait_seconds: float = 120.0
    # Failures in a row that open a vendor's circuit, and the first pause before it is tried again.
    circuit_failures: int = 8
    circuit_seconds: float = 60.0


class Streams(_Section, frozen=True):
    """Constants of sessionisation (methods, section 3.2)."""

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
        if self.confirm_offline < 1 or self.gap_cap_seconds < 1:
            raise ValueError("confirm_offline and gap_cap_seconds must be at least 1")


class Lift(_Section, frozen=True):
    """Constants of the lift (methods, sections 2.4 and 2.6)."""

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
        if not 0 < self.alpha < 1 or self.max_placebos < 1:
            raise ValueError("alpha must lie between 0 and 1, and max_placebos must be at least 1")


class Retention(_Section, frozen=True):
    """How long things are kept. Raw is kept for ever."""

    snapshots: int = 3


class Settings(_Section, frozen=True):
    """Everything in settings.toml."""

    routes: Routes = Routes()
    vendors: Vendors = Vendors()
    watch: Watch = Watch()
    retries: Retries = Retries()
    streams: Streams = Streams()
    lift: Lift = Lift()
    retention: Retention = Retention()


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
            roster=Path(environment.get("TIKTOK_PIPELINE_ROSTER") or "roster.csv").absolute(),
        )

    @property
    def warehouse(self) -> Path:
        """The folder of the published DuckDB file and Parquet tables."""
        return self.home / "warehouse"


def load_settings(path: Path) -> Settings:
    """Settings from the TOML file at `path`; defaults where the file or a key is missing.

    Raises:
        SettingsError: not TOML, an unknown key, a value of the wrong type, or a vendor that does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    try:
        settings = msgspec.convert(_over(msgspec.to_builtins(Settings()), tomllib.loads(text)), Settings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path.name}: {_plain(error)}") from None
    known = set(Vendors.__struct_fields__)
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
