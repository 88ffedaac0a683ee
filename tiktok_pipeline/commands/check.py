"""`tiktok-pipeline check`: report what is set up, what is missing, and how to fix it."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from tiktok_pipeline.capture.client import PROXY_AUTHENTICATION, USER_AGENT, open_client
from tiktok_pipeline.capture.clock import RealClock, real_clock, replaying
from tiktok_pipeline.capture.connections import Connections, fault
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.capture.rounds import live_round
from tiktok_pipeline.commands.instance import instance_home, problems
from tiktok_pipeline.config import roster, settings
from tiktok_pipeline.config.access import Access, accesses, missing
from tiktok_pipeline.config.known_gifts import read_known_gifts
from tiktok_pipeline.config.settings import SANDBOX_MARKER
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Fate, Target
from tiktok_pipeline.publish import postgres
from tiktok_pipeline.tables import RAW_TABLES
from tiktok_pipeline.upkeep.sizes import measure

Found = TypeVar("Found")

_REACH_TIMEOUT_S = 10.0

# Damaged files that get a line of their own.
_MOST_NAMED = 20

_OPTIONAL = ("room", "posts", "followers", "user_search", "live_ranking")


@dataclass(frozen=True)
class Finding:
    """The result of one check; `off` means optional and unused, which is neither good nor bad."""

    what: str
    good: bool
    message: str
    off: bool = False

    @property
    def mark(self) -> str:
        """Return the result in one word."""
        return "off" if self.off else "ok" if self.good else "BAD"


def check_deployment(environment: Mapping[str, str], *, spend: bool = False) -> list[Finding]:
    """Check everything that a deployment needs; never raises.

    With `spend`, one profile is requested from a vendor without a free endpoint, which costs a credit.
    """
    return [replace(finding, message=_one_line(finding.message)) for finding in _findings(environment, spend)]


def _findings(environment: Mapping[str, str], spend: bool) -> Iterator[Finding]:
    yield from _tried("clock", lambda: _clock(environment))
    yield from _tried("environment", lambda: _variables(environment))
    found = _tried("places", lambda: [settings.Places.from_environment(environment)])
    places = found[0]
    if isinstance(places, Finding):
        yield places
        return
    configured = settings.Settings()

    def read_settings() -> Iterator[Finding]:
        nonlocal configured
        configured = settings.load_settings(places.settings)
        if places.settings.exists():
            yield Finding("settings", True, f"{places.settings} is valid")
        elif environment.get("TIKTOK_PIPELINE_SETTINGS"):
            message = (
                f"TIKTOK_PIPELINE_SETTINGS names {places.settings}, which is missing: make it, or unset the variable"
            )
            yield Finding("settings", False, message)
        else:
            message = f"no file {places.settings}: every setting has its default (`tiktok-pipeline init` makes one)"
            yield Finding("settings", True, message, off=True)

    yield from _tried("settings", read_settings)
    yield from _tried("roster", lambda: _roster(places.roster))
    yield from _tried("known gifts", lambda: _known_gifts(configured.gifts.path))
    keys = _tried("vendors", lambda: [accesses(environment)])[0]
    if isinstance(keys, Finding):
        yield keys
    else:
        yield from _vendors(environment, keys, configured, places.roster if spend else None)
        if keys:
            yield from _routes(configured, keys)
        else:
            yield Finding("routes", False, f"no vendor has a key: begin with {_first_key(configured)}")
        yield from _tried("round", lambda: _round(configured, places.roster, keys, replaying(environment)))
        yield from _tried("home", lambda: _invented(places, keys))
    yield from _tried("lake", lambda: _lake(Lake(places.lake)))
    yield from _tried("warehouse", lambda: [_warehouse(places.warehouse)])
    yield from _tried("dagster", lambda: _dagster(instance_home(environment, places)))
    yield from _tried("postgres", lambda: [_postgres(environment)])
    if not environment.get("TIKTOK_PIPELINE_ALERT_WEBHOOK"):
        yield Finding("alerts", True, "not sent: to send them, set TIKTOK_PIPELINE_ALERT_WEBHOOK", off=True)


def _tried(what: str, look: Callable[[], Iterable[Found]]) -> list[Found | Finding]:
    """Run one check. An exception becomes a finding; an unforeseen one is reported by its type only."""
    try:
        return list(look())
    except PipelineError as error:
        return [Finding(what, False, str(error))]
    except Exception as error:
        return [Finding(what, False, f"cannot be checked: {type(error).__name__}")]


def _one_line(text: str) -> str:
    """Return text that a terminal can print in one line, without the user name and password of a URL."""
    text = re.sub(r":/{1,2}[^/\s]*@", "://", text.encode("utf-8", "replace").decode())
    text = re.sub(r"[^/\s:@]+:[^/\s@]+@", "", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _clock(environment: Mapping[str, str]) -> Iterator[Finding]:
    if replaying(environment):
        yield Finding("clock", True, "replay: requests are for past times; only test servers support them")
    real_clock(environment)


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check for misspelt variables, which have no effect, and for values without effect."""
    known = {"TIKTOK_PIPELINE_": set(settings.VARIABLES)} | {
        f"{name.upper()}_": {*vendor.credential_variables, vendor.base_url_variable} for name, vendor in VENDORS.items()
    }
    for prefix, names in known.items():
        ends = {name.removeprefix(prefix): name for name in names}
        for name in sorted(environment.keys() - names):
            # By the part that differs: the common start would make all names alike.
            found = name.startswith(prefix) and difflib.get_close_matches(name.removeprefix(prefix), ends, n=1)
            if found:
                yield Finding("environment", False, f"{name} has no effect; did you mean `{ends[found[0]]}`?")
    schedules = environment.get("TIKTOK_PIPELINE_SCHEDULES") or "off"
    if schedules not in ("on", "off"):
        yield Finding(
            "environment",
            False,
            f"TIKTOK_PIPELINE_SCHEDULES must be on or off, not {schedules[:40]!r}: on starts all schedules, off leaves "
            "them as they are in the UI",
        )


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
    no_creator = "no creator to watch: add one with `tiktok-pipeline roster add HANDLE`"
    yield Finding("roster", many > 0, f"{many} creators" if many else no_creator)


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
    # Keep the timeout short: a person waits for the result.
    patience = min(configured.responses.deadline_seconds, _REACH_TIMEOUT_S)
    responses = msgspec.structs.replace(configured.responses, deadline_seconds=patience)
    configured = msgspec.structs.replace(configured, responses=responses)
    for name, vendor in VENDORS.items():
        what = f"vendor {name}"
        lacking = missing(vendor, environment)
        if lacking:
            # No deployment needs all four vendors; the check of the routes shows which ones are missing.
            yield Finding(what, True, f"not used: to use it, set {' and '.join(lacking)}", off=True)
            continue
        yield from _tried(what, partial(_vendor, keys[name], configured, spend_on))


def _vendor(access: Access, configured: settings.Settings, spend_on: Path | None) -> list[Finding]:
    if "balance" in access.vendor.endpoints.values():
        return [asyncio.run(_balance(access, configured))]
    if spend_on is not None:
        return [asyncio.run(_spend(access, configured, spend_on))]
    return [asyncio.run(_reach(access))]


async def _balance(access: Access, configured: settings.Settings) -> Finding:
    """Poll the vendor's free endpoint, which proves the key and returns the credits."""
    what = f"vendor {access.vendor.name}"
    attempts: list[Attempt] = []
    async with open_client({access.vendor.name: access}, configured, RealClock(), attempts.append) as client:
        response = await client.request_from(access.vendor.name, "balance", Target("", ""))
    if response is not None:
        balance = access.vendor.describe_balance(response.body or b"")
        return Finding(what, True, f"reachable, the key is valid, {balance}")
    if not attempts:
        return Finding(what, False, "no request sent: credits_per_day leaves no credit for one")
    verdict = attempts[-1].verdict
    if verdict.fate is Fate.VENDOR:
        variables = " and ".join(access.vendor.credential_variables)
        return Finding(what, False, f"refused ({verdict.error}): check {variables}, and the account's credits")
    return _no_response(access, verdict.error)


async def _spend(access: Access, configured: settings.Settings, path: Path) -> Finding:
    """Request one profile, which proves the key and costs a credit."""
    what = f"vendor {access.vendor.name}"
    try:
        targets = [creator.target for creator in roster.read_roster(path).creators]
    except PipelineError:
        targets = []
    if not targets:
        return Finding(what, False, "no creator on the roster to poll: the key was not tested")
    attempts: list[Attempt] = []
    async with open_client({access.vendor.name: access}, configured, RealClock(), attempts.append) as client:
        response = await client.request_from(access.vendor.name, "profile", targets[0])
    spent = sum(attempt.verdict.credits or 0.0 for attempt in attempts)
    if response is not None:
        return Finding(what, True, f"the key is valid (polled @{targets[0].handle}, {spent:g} credits)")
    error = attempts[-1].verdict.error if attempts else "the vendor has no profile endpoint"
    return Finding(what, False, f"no response ({error}, {spent:g} credits): check the key and the account")


async def _reach(access: Access) -> Finding:
    """Check that the vendor's server responds. The key is not sent, because such a request would cost a credit."""
    connections = Connections(access.network, access.base_url)
    address = str(httpx.URL(f"{access.base_url}/"))
    try:
        async with asyncio.timeout(_REACH_TIMEOUT_S):
            reply = await connections.get(address, {}, {"User-Agent": USER_AGENT}, _REACH_TIMEOUT_S)
            await reply.aclose()
    except Exception as error:
        return _no_response(access, fault(error))
    finally:
        await connections.aclose()
    if reply.status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        return _no_response(access, PROXY_AUTHENTICATION)
    # Most servers have no page at this address. Only an error of the server itself says something about the vendor.
    trouble = f", but with an error of its server (HTTP {reply.status})" if reply.status >= 500 else ""
    return Finding(
        f"vendor {access.vendor.name}",
        True,
        f"reachable{trouble}; the key is not tested: the vendor has no free endpoint, --spend tests it for a credit",
    )


def _no_response(access: Access, error: str | None) -> Finding:
    route = access.network.route(access.base_url)
    check = "the proxy, the address and the network" if route else "the address and the network"
    message = f"no response from {access.base_url}{route} ({error}): check {check}"
    if error is not None and "Certificate" in error:
        message += "; SSL_CERT_FILE names a file of certificate authorities of your own"
    return Finding(f"vendor {access.vendor.name}", False, message)


def _routes(configured: settings.Settings, keys: Mapping[str, Access]) -> Iterator[Finding]:
    for capability in ("live", "profile", "stories", *_OPTIONAL):
        route = getattr(configured.routes, capability)
        usable = [name for name in route if name in keys]
        if usable:
            yield Finding(f"route {capability}", True, ", then ".join(usable))
            continue
        variables = "; or ".join(" and ".join(VENDORS[name].credential_variables) for name in route)
        remedy = f"set {variables}" if route else f"[routes] {capability} in the settings names none"
        # Optional routes add tables and detail; everything else works without them.
        optional = capability in _OPTIONAL
        message = "no vendor, and its table stays empty" if optional else "no vendor available"
        yield Finding(f"route {capability}", optional, f"{message}: {remedy}", off=optional)


def _first_key(configured: settings.Settings) -> str:
    """Return the variables of the vendor to begin with: the first for live states."""
    names = [*configured.routes.live, *VENDORS]
    return " and ".join(VENDORS[names[0]].credential_variables)


def _round(
    configured: settings.Settings, path: Path, keys: Mapping[str, Access], on_replay_clock: bool
) -> Iterator[Finding]:
    """Check that the roster can be polled in a round of `[watch] round_seconds`."""
    try:
        creators = len(roster.read_roster(path).creators)
    except PipelineError:
        return  # reported as a problem of the roster
    found = live_round(configured, creators, keys.keys(), replaying=on_replay_clock)
    if found is not None:
        yield Finding("round", found.fits, found.problem or found.summary)


def _invented(places: settings.Places, keys: Mapping[str, Access]) -> Iterator[Finding]:
    """Check that no vendor's real responses would be stored beside those of a sandbox."""
    real = sorted(name for name, access in keys.items() if access.base_url == access.vendor.base_url)
    if real and (places.home / SANDBOX_MARKER).exists():
        message = (
            f"{places.home} holds a sandbox's invented data, and {', '.join(real)} would store real responses beside "
            "it: name another folder in TIKTOK_PIPELINE_HOME"
        )
        yield Finding("home", False, message)


def _lake(lake: Lake) -> Iterator[Finding]:
    try:
        lake.check_writable()
        sizes = measure(lake)
        tables = [table.name for table in RAW_TABLES if lake.days(table)]
    except (PipelineError, OSError) as error:
        yield Finding("lake", False, str(error))
        return
    yield Finding("lake", True, f"{lake.root} is writable; holds {', '.join(tables) or 'nothing yet'}")
    for path, reason in list(sizes.damaged.items())[:_MOST_NAMED]:
        raw = (lake.root / "raw") in path.parents
        advice = "restore it from a backup, or move it out of the lake" if raw else "the next `derive` rebuilds it"
        yield Finding("lake", False, f"{path} cannot be read ({reason}) and is skipped: {advice}")
    if len(sizes.damaged) > _MOST_NAMED:
        yield Finding("lake", False, f"{len(sizes.damaged) - _MOST_NAMED} more files cannot be read")
    if sizes.stray:
        more = f" and {len(sizes.stray) - 1} more files" if len(sizes.stray) > 1 else ""
        yield Finding("lake", True, f"no read uses {sizes.stray[0]}{more}: move such files out of the lake", off=True)
    if sizes.aside:
        more = f" and {len(sizes.aside) - 1} more" if len(sizes.aside) > 1 else ""
        advice = f"{sizes.aside[0]}{more}: it blocked a file and was moved there; inspect it, and delete it"
        yield Finding("lake", True, advice, off=True)


def _dagster(home: Path) -> Iterator[Finding]:
    found = list(problems(home))
    for problem in found:
        yield Finding("dagster", False, problem)
    if not found:
        yield Finding("dagster", True, f"{home} can be used" if home.exists() else f"{home} is created when needed")


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
            message = "not used: to publish there too, set TIKTOK_PIPELINE_POSTGRES_URL"
            return Finding("postgres", True, message, off=True)
        return Finding("postgres", True, postgres.check(url))
    except PipelineError as error:
        return Finding("postgres", False, str(error))
