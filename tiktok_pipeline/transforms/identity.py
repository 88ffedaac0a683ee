"""Decide whether the readings of a day are about the creator or another account, and remove the others.

A response under a creator's handle may be about another account: the handle was taken, or a vendor mixed responses up.
Such a response is removed from every table, its live state is unknown, and `quarantine` says `another account`.

Everything here is a function of raw rows and the roster. `sightings` keeps which account each vendor named, before any
decision; `identities` derives from them which account a creator is (`providers/accounts.py`); `expel` removes rows of
a day. A day is judged by the sightings up to its end. For creators that are not identified by then, the next day counts
too: the responses after a wrong first response reveal it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Literal

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.accounts import ANOTHER_ACCOUNT, Account, Links, Sighting, different, identify
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline.tables import ACCOUNT_SIGHTINGS, LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS, QUARANTINE

# Raw columns that identify a request.
REQUEST_COLUMNS = ("capture_id", "vendor", "endpoint", "creator_id", "subject", "observed_at", "outcome")

_ABOUT = ("creator_id", "vendor", "observed_at", "capture_id")
_IDS = ("user_id", "sec_uid")
_LIVE_CAPABILITIES = ("live", "room", "live_check")

# Rankings and searches list many accounts.
_OF_MANY = ("live_ranking", "live_ranking_of", "user_search", "balance")

# A response without any id belongs to the account of the last response with one, for this long.
_SPEAKS_FOR = timedelta(hours=24)

# A user id is looked up at most once in this time, however many responses are about another account.
_LOOKED_UP_EVERY = timedelta(hours=1)

# An account is identified by its first days, or else by all sightings.
_FIRST_DAYS = timedelta(days=3)


@cache
def asked_by(vendor: str, endpoint: str) -> str:
    """Return the kind of an endpoint's request subject: handle, user_id, room_id or other."""
    reader = VENDORS.get(vendor)
    capability = reader.endpoints.get(endpoint) if reader else None
    if reader is None or capability is None or capability in _OF_MANY:
        return "other"
    probe = Target("creator", "handle", user_id="1111111", sec_uid="MS4wLjABAAAAprobe", room_id="2222222")
    request = reader.request(capability, probe)
    subjects = {probe.handle: "handle", probe.user_id: "user_id", probe.room_id: "room_id"}
    return subjects.get(request.subject, "other") if request else "other"


def sightings(profiles: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """Return which accounts responses named: ACCOUNT_SIGHTINGS, consecutive equal responses as one row.

    Args:
        profiles: PROFILE_OBSERVATIONS schema, as read, before any judgement.
        requests: `REQUEST_COLUMNS` of the raw rows that they were read from.
    """
    kind = ("creator_id", "vendor", "endpoint", "subject")
    seen = (
        profiles.filter(pl.any_horizontal(pl.col(*_IDS, "handle").is_not_null()))
        .join(requests.select("capture_id", "endpoint", "subject"), on="capture_id")
        .select(*kind, "observed_at", "capture_id", *_IDS, "handle")
        .unique()
        .sort(*kind, "observed_at", "capture_id", *_IDS, "handle")
    )
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in (*kind, *_IDS, "handle"))
    runs = (
        seen.with_columns(run=changed.cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            pl.col(*kind, *_IDS, "handle", "observed_at", "capture_id").first(),
            last_observed_at=pl.col("observed_at").last(),
            responses=pl.len(),
        )
        .drop("run")
    )
    return ACCOUNT_SIGHTINGS.conform(_with_asked_by(runs))


def sightings_in_profiles(profiles: pl.DataFrame) -> pl.DataFrame:
    """Return the sightings of a day without stored ones, from its profile rows.

    For days of earlier releases, whose raw rows may have been removed: the requested handle is taken as the seen one.
    """
    rows = profiles.filter(pl.col("handle").is_not_null())
    requests = rows.select("capture_id", endpoint=pl.lit("profile_observations"), subject=pl.col("handle")).unique(
        "capture_id"
    )
    return sightings(rows, requests).with_columns(asked_by=pl.lit("handle"))


def _with_asked_by(frame: pl.DataFrame) -> pl.DataFrame:
    kinds = frame.select("vendor", "endpoint").unique()
    named = kinds.with_columns(
        pl.Series("asked_by", [asked_by(vendor, endpoint) for vendor, endpoint in kinds.iter_rows()], pl.String)
    )
    return frame.join(named, on=["vendor", "endpoint"], how="left", maintain_order="left")


@dataclass(frozen=True)
class Identities:
    """Which account each creator is, and the source of that: `roster`, `responses`, None for a presumption."""

    accounts: dict[str, Account] = field(default_factory=dict)
    known_by: dict[str, str | None] = field(default_factory=dict)
    links: dict[str, Links] = field(default_factory=dict)

    def account(self, creator_id: str) -> Account:
        """Return the creator's account; one without ids if nothing is known."""
        return self.accounts.get(creator_id, Account())

    def is_same(self, creator_id: str, account: Account) -> bool | None:
        """Return whether `account` is the creator's; None if that cannot be decided."""
        links = self.links.get(creator_id)
        return self.account(creator_id).is_same(links.complete(account) if links else account)

    def updated(self, other: Identities) -> Identities:
        """Return these identities, replaced by those of `other` where it has any."""
        return Identities(self.accounts | other.accounts, self.known_by | other.known_by, self.links | other.links)


@dataclass(frozen=True)
class Summary:
    """The evidence of identities in the sightings of some days, in few rows a creator. See `summarize` and `joined`.

    `early`: rows under the roster's handle of each creator's first days. `linked`: creator_id, user_id, sec_uid, the
    sum of responses and the first time. `recent`: rows of requests by handle, of the last day of each creator and
    handle.
    """

    early: pl.DataFrame
    linked: pl.DataFrame
    recent: pl.DataFrame


def summarize(history: pl.LazyFrame) -> Summary:
    """Return the summary of sightings.

    Args:
        history: ACCOUNT_SIGHTINGS schema, any order.
    """
    own = history.filter(_under_own_handle())
    begun = own.group_by("creator_id").agg(begun=pl.col("observed_at").min())
    early = own.join(begun, on="creator_id").filter(pl.col("observed_at") <= pl.col("begun") + _FIRST_DAYS)
    linked = (
        history.filter(pl.all_horizontal(pl.col(*_IDS).is_not_null()))
        .group_by("creator_id", *_IDS)
        .agg(pl.col("responses").sum(), pl.col("observed_at").min())
    )
    by_handle = history.filter(pl.col("asked_by") == "handle")
    newest = by_handle.group_by("creator_id", "subject").agg(newest=pl.col("last_observed_at").max())
    recent = by_handle.join(newest, on=["creator_id", "subject"]).filter(
        pl.col("last_observed_at") >= pl.col("newest") - _SPEAKS_FOR
    )
    return Summary(*pl.collect_all([early.drop("begun"), linked, recent.drop("newest")]))


def joined(earlier: Summary, later: Summary) -> Summary:
    """Return the summary of the sightings of two summaries together."""
    both = summarize(pl.concat([earlier.early, later.early]).lazy()).early
    recent = summarize(pl.concat([earlier.recent, later.recent]).lazy()).recent
    linked = (
        pl.concat([earlier.linked, later.linked])
        .group_by("creator_id", *_IDS)
        .agg(pl.col("responses").sum(), pl.col("observed_at").min())
    )
    return Summary(both, linked, recent)


def identities(
    history: pl.LazyFrame,
    listed: Mapping[str, Account],
    creators: Iterable[str] | None = None,
    summary: Summary | None = None,
) -> Identities:
    """Return which account each creator is.

    Args:
        history: ACCOUNT_SIGHTINGS schema, of all days that count, any order.
        listed: the ids on the roster, by creator.
        creators: the creators to identify; None for all in `history` and on the roster.
        summary: the summary of `history`, if it was computed. Then only creators that it does not identify are read.
    """
    if creators is not None:
        history = history.filter(pl.col("creator_id").is_in(list(creators)))
    summary = summarize(history) if summary is None else summary
    first, linked = (
        frame if creators is None else frame.filter(pl.col("creator_id").is_in(list(creators)))
        for frame in (summary.early, summary.linked)
    )
    links: dict[str, list[tuple[Account, int]]] = defaultdict(list)
    for creator_id, user_id, sec_uid, responses, _ in linked.sort("observed_at", *_IDS).iter_rows():
        links[creator_id].append((Account.of(user_id, sec_uid), responses))
    by_creator = {creator_id: Links.of(found) for creator_id, found in links.items()}
    wanted = set(creators) if creators is not None else set(listed) | set(first["creator_id"]) | set(links)
    found = _identified(first, by_creator, listed, wanted)
    unsure = sorted(creator_id for creator_id, how in found.known_by.items() if how is None)
    if unsure and not first.is_empty():
        own = history.filter(_under_own_handle())
        later = own.filter(pl.col("creator_id").is_in(unsure)).collect()
        found = found.updated(_identified(later, by_creator, listed, unsure))
    return Identities(found.accounts, found.known_by, by_creator)


def _under_own_handle() -> pl.Expr:
    """Select sightings that may identify a creator: under the roster's handle, which the operator vouches for."""
    return (
        (pl.col("asked_by") == "handle")
        & (pl.col("subject") == pl.col("creator_id"))
        & (pl.col("handle") == pl.col("subject")).fill_null(value=True)
        & pl.any_horizontal(pl.col(*_IDS).is_not_null())
    )


def _identified(
    own: pl.DataFrame, links: Mapping[str, Links], listed: Mapping[str, Account], wanted: Iterable[str]
) -> Identities:
    seen: dict[str, list[Sighting]] = defaultdict(list)
    columns = ("creator_id", *_IDS, "vendor", "observed_at", "last_observed_at", "responses")
    # A loop: few rows a creator, and a decision that is no expression.
    for creator_id, user_id, sec_uid, vendor, first, last, responses in own.select(columns).iter_rows():
        if account := Account.of(user_id, sec_uid):
            seen[creator_id].append(Sighting(account, vendor, first, last, responses))
    found = Identities()
    for creator_id in wanted:
        account, how = identify(listed.get(creator_id, Account()), seen[creator_id], links.get(creator_id, Links()))
        found.accounts[creator_id] = account
        found.known_by[creator_id] = how
    return found


def judged(seen: pl.DataFrame, known: Identities) -> pl.DataFrame:
    """Return `seen` with `same` (null: undecided), and `field` and `value` of the difference.

    Args:
        seen: creator_id, user_id, sec_uid, handle, and where the request was by handle, asked_by and subject.
        known: the creators' accounts.
    """
    ids = seen.select("creator_id", *_IDS).unique()
    rows = []
    for creator_id, user_id, sec_uid in ids.iter_rows():
        account = Account.of(user_id, sec_uid)
        same = known.is_same(creator_id, account) if account else None
        problem = different(account, known.account(creator_id)) if same is False else None
        rows.append(
            (creator_id, user_id, sec_uid, same, problem.field if problem else None, problem.value if problem else None)
        )
    schema = {"creator_id": pl.String, **dict.fromkeys(_IDS, pl.String), "same": pl.Boolean}
    verdicts = pl.DataFrame(rows, schema=schema | {"field": pl.String, "value": pl.String}, orient="row")
    compared = seen.join(verdicts, on=["creator_id", *_IDS], how="left", nulls_equal=True, maintain_order="left")
    # A handle that no known id vouches for is another account's.
    unvouched = (
        (pl.col("asked_by") == "handle")
        & pl.col("same").is_null()
        & (pl.col("handle") != pl.col("subject").str.to_lowercase()).fill_null(value=False)
    )
    return (
        compared.with_columns(unvouched=unvouched)
        .with_columns(
            same=pl.when("unvouched").then(pl.lit(value=False)).otherwise("same"),
            field=pl.when("unvouched").then(pl.lit("handle")).otherwise("field"),
            value=pl.when("unvouched").then("handle").otherwise("value"),
        )
        .drop("unvouched")
    )


def other_accounts(
    frames: Mapping[str, pl.DataFrame], requests: pl.DataFrame, known: Identities, before: pl.DataFrame
) -> pl.DataFrame:
    """Return the responses that are about another account than their creator's, each with the difference.

    Args:
        frames: normalized tables by name, of all raw rows of one day, as read.
        requests: `REQUEST_COLUMNS` and the raw `table`, of the same rows.
        known: the creators' accounts.
        before: ACCOUNT_SIGHTINGS of the day before.

    Returns:
        The columns of `requests`, capability, field, value; in order of time.
    """
    requested = _with_response(requests)
    seen = frames[PROFILE_OBSERVATIONS.name].filter(pl.any_horizontal(pl.col(*_IDS, "handle").is_not_null()))
    named = judged(
        seen.select("capture_id", "creator_id", *_IDS, "handle").join(
            requested.select("capture_id", "asked_by", "subject"), on="capture_id"
        ),
        known,
    )
    named = (
        named.sort("capture_id", pl.col("same").fill_null(value=True), "field", "value")
        .group_by("capture_id", maintain_order=True)
        .agg(
            # One reading about another account is enough; a response without any id does not decide.
            same=pl.col("same").drop_nulls().first(),
            field=pl.col("field").drop_nulls().first(),
            value=pl.col("value").drop_nulls().first(),
            handle=pl.col("handle").drop_nulls().first(),
        )
    )
    responses = requested.join(named, on="capture_id", how="left", maintain_order="left")
    responses = _by_user_id(responses, known)
    responses = _by_room(responses, frames[LIVE_OBSERVATIONS.name])
    responses = _by_neighbours(responses, _with_content(frames), judged(before, known))
    others = responses.filter(pl.col("same").eq_missing(pl.lit(value=False))).drop("handle")
    return others.sort("observed_at", "capture_id")


def expel(frames: Mapping[str, pl.DataFrame], others: pl.DataFrame, raw_table: str) -> dict[str, pl.DataFrame]:
    """Return `frames` without the readings of other accounts; each response becomes a row of quarantine.

    Args:
        frames: normalized tables by name, of the rows of one raw table.
        others: what `other_accounts` returned.
        raw_table: the raw table's name.
    """
    foreign = others.filter(pl.col("table") == raw_table)
    if foreign.is_empty():
        return dict(frames)
    remaining = {
        name: frame
        if name == QUARANTINE.name
        else frame.join(foreign.select("capture_id"), on="capture_id", how="anti", maintain_order="left")
        for name, frame in frames.items()
    }
    unknown = foreign.filter(pl.col("capability").is_in(_LIVE_CAPABILITIES)).select(
        *_ABOUT, live_state=pl.lit("unknown"), evidence=pl.lit("weak"), reason=pl.lit(ANOTHER_ACCOUNT)
    )
    noted = foreign.select(*_ABOUT, "table", reason=pl.lit(ANOTHER_ACCOUNT), field="field", value="value")
    for table, rows in ((LIVE_OBSERVATIONS, unknown), (QUARANTINE, noted)):
        remaining[table.name] = pl.concat([remaining[table.name], rows], how="diagonal").select(table.schema.names())
    return remaining


def _with_response(requests: pl.DataFrame) -> pl.DataFrame:
    """Return requests about one creator that got a response, with their capability and `asked_by`."""
    with_body = requests.filter(
        pl.col("creator_id").is_not_null(),
        pl.col("outcome").is_in([Outcome.OK.value, Outcome.NOT_LIVE.value, Outcome.PRIVATE.value]),
    )
    kinds = with_body.select("vendor", "endpoint").unique()
    capabilities = [
        VENDORS[vendor].endpoints.get(endpoint) if vendor in VENDORS else None for vendor, endpoint in kinds.iter_rows()
    ]
    named = kinds.with_columns(pl.Series("capability", capabilities, pl.String))
    return (
        _with_asked_by(with_body)
        .join(named, on=["vendor", "endpoint"], how="left", maintain_order="left")
        .filter(pl.col("capability").is_not_null(), ~pl.col("capability").is_in(_OF_MANY))
    )


def _by_user_id(responses: pl.DataFrame, known: Identities) -> pl.DataFrame:
    """Mark responses without ids as another account's if they were requested by that account's user id."""
    requested = responses.filter(pl.col("asked_by") == "user_id", pl.col("same").is_null())
    pairs = requested.select("creator_id", "subject").unique()
    other = [known.is_same(creator, Account.of(subject)) is False for creator, subject in pairs.iter_rows()]
    found = pairs.filter(pl.Series(other, dtype=pl.Boolean))
    return _marked(responses, requested.join(found, on=["creator_id", "subject"], how="semi"), "user_id")


def _by_room(responses: pl.DataFrame, live: pl.DataFrame) -> pl.DataFrame:
    """Mark a room without an owner as another account's if only that account's responses named it."""
    rooms = (
        live.filter(pl.col("room_id").is_not_null())
        .select("capture_id", "room_id")
        .join(
            responses.filter(pl.col("asked_by") != "room_id").select("capture_id", "creator_id", "same"),
            on="capture_id",
        )
    )
    other = pl.col("same").eq_missing(pl.lit(value=False))
    foreign = rooms.filter(other).join(rooms.filter(~other), on=["creator_id", "room_id"], how="anti")
    requested = responses.filter(pl.col("asked_by") == "room_id", pl.col("same").is_null())
    found = requested.join(foreign, left_on=["creator_id", "subject"], right_on=["creator_id", "room_id"], how="semi")
    return _marked(responses, found, "room_id")


def _marked(responses: pl.DataFrame, others: pl.DataFrame, field: str) -> pl.DataFrame:
    mark = pl.col("capture_id").is_in(others["capture_id"].implode())
    return responses.with_columns(
        same=pl.when(mark).then(pl.lit(value=False)).otherwise("same"),
        field=pl.when(mark).then(pl.lit(field)).otherwise("field"),
        value=pl.when(mark).then("subject").otherwise("value"),
    )


def _with_content(frames: Mapping[str, pl.DataFrame]) -> pl.Series:
    """Return captures with any data about a creator."""
    found = []
    for name, frame in frames.items():
        if name == QUARANTINE.name:
            continue
        rows = frame.filter(pl.col("live_state") != "unknown") if name == LIVE_OBSERVATIONS.name else frame
        found.append(rows["capture_id"])
    return pl.concat(found).unique()


def _by_neighbours(responses: pl.DataFrame, content: pl.Series, before: pl.DataFrame) -> pl.DataFrame:
    """Assign a response under a handle without any id to the account that the handle had in the last response with one.

    The same vendor's last response counts first, then any vendor's, then the next one. A response with the handle and
    no id is a private account's. It stays the creator's if a look-up of the creator's user id found the handle at
    about the time of the response about another account: that response was then mixed up by the vendor.
    """
    by_handle = pl.col("asked_by") == "handle"
    spoken = pl.concat(
        [
            responses.filter(by_handle, pl.col("same").is_not_null()).select(*_NEIGHBOUR),
            before.filter(by_handle, pl.col("same").is_not_null())
            .with_columns(observed_at="last_observed_at")
            .select(*_NEIGHBOUR),
        ]
    ).sort("observed_at", "same")
    # Fast path: nearly always there is nothing to distinguish.
    if spoken.is_empty() or spoken["same"].all():
        return responses
    silent = responses.filter(by_handle, pl.col("same").is_null(), pl.col("capture_id").is_in(content.implode())).sort(
        "observed_at"
    )
    if silent.is_empty():
        return responses
    orders: tuple[tuple[list[str], Literal["backward", "forward"]], ...] = (
        (["creator_id", "subject", "vendor"], "backward"),
        (["creator_id", "subject"], "backward"),
        (["creator_id", "subject"], "forward"),
    )
    asof = [
        silent.select("capture_id", "creator_id", "subject", "vendor", "observed_at", "handle").join_asof(
            spoken.select(*by, "observed_at", "same", "field", "value", spoken_at="observed_at"),
            on="observed_at",
            by=by,
            strategy=strategy,
            tolerance=_SPEAKS_FOR,
            check_sortedness=False,
        )
        for by, strategy in orders
    ]
    first = pl.concat(asof).filter(pl.col("same").is_not_null()).unique("capture_id", keep="first", maintain_order=True)
    others = _not_looked_up(first.filter(~pl.col("same")), responses, before).select(
        "capture_id", other_field="field", other_value="value"
    )
    mark = pl.col("other_value").is_not_null()
    return (
        responses.join(others, on="capture_id", how="left", maintain_order="left")
        .with_columns(
            same=pl.when(mark).then(pl.lit(value=False)).otherwise("same"),
            field=pl.coalesce("field", "other_field"),
            value=pl.coalesce("value", "other_value"),
        )
        .drop("other_field", "other_value")
    )


def _not_looked_up(others: pl.DataFrame, responses: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return `others` without handles that a look-up of the creator's user id found, at about `spoken_at` or later."""
    found = pl.col("asked_by") == "user_id", pl.col("same"), pl.col("handle").is_not_null()
    looked_up = pl.concat(
        [
            responses.filter(*found).select("creator_id", "handle", "observed_at"),
            before.filter(*found).select("creator_id", "handle", observed_at="last_observed_at"),
        ]
    ).sort("observed_at")
    found_at = [
        others.sort("observed_at").join_asof(
            looked_up.with_columns(found_at="observed_at"),
            on="observed_at",
            by=["creator_id", "handle"],
            strategy=strategy,
            tolerance=_SPEAKS_FOR,
            check_sortedness=False,
        )
        for strategy in ("backward", "forward")
    ]
    earlier, later = found_at
    back = pl.col("spoken_at") <= pl.col("observed_at")
    mixed_up = pl.concat([earlier.filter(back), later.filter(~back)]).filter(
        pl.col("found_at") >= pl.col("spoken_at") - _LOOKED_UP_EVERY
    )
    return others.join(mixed_up.select("capture_id"), on="capture_id", how="anti")


_NEIGHBOUR = ("creator_id", "subject", "vendor", "observed_at", "same", "field", "value")


def doubted(responses: pl.DataFrame, seen: pl.DataFrame, known: Identities) -> pl.DataFrame:
    """Return profile responses; `known` is false for those about another account, which prove nothing.

    Args:
        responses: creator_id, vendor, endpoint, observed_at, known.
        seen: ACCOUNT_SIGHTINGS of the days of `responses`.
        known: the creators' accounts.
    """
    others = judged(seen, known).filter(pl.col("same").eq_missing(pl.lit(value=False)))
    kind = ["creator_id", "vendor", "endpoint"]
    spans = others.select(*kind, "last_observed_at", first="observed_at")
    foreign = (
        responses.join(spans, on=kind)
        .filter(pl.col("observed_at").is_between("first", "last_observed_at"))
        .select(*kind, "observed_at")
        .unique()
        .with_columns(other=pl.lit(value=True))
    )
    return (
        responses.join(foreign, on=[*kind, "observed_at"], how="left", maintain_order="left")
        .with_columns(known=pl.col("known") & pl.col("other").is_null())
        .drop("other")
    )


def taken_handles(
    history: pl.LazyFrame, handles: pl.DataFrame, known: Identities, summary: Summary | None = None
) -> pl.DataFrame:
    """Return handles that belong to another account now, by the last response of each vendor within a day.

    Args:
        history: ACCOUNT_SIGHTINGS schema, of all days.
        handles: creator_id, handle: the creators' handles.
        known: the creators' accounts.
        summary: the summary of `history`, if it was computed. Then only creators with a taken handle are read.

    Returns:
        creator_id, handle_taken_by (user id, else secUid, else handle), handle_taken_at.
    """
    recent = (summarize(history).recent if summary is None else summary.recent).join(
        handles, left_on=["creator_id", "subject"], right_on=["creator_id", "handle"], how="semi"
    )
    holder = pl.coalesce("user_id", "sec_uid", "handle")
    latest = (
        judged(recent, known)
        .filter(pl.col("same").is_not_null())
        .sort("last_observed_at", "same")
        .group_by("creator_id", "vendor", maintain_order=True)
        .last()
        .filter(~pl.col("same"))
        .sort("last_observed_at", "vendor")
        .group_by("creator_id", maintain_order=True)
        .last()
        .select("creator_id", handle_taken_by=holder)
    )
    if latest.is_empty():
        return latest.with_columns(handle_taken_at=pl.lit(None, ACCOUNT_SIGHTINGS.schema["observed_at"]))
    under_handle = history.filter(pl.col("asked_by") == "handle").join(
        handles.lazy(), left_on=["creator_id", "subject"], right_on=["creator_id", "handle"], how="semi"
    )
    # Taken since the first response about that account after the last one about the creator.
    seen = judged(under_handle.join(latest.lazy(), on="creator_id", how="semi").collect(), known)
    own = seen.filter("same").group_by("creator_id").agg(own_until=pl.col("last_observed_at").max())
    foreign = seen.with_columns(handle_taken_by=holder).join(latest, on=["creator_id", "handle_taken_by"], how="semi")
    after = (pl.col("observed_at") > pl.col("own_until")).fill_null(value=True)
    since = (
        foreign.join(own, on="creator_id", how="left")
        .group_by("creator_id")
        .agg(first=pl.col("observed_at").filter(after).min(), newest=pl.col("observed_at").max())
    )
    return latest.join(since, on="creator_id").select(
        "creator_id", "handle_taken_by", handle_taken_at=pl.coalesce("first", "newest")
    )


def requests_of(raw: pl.DataFrame, table: tables.Table) -> pl.DataFrame:
    """Return the columns of raw rows that identify the request."""
    return raw.select(*REQUEST_COLUMNS, table=pl.lit(table.name))
