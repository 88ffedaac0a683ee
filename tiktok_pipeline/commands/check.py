"""`tiktok-pipeline check`: what is set up, what is not, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tiktok_pipeline import postgres, roster, settings
from tiktok_pipeline.capture import memory
from tiktok_pipeline.capture.access import Access, accesses, missing
from tiktok_pipeline.capture.client import open_client
from tiktok_pipeline.capture.clock import RealClock
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.known_gifts import read_known_gifts
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Fate, Target
from tiktok_pipeline.settings import SANDBOX_MARKER
from tiktok_pipeline.upkeep.sizes import measure

_REACH_TIMEOUT_S = 10.0

_OPTIONAL = ("room", "posts", "followers", "user_search", "live_ranking")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; what is off is neither good nor bad."""

    what: str
    good: bool
    said: str
    off: bool = False

    @property
    def mark(self) -> str:
        """How it stands, in a word."""
        return "off" if self.off else "ok" if self.good else "BAD"


def check_deployment(environment: Mapping[str, str], *, spend: bool = False) -> list[Finding]:
    """Look at everything that a deployment needs; never raises.

    With `spend`, a vendor without a free endpoint is asked for one profile, which costs a credit.
    """
    findings: list[Finding] = []
    try:
        places = settings.Places.from_environment(environment)
    except PipelineError as error:
        return [Finding("places", False, str(error))]
    configured = settings.Settings()
    try:
        configured = settings.load_settings(places.settings)
        said = "read" if places.settings.exists() else "no file: every setting has its default"
        findings.append(Finding(f"settings {places.settings.name}", True, said))
    except PipelineError as error:
        findings.append(Finding("settings", False, str(error)))
    findings.extend(_roster(places.roster))
    findings.extend(_known_gifts(configured.gifts.path))
    try:
        keys = accesses(environment)
        findings.extend(_vendors(environment, keys, configured, places.roster if spend else None))
        findings.extend(_routes(configured, keys))
        findings.extend(_invented(places, keys))
    except PipelineError as error:
        findings.append(Finding("vendors", False, str(error)))
    findings.append(_lake(Lake(places.lake)))
    findings.append(_warehouse(places.warehouse))
    findings.append(_postgres(environment))
    return findings


def _roster(path: Path) -> Iterator[Finding]:
    try:
        read = roster.read_roster(path)
    except PipelineError as error:
        yield Finding("roster", False, str(error))
        return
    for problem in read.problems:
        yield Finding("roster", False, problem)
    for note in read.notes:
        yield Finding("roster", True, note)
    many = len(read.creators)
    nobody = "nobody to watch: add somebody with `tiktok-pipeline roster add HANDLE`"
    yield Finding("roster", many > 0, f"{many} creators" if many else nobody)


def _known_gifts(path: Path | None) -> Iterator[Finding]:
    if path is None:
        return
    try:
        many = read_known_gifts(path).height
    except PipelineError as error:
        yield Finding("known gifts", False, str(error))
        return
    yield Finding("known gifts", True, f"streams with known gifts: {many}")


def _vendors(
    environment: Mapping[str, str],
    keys: Mapping[str, Access],
    configured: settings.Settings,
    spend_on: Path | None,
) -> Iterator[Finding]:
    for name, vendor in VENDORS.items():
        lacking = missing(vendor, environment)
        if lacking:
            # Nobody needs all four: whether one is needed, the routes tell.
            yield Finding(f"vendor {name}", True, f"not used: to use it, set {' and '.join(lacking)}", off=True)
        elif "balance" in vendor.endpoints.values():
            yield asyncio.run(_balance(keys[name], configured))
        elif spend_on is not None:
            yield asyncio.run(_spend(keys[name], configured, spend_on))
        else:
            yield asyncio.run(_reach(keys[name]))


async def _balance(access: Access, configured: settings.Settings) -> Finding:
    """Ask the vendor's free endpoint: proves the key, and tells the credits."""
    what = f"vendor {access.vendor.name}"
    landed: list[Attempt] = []
    async with open_client({access.vendor.name: access}, configured, RealClock(), landed.append) as client:
        answer = await client.ask_vendor(access.vendor.name, "balance", Target("", ""))
    if answer is not None:
        return Finding(what, True, f"reachable, the key is good, {access.vendor.describe_balance(answer.body or b'')}")
    verdict = landed[-1].verdict
    if verdict.fate is Fate.VENDOR:
        variables = " and ".join(access.vendor.credential_variables)
        return Finding(what, False, f"refused ({verdict.error}): check {variables}, and the account's credits")
    return Finding(what, False, f"no answer from {access.base_url} ({verdict.error}): check the address and network")


async def _spend(access: Access, configured: settings.Settings, path: Path) -> Finding:
    """Ask for one profile: proves the key, for a credit."""
    what = f"vendor {access.vendor.name}"
    try:
        targets = [creator.target for creator in roster.read_roster(path).creators]
    except PipelineError:
        targets = []
    if not targets:
        return Finding(what, False, "nobody on the roster to ask about: the key was not tried")
    landed: list[Attempt] = []
    async with open_client({access.vendor.name: access}, configured, RealClock(), landed.append) as client:
        answer = await client.ask_vendor(access.vendor.name, "profile", targets[0])
    spent = sum(attempt.verdict.credits or 0.0 for attempt in landed)
    if answer is not None:
        return Finding(what, True, f"the key is good (asked for @{targets[0].handle}, {spent:g} credits)")
    error = landed[-1].verdict.error if landed else "the vendor has no profile to ask for"
    return Finding(what, False, f"no answer ({error}, {spent:g} credits): check the key and the account")


async def _reach(access: Access) -> Finding:
    """See whether anybody is there; the key stays at home, because an answer to it would cost a credit."""
    what = f"vendor {access.vendor.name}"
    try:
        async with httpx.AsyncClient(timeout=_REACH_TIMEOUT_S) as http:
            answer = await http.get(access.base_url + "/")
    except (httpx.HTTPError, OSError) as error:
        return Finding(what, False, f"no answer from {access.base_url} ({type(error).__name__}): check the address")
    return Finding(
        what,
        True,
        f"reachable (HTTP {answer.status_code}); it has no free endpoint: --spend tries the key for a credit",
    )


def _routes(configured: settings.Settings, keys: Mapping[str, Access]) -> Iterator[Finding]:
    for capability in ("live", "profile", "stories", *_OPTIONAL):
        route = getattr(configured.routes, capability)
        usable = [name for name in route if name in keys]
        if usable:
            yield Finding(f"route {capability}", True, ", then ".join(usable))
            continue
        wanted = "; or ".join(" and ".join(VENDORS[name].credential_variables) for name in route)
        # What is optional adds tables and detail; without it everything else still works.
        optional = capability in _OPTIONAL
        said = "nobody can answer, and its table stays empty" if optional else "nobody can answer"
        yield Finding(f"route {capability}", optional, f"{said}: set {wanted}")


def _invented(places: settings.Places, keys: Mapping[str, Access]) -> Iterator[Finding]:
    """Whether real answers would land beside those of a sandbox."""
    real = sorted(name for name, access in keys.items() if access.base_url == access.vendor.base_url)
    if real and (places.home / SANDBOX_MARKER).exists():
        said = (
            f"{places.home} holds a sandbox's invented data, and {', '.join(real)} would land real answers beside it: "
            "name another folder in TIKTOK_PIPELINE_HOME"
        )
        yield Finding("home", False, said)


def _lake(lake: Lake) -> Finding:
    try:
        lake.check_writable()
    except (PipelineError, OSError) as error:
        return Finding("lake", False, str(error))
    broken = measure(lake).unreadable
    if broken:
        others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        what = "no whole Parquet file: put it back from a backup, or move it out of the lake and derive again"
        return Finding("lake", False, f"{broken[0]}{others} is {what}")
    tables = [table.name for table in memory.RAW_TABLES if lake.days(table)]
    return Finding("lake", True, f"{lake.root} is writable; holds {', '.join(tables) or 'nothing yet'}")


def _warehouse(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".check"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding("warehouse", False, f"{folder} cannot be written: {error.strerror}")
    return Finding("warehouse", True, f"{folder} is writable")


def _postgres(environment: Mapping[str, str]) -> Finding:
    try:
        url = settings.postgres_url(environment)
        if url is None:
            return Finding("postgres", True, "off: set TIKTOK_PIPELINE_POSTGRES_URL to publish there too")
        return Finding("postgres", True, postgres.check(url))
    except PipelineError as error:
        return Finding("postgres", False, str(error))
