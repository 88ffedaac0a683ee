"""Damage of bodies, headers and connections: every kind occurs, touches only its stated place, and is repeatable."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

import pytest

from tiktok_pipeline.sandbox.damage import (
    BOMB_BYTES,
    OVERSIZED_BYTES,
    Connection,
    Damage,
    bomb,
    choose_connection,
    damage_body,
    damage_headers,
    odd_retry_after,
    oversized,
    places,
    written,
)

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
BODY: dict[str, Any] = {
    "data": {
        "handle": "calm.one",
        "userId": "7000000000000000001",
        "isVerified": False,
        "followerCount": 13500,
        "startedAt": "2026-11-02T11:00:00.000Z",
        "status": 2,
        "items": [{"id": "1", "views": 5, "title": "a"}, {"id": "2", "views": 6, "title": "ü"}],
        "page": {"nextCursor": "c1", "hasMore": True},
    },
    "meta": {"creditsCharged": 1},
}
GOOD = json.dumps(BODY, ensure_ascii=False, separators=(",", ":")).encode()

# Kinds whose body Python's own decoder accepts as JSON; it takes NaN, big numbers and lone surrogates.
DECODABLE = {
    *("type", "absent", "number", "not_a_number", "surrogate", "text", "nesting_10", "duplicate_key"),
    *("count_as_text", "count", "flag", "time", "handle", "id", "cursor", "has_more", "state", "price"),
    *("repeated_item", "null_item", "odd_item", "reversed", "many_items", "emptied", "one_id"),
}


@cache
def damaged(seeds: range = range(6_000)) -> dict[str, list[tuple[bytes, Damage]]]:
    found = defaultdict(list)
    for seed in seeds:
        body, damage = damage_body(GOOD, "c0", AT, Random(seed))
        found[damage.kind].append((body, damage))
    return found


def flat(tree: Any) -> dict[str, Any]:
    return {written(place.pointer): place.value for place in places(tree) if place.is_leaf}


def decoded(body: bytes) -> Any:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.loads(body)
    finally:
        sys.set_int_max_str_digits(limit)


def test_every_specified_kind_of_damage_occurs() -> None:
    assert set(damaged()) == DECODABLE | {
        *("bom", "truncated", "flipped_byte", "utf16", "latin1", "twice", "trailing", "leading", "callback"),
        *("encoded_twice", "root", "root_nesting", "nesting_1000", "nesting_100000", "not_utf8"),
    }


def test_all_values_outside_the_damaged_path_are_unchanged() -> None:
    good = flat(BODY)
    for kind, cases in damaged().items():
        if kind not in DECODABLE:
            continue
        for body, damage in cases:
            left = flat(decoded(body)) if damage.path else {}
            for pointer, value in good.items():
                if damage.path and not (pointer + "/").startswith(damage.path + "/"):
                    assert left.get(pointer) == value, (kind, damage.path, pointer)


def test_damage_changes_the_body_and_the_same_seed_gives_the_same_damage() -> None:
    same = 0
    for kind, cases in damaged(range(2_000)).items():
        same += sum(body == GOOD for body, _ in cases)
        assert all(damage.part == "body" for _, damage in cases), kind
    assert same < 60  # A flag swapped for itself, or a body cut at its end.
    assert damage_body(GOOD, "c0", AT, Random(5)) == damage_body(GOOD, "c0", AT, Random(5))


@pytest.mark.parametrize("body", [b"", b"not json", b"<html>", b"0", b"null", b"[]", b"\xff"])
def test_a_body_without_inner_values_is_damaged_as_a_whole(body: bytes) -> None:
    for seed in range(200):
        assert damage_body(body, None, AT, Random(seed))[1].path == ""


def test_damaged_cursors_repeat_the_requests_and_damaged_times_lie_around_it() -> None:
    found = damaged()
    assert any(b'"nextCursor":"c0"' in body for body, _ in found["cursor"])
    assert any(b"2026-10-03T12:00:00.000Z" in body for body, _ in found["time"])
    assert any(b"https://evil.example" in body for body, _ in found["cursor"])
    assert any(b"../../../v1/balance?x=" in body for body, _ in found["handle"])


def test_damaged_headers_have_an_odd_value_or_are_duplicated_or_missing() -> None:
    own = ((b"x-credits-used", b"1"), (b"x-credits-remaining", b"99"))
    found = [damage_headers(own, Random(seed)) for seed in range(2_000)]
    assert {damage.kind for _, damage in found} == {"value", "twice", "absent"}
    for headers, damage in found:
        count = sum(name == damage.path.encode() for name, _ in headers)
        assert count == {"value": 1, "twice": 2, "absent": 0}[damage.kind]
    used = {value for headers, _ in found for name, value in headers if name == b"x-credits-used"}
    assert {b"NaN", b"-5", b"1, 1", b"one"} <= used
    assert len({odd_retry_after(Random(seed))[0] for seed in range(500)}) > 20


def test_connections_that_cost_seconds_or_megabytes_are_rare() -> None:
    chosen = [choose_connection(Random(seed)) for seed in range(4_000)]
    assert set(chosen) == set(Connection)
    slow = {Connection.DRIP, Connection.SLOW_HEADERS, Connection.SILENCE}
    heavy = {Connection.OVERSIZED, Connection.BOMB, Connection.DOUBLE_BOMB, Connection.ENDLESS}
    assert 0.07 < sum(kind in slow for kind in chosen) / len(chosen) < 0.13
    assert 0.17 < sum(kind in heavy for kind in chosen) / len(chosen) < 0.23


def test_an_oversized_body_is_valid_json_and_a_bomb_is_small() -> None:
    big = json.loads(oversized(GOOD))
    assert len(big.pop("padding")) == OVERSIZED_BYTES
    assert big == BODY
    assert len(bomb()) < BOMB_BYTES / 500
    assert len(bomb(twice=True)) < len(bomb()) / 20
    assert gzip.decompress(bomb(twice=True)) == bomb()
    with gzip.open(io.BytesIO(bomb())) as packed:
        unpacked = sum(len(piece) for piece in iter(lambda: packed.read(1 << 20), b""))  # Reads the checksum too.
    assert unpacked > BOMB_BYTES
