"""`tiktok-pipeline forget HANDLE`: erase a creator from every layer and from what is published.

The only command that deletes raw. A row goes when it is the creator's, and also when it only mentions them: as a
hit of a search, in a ranking, in somebody else's follower list. The creator leaves the roster too, or the next
window would ask again, and the file of known gifts. Boards keep their other rows; `derive` ranks them anew.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from tiktok_pipeline import postgres, roster, settings, tables
from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.known_gifts import forget_known_gifts
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.report.page import write_report
from tiktok_pipeline.warehouse import LINK, publish

# Columns that hold a name or an id and nothing else, and those that hold what somebody wrote.
_OWN_VALUES = (
    "creator_id",
    "subject",
    "handle",
    "user_id",
    "sec_uid",
    "ranked_user_id",
    "ranked_handle",
    "follower_key",
)
_TEXTS = ("body", "value", "bio", "title", "caption", "display_name")

# How vendors call the field that a handle stands in.
_HANDLE_FIELDS = "uniqueId|unique_id|handle|preferredUsername|display_id|nickname|username"

# From this many digits on a number is nobody's count.
_LONG_ID = 15


@dataclass(frozen=True)
class Erased:
    """What was removed: rows by table, lines of known gifts among them, and whether the roster listed the creator."""

    creator_id: str
    rows: Counter[str]
    from_roster: bool


@dataclass(frozen=True)
class _Identity:
    creator_id: str
    handles: tuple[str, ...]
    ids: tuple[str, ...]
    follower_keys: tuple[str, ...]

    @property
    def values(self) -> list[str]:
        """What a column of its own may hold."""
        return [*self.handles, *self.ids, *self.follower_keys]

    @property
    def mention(self) -> str:
        """A pattern for the names in a body: the value of a field for handles, or after an @; ids as whole values.

        A short handle may be an English word and a short id a count: neither is looked for anywhere else.
        """
        names = "|".join(re.escape(handle) for handle in self.handles)
        ids = "|".join(re.escape(value) for value in self.ids)
        patterns = [rf'(?i)"(?:{_HANDLE_FIELDS})"\s*:\s*"@?(?:{names})"', rf"(?i)@(?:{names})(?:$|[^a-z0-9._])"]
        if ids:
            patterns.append(rf'"(?:{ids})"')
        long_ids = "|".join(value for value in self.ids if value.isdigit() and len(value) >= _LONG_ID)
        if long_ids:
            patterns.append(rf"(?:^|[^0-9])(?:{long_ids})(?:$|[^0-9])")
        return "|".join(patterns)


def forget(handle: str, places: settings.Places, hash_key: bytes, postgres_url: str | None = None) -> Erased:
    """Erase the creator with this handle, present or past; from Postgres too, where that is published to.

    Raises:
        RosterError: nobody with that handle is known.
        SettingsError: the settings, or the file of known gifts that they name, cannot be read.
        LakeError: a file could not be rewritten.
        PublishError: the warehouse could not be built again, or Postgres cannot be published to; that is found out
            before anything is removed.
    """
    if postgres_url is not None:
        postgres.check(postgres_url)
    lake = Lake(places.lake)
    listed = roster.read_roster(places.roster).creators if places.roster.exists() else ()
    known_gifts = settings.load_settings(places.settings).gifts.path
    rows: Counter[str] = Counter()
    # Upkeep would fold what was read before it was erased.
    with lake.exclusive():
        identity = _identify(handle, lake, listed, hash_key)
        # First, because a file that cannot be read must stop this before anything is removed.
        if lines := forget_known_gifts(known_gifts, identity.creator_id):
            rows["known_gifts"] = lines
        for table in tables.TABLES.values():
            for path in sorted(lake.folder(table).rglob("*.parquet")):
                removed = _erase(lake, path, identity)
                if removed:
                    rows[table.name] += removed
    from_roster = places.roster.exists() and roster.remove_creator(places.roster, identity.creator_id)
    if places.warehouse.exists():
        with duckdb.connect(":memory:") as connection:
            # Older snapshots hold the creator as well: only the new one stays.
            publish(connection, lake, places.warehouse, now=datetime.now(UTC), keep=1)
        if places.report.exists():
            # Gone first: a page that cannot be made again must not go on naming the creator.
            places.report.unlink()
            write_report(places.warehouse / LINK, places.report)
    if postgres_url is not None:
        postgres.publish(postgres_url, lake, now=datetime.now(UTC))
        postgres.vacuum(postgres_url)
    return Erased(identity.creator_id, rows, from_roster)


def _identify(handle: str, lake: Lake, listed: tuple[roster.Creator, ...], hash_key: bytes) -> _Identity:
    name = handle.strip().lstrip("@").lower()
    known = lake.scan_all(tables.CREATORS).collect()
    seen = lake.scan_all(tables.PROFILE_OBSERVATIONS)
    mine = known.filter(
        (pl.col("creator_id") == name) | (pl.col("handle") == name) | pl.col("previous_handles").list.contains(name)
    )
    found = [*mine["creator_id"], *(creator.creator_id for creator in listed if creator.creator_id == name)]
    if not found:
        landed = any(
            lake.scan_all_raw(table).filter(pl.col("creator_id") == name).limit(1).collect().height
            for table in tables.TABLES.values()
            if table.layer == "raw"
        )
        if not landed:
            raise RosterError(f"@{name} is not known here, neither on the roster nor in the lake: nothing was removed")
        found = [name]
    creator_id = found[0]
    profiles = seen.filter(pl.col("creator_id") == creator_id).select("handle", "user_id", "sec_uid").unique().collect()
    handles = {creator_id, name, *profiles["handle"].drop_nulls()}
    ids = {*profiles["user_id"].drop_nulls(), *profiles["sec_uid"].drop_nulls()}
    ids |= {value for c in listed if c.creator_id == creator_id for value in (c.user_id, c.sec_uid) if value}
    keys = [hashlib.blake2b(value.encode(), key=hash_key, digest_size=16).hexdigest() for value in ids]
    return _Identity(creator_id, tuple(sorted(handles)), tuple(sorted(ids)), tuple(sorted(keys)))


def _erase(lake: Lake, path: Path, identity: _Identity) -> int:
    frame = pl.read_parquet(path)
    about = [pl.col(name).is_in(identity.values) for name in _OWN_VALUES if name in frame.columns]
    # `value` is text in the quarantine and a number on the boards.
    texts = [name for name in _TEXTS if frame.schema.get(name) == pl.String]
    about += [pl.col(name).str.contains(identity.mention) for name in texts]
    if not about:
        return 0  # the ledger of vendors is about nobody
    kept = frame.filter(~pl.any_horizontal(about).fill_null(value=False))
    if kept.height < frame.height:
        lake.rewrite(path, kept)
    return frame.height - kept.height
