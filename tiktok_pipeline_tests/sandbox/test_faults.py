"""Faults of the sandbox: their frequency, kinds, repeatability and price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import msgspec
import pytest

from tiktok_pipeline.sandbox.damage import Connection
from tiktok_pipeline.sandbox.faults import PROFILES, Faults, Harm
from tiktok_pipeline.sandbox.konbini import Konbini
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.server import VENDORS
from tiktok_pipeline.sandbox.social_fetch import PROFILE, SocialFetch
from tiktok_pipeline.sandbox.tikhub import TikHub
from tiktok_pipeline.sandbox.vendor import Refusal, Request, Response, Vendor
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker

GOOD = b'{"data":{"good":"response"}}'
REQUESTS = 4_000


def endpoint(request: Request) -> Response:
    return Response(200, GOOD, 1.0)


def numbered_request(vendor: Vendor, number: int, every: timedelta = timedelta(seconds=137)) -> Request:
    return Request("/endpoint", f"creator{number % 20}", {}, START + number * every)


def fates(profile: str, vendor: Vendor, seed: int = 7) -> list[tuple[Response, Harm | Connection | None]]:
    faults = Faults(seed, profile)
    return [faults.respond(vendor, endpoint, numbered_request(vendor, n)) for n in range(REQUESTS)]


def is_good(fate: tuple[Response, Harm | Connection | None]) -> bool:
    return fate[0].body == GOOD and fate[1] is None


@pytest.fixture(params=VENDORS, ids=lambda kind: kind.name)
def vendor(request: pytest.FixtureRequest, world: World) -> Vendor:
    kind: type[Vendor] = request.param
    return kind(world, Ledger())


def test_the_profile_none_changes_no_response(vendor: Vendor) -> None:
    assert all(is_good(fate) for fate in fates("none", vendor))


def test_mild_breaks_one_request_in_fifty_in_ways_that_a_retry_solves(vendor: Vendor) -> None:
    harmed = [fate for fate in fates("mild", vendor) if not is_good(fate)]
    assert 0.012 <= len(harmed) / REQUESTS <= 0.028
    assert {response.status for response, harm in harmed if harm is None} <= {429, 500, 502, 503, 504}
    assert {harm for _, harm in harmed} == {None, Harm.RESET, Harm.SLOW}


def test_nasty_breaks_one_request_in_seven(vendor: Vendor) -> None:
    responses = fates("nasty", vendor)
    # A stale response of this endpoint looks good, so slightly fewer than 15 % are counted.
    assert 0.11 <= sum(not is_good(fate) for fate in responses) / REQUESTS <= 0.18
    bodies = {response.body[:14] for response, harm in responses if harm is None and response.status == 200}
    assert b"" in bodies
    assert b"<!DOCTYPE html" in bodies
    assert b'{"status_code"' in bodies


def test_refused_access_comes_in_windows_that_affect_every_endpoint(vendor: Vendor) -> None:
    faults = Faults(7, "nasty")
    shut_statuses = {401, 402, 403, 428}
    minutes = [numbered_request(vendor, n, timedelta(seconds=30)) for n in range(5 * 2880)]
    shut = [faults.respond(vendor, endpoint, q)[0].status in shut_statuses for q in minutes]
    runs = [len(run) for run in "".join("x" if s else " " for s in shut).split()]
    assert sum(shut) < 0.02 * len(shut)
    assert all(4 * 2 - 1 <= run <= 10 * 2 + 1 for run in runs)


def test_some_vendor_refuses_access_within_a_week(world: World) -> None:
    seen: Counter[int] = Counter()
    for kind in VENDORS:
        api, faults = kind(world, Ledger()), Faults(7, "nasty")
        responses = [
            faults.respond(api, endpoint, numbered_request(api, n, timedelta(seconds=120)))[0] for n in range(5040)
        ]
        seen.update(response.status for response in responses)
    assert sum(seen[status] for status in (401, 402, 403, 428)) > 0


def test_the_same_request_at_the_same_instant_has_the_same_fault(vendor: Vendor) -> None:
    assert fates("nasty", vendor) == fates("nasty", vendor)
    assert fates("nasty", vendor) != fates("nasty", vendor, seed=8)


def test_a_later_retry_may_succeed(vendor: Vendor) -> None:
    faults = Faults(7, "mild")
    failed = [
        q
        for q in (numbered_request(vendor, n) for n in range(REQUESTS))
        if not is_good(faults.respond(vendor, endpoint, q))
    ]
    again = [Request(q.endpoint, q.subject, q.query, q.at + timedelta(milliseconds=700)) for q in failed]
    assert sum(is_good(faults.respond(vendor, endpoint, q)) for q in again) > 0.8 * len(again)


@pytest.mark.parametrize("down", [kind.name for kind in VENDORS])
def test_a_vendor_that_is_down_fails_all_requests_and_the_others_none(world: World, down: str) -> None:
    faults = Faults(7, f"down-{down}")
    for kind in VENDORS:
        api = kind(world, Ledger())
        good = [is_good(faults.respond(api, endpoint, numbered_request(api, n))) for n in range(200)]
        assert any(good) != (kind.name == down)
        assert all(good) != (kind.name == down)


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"awful.*mild"):
        Faults(7, "awful")
    assert {f"down-{kind.name}" for kind in VENDORS} < set(PROFILES)


def test_retry_after_comes_as_seconds_as_a_date_as_text_and_is_sometimes_missing(world: World) -> None:
    api = SocialFetch(world, Ledger())
    responses = [
        (q, Faults(7, "nasty").respond(api, endpoint, q)[0])
        for q in (numbered_request(api, n) for n in range(REQUESTS))
    ]
    limited = [(q.at, dict(a.headers).get(b"retry-after"), a.body) for q, a in responses if a.status == 429]
    seconds = [value for _, value, _ in limited if value is not None and value.isdigit()]
    dates = [(at, parsedate_to_datetime(value.decode())) for at, value, _ in limited if value and not value.isdigit()]
    words = [body for _, value, body in limited if value is None and b"Retry after 30 seconds" in body]
    assert seconds
    assert dates
    assert words
    assert len(limited) > len(seconds) + len(dates) + len(words)
    assert all(timedelta(seconds=18) < date - at <= timedelta(seconds=20) for at, date in dates)


def test_tikhub_reports_usage_limit_as_500_session_expiry_as_428_and_risk_control_inside_a_200(world: World) -> None:
    api, request = TikHub(world, Ledger()), Request("/api/v1//live/info", "1", {}, START)
    limit = api.refuse(Refusal.USAGE_LIMIT, request)
    assert limit.status == 500
    assert b"Usage Limit Exceeded" in limit.body
    assert api.refuse(Refusal.SESSION_EXPIRED, request).status == 428
    risk = api.refuse(Refusal.RISK_CONTROL, request)
    assert risk.status == 200
    assert b'"code":500' in risk.body


def test_faults_are_billed_as_the_vendor_bills_them(world: World) -> None:
    konbini, fetch = Konbini(world, Ledger()), SocialFetch(world, Ledger())
    request = Request(PROFILE, "x", {}, START)
    assert all(konbini.refuse(refusal, request).credits == 0 for refusal in Refusal)
    # A profile that was fetched but not parsed is billed; the same failure elsewhere is not.
    assert fetch.refuse(Refusal.BAD_GATEWAY, request).credits == 1
    assert fetch.refuse(Refusal.BAD_GATEWAY, Request("/other", "x", {}, START)).credits == 0


def test_every_vendor_has_a_body_for_every_refusal(vendor: Vendor) -> None:
    for refusal in Refusal:
        response = vendor.refuse(refusal, Request("/endpoint", "x", {}, START), "in these words")
        assert b"in these words" in response.body
        assert response.status >= 400 or refusal is Refusal.RISK_CONTROL


def test_a_cut_connection_is_in_the_ledger_with_status_zero(world: World, ask_with: Callable[..., Asker]) -> None:
    ask: Asker = ask_with(world, "down-social_fetch")
    cut = 0
    for number in range(40):
        try:
            ask("/social-fetch/v1/tiktok/profiles/x/live", START + timedelta(seconds=number))
        except ConnectionResetError:
            cut += 1
    assert cut > 0
    assert ask("/truth/ledger").json[0]["by_status"]["0"] == cut


def test_an_unmarked_stale_response_is_an_older_one(world: World) -> None:
    api, faults = Konbini(world, Ledger()), Faults(7, "nasty")
    instants: list[tuple[datetime, datetime]] = []
    for number in range(REQUESTS):
        q = numbered_request(api, number)

        def remember(inner: Request, at: datetime = q.at) -> Response:
            instants.append((at, inner.at))
            return endpoint(inner)

        faults.respond(api, remember, q)
    late = [at - inner for at, inner in instants if inner != at]
    assert late
    assert all(timedelta(seconds=60) <= age < timedelta(seconds=1260) for age in late)


def test_a_malformed_response_costs_the_list_price_except_where_only_data_is_billed(vendor: Vendor) -> None:
    spoilt = [response for response, _ in fates("nasty", vendor) if response.status == 200 and response.body == b""]
    assert spoilt
    assert {response.credits for response in spoilt} == ({0.0} if vendor.name == "tikliveapi" else {1.0})


def test_one_instant_written_in_two_time_zones_gives_the_same_response(
    world: World, ask_with: Callable[..., Asker]
) -> None:
    ask = ask_with(world, "nasty")
    east = timezone(timedelta(hours=5, minutes=30))
    for minute in range(200):
        at = START + timedelta(minutes=minute)
        responses = []
        for written in (at, at.astimezone(east)):
            try:
                responses.append(ask(f"/social-fetch/v1/tiktok/profiles/{world.creators[0].handle}/live", written).body)
            except ConnectionResetError:
                responses.append(b"cut")
        assert responses[0] == responses[1]


def test_hostile_damages_one_response_in_twenty_and_records_the_damage(vendor: Vendor) -> None:
    responses = fates("hostile", vendor)
    damaged = [(response, how) for response, how in responses if response.damage is not None]
    assert 0.04 <= len(damaged) / REQUESTS <= 0.06
    assert all(is_good(fate) for fate in responses if fate[0].damage is None)
    assert {response.damage.part for response, _ in damaged if response.damage} == {"body", "headers", "connection"}
    assert all((how is None) == (response.damage.part != "connection") for response, how in damaged if response.damage)
    assert responses == fates("hostile", vendor)


def test_the_share_of_damaged_responses_may_follow_the_profile_name(vendor: Vendor) -> None:
    responses = fates("hostile-body@0.4", vendor)
    assert 0.37 <= sum(response.damage is not None for response, _ in responses) / REQUESTS <= 0.43
    with pytest.raises(ValueError, match="no fault profile"):
        Faults(7, "nasty@0.4")


@pytest.mark.parametrize("part", ["body", "headers", "connection"])
def test_damage_can_be_limited_to_one_part(vendor: Vendor, part: str) -> None:
    responses = fates(f"hostile-{part}", vendor)
    assert {response.damage.part for response, _ in responses if response.damage} == {part}


def test_a_damaged_response_costs_as_much_as_an_undamaged_one(vendor: Vendor) -> None:
    responses = [
        response
        for response, _ in fates("hostile", vendor)
        if response.damage and response.damage.kind != "retry_after"
    ]
    assert {response.credits for response in responses} == {1.0}


def test_another_creators_response_is_intact_and_sometimes_under_this_handle(world: World) -> None:
    fetch, faults = SocialFetch(world, Ledger()), Faults(7, "hostile-body")
    requested = next(c for c in world.creators if c.kind == "public" and c.renamed_at is None)
    others = [c for c in world.creators if c.kind == "public" and c is not requested]
    kinds: Counter[str] = Counter()
    for second in range(20_000):
        response, _ = faults.respond(
            fetch, fetch.profile, Request(PROFILE, requested.handle, {}, START + timedelta(seconds=second))
        )
        if response.damage is not None and response.damage.kind.startswith("another_creator"):
            profile = msgspec.json.decode(response.body)["data"]["profile"]
            assert profile["platformUserId"] in {creator.user_id for creator in others}
            assert (profile["handle"] == requested.handle) == (
                response.damage.kind == "another_creator_under_this_handle"
            )
            kinds[response.damage.kind] += 1
    assert len(kinds) == 2


def test_damage_is_recorded_with_the_request_and_the_path(world: World, ask_with: Callable[..., Asker]) -> None:
    ask: Asker = ask_with(world, "hostile")
    handle = next(creator.handle for creator in world.creators if creator.kind == "public")
    for second in range(400):
        with suppress(ConnectionResetError):
            ask(f"/social-fetch/v1/tiktok/profiles/{handle}/videos?cursor=", START + timedelta(seconds=second))
    rows = ask("/truth/faults").json
    assert 8 <= len(rows) <= 40
    assert {row["subject"] for row in rows} == {handle}
    assert {row["query"] for row in rows} == {"cursor="}
    places = [row["path"] for row in rows if row["kind"] == "type"]
    assert places
    assert all(path == "" or path.startswith("/") for path in places)
    logged = {(row["subject"], row["at"]) for row in ask("/truth/log").json}
    assert {(row["subject"], row["at"]) for row in rows} <= logged
