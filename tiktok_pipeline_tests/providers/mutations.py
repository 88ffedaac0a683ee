"""Damage valid bodies and headers with a seed, and check the surviving values without the readers' own code.

A read value (an id, a count) is searched in the body: the paths that hold it are its sources. Damage that touches
neither a source nor a flag that decides the meaning of the whole body must leave the value unchanged.

`python -m tiktok_pipeline_tests.providers.mutations --bodies 1000000` tries that many bodies.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tiktok_pipeline.providers import VENDORS, guard
from tiktok_pipeline.providers.observations import Problem, Reading, VariantReading
from tiktok_pipeline.providers.vendor import Outcome, Unreadable
from tiktok_pipeline_tests.providers.bodies import CASES, Case

Path = tuple[str | int, ...]

# Fields that decide the meaning of the whole body: after damage to one, the only promise is that no exception escapes.
GATES = {
    "code", "msg", "message", "status_code", "statusCode", "lookupStatus", "liveStatus", "errors", "error", "isLive",
    "status", "alive", "type", "finish_time", "create_time", "start_time", "rank",
}  # fmt: skip
# Fields of readings whose values can be found in a body.
TRACKED = (
    "post_id", "story_id", "room_id", "user_id", "sec_uid", "follower_id", "ranked_user_id", "followers", "following",
    "viewers", "viewers_total", "views", "likes", "score", "bitrate_bps", "title", "caption", "new_followers",
)  # fmt: skip
IDS = ("post_id", "story_id", "room_id", "user_id", "sec_uid", "follower_id", "ranked_user_id")
KEYS = ("post_id", "story_id", "follower_id", "ranked_user_id")

# JSON tokens, as they stand in a body.
TOKENS = (
    "null", "[]", "{}", "0", "1", "-1", "true", "false", '"true"', '"0"', '"1"', '""', '" "', '"lots"', '"1.2M"',
    '"12,5K"', '"1,234"', '"1 234"', '"1.234"', "3.7", "1e3", "1e999", "-1e999", "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "1" + "0" * 30, "9" * 5_000, "-" + "9" * 5_000, "0.1e-400",
    "NaN", "Infinity", "-Infinity", '"\\ud83d"', '"half \\udc00 of it"', '"\\ud83d\\ude00"', '"tab\there"', '"\x01"',
    '"' + "x" * 20_000 + '"', "[[[[[[]]]]]]", "[" * 70 + "]" * 70, "[" * 3_000 + "]" * 3_000,
    '{"a":' * 3_000 + "1" + "}" * 3_000, '"2026-13-45T99:00:00Z"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"', "253402300799", "-62135596800", '"٣٤"', '"１２３"', '"../../../v1/balance?x="',
    '"https://api.example/next"', '{"0":{}}', "[null]", "[[]]", '[""]', '"\\u0000"', "12345678901234567000",
)  # fmt: skip
HEADERS = (
    "", " ", "1, 1", "1,1", "one", "NaN", "nan", "inf", "-5", "1e999", "9" * 5_000, "0x10", "٣", "1_000", "\x00",
    "Tue, 10 Nov 2026 00:40:00 -0000", "Tue, 10 Nov 2026 00:40:00", "Tue, 10 Nov 99999 00:40:00 GMT",
    "Tue, 10 Nov 0001 00:40:00 +9999", "Wed, 31 Feb 2026 00:00:00 GMT", "0", "1.5", "1" * 300, "GMT", ",", ";;;",
)  # fmt: skip
HEADER_NAMES = ("x-credits-used", "x-credits-remaining", "retry-after", "date", "age", "content-type", "x-request-id")


@dataclass(frozen=True)
class Valid:
    """A valid body, and the values that a correct reader finds in it."""

    case: Case
    tree: Any
    paths: tuple[Path, ...]
    outcome: Outcome
    values: Counter[tuple[str, str, str]]
    sources: dict[tuple[str, str, str], tuple[Path, ...]]
    ids: tuple[Path, ...]


@dataclass
class Tried:
    """Results of a run of mutations."""

    bodies: int = 0
    values_kept: int = 0
    failures: list[str] = field(default_factory=list)


def valid_bodies() -> list[Valid]:
    """Return every documented response with readings, its lists extended to three items."""
    return [_valid(case) for case in CASES if case.outcome in ("ok", "not_live", "private", "empty")]


def try_mutations(bodies: int, seed: int) -> Tried:
    """Damage this many bodies at random, and collect violations."""
    tried = Tried()
    chance = random.Random(seed)
    valid = valid_bodies()
    while tried.bodies < bodies and len(tried.failures) < 20:
        chosen = chance.choice(valid)
        body, touched = damaged(chosen, chance)
        _try(chosen, body, {**chosen.case.headers, **_headers(chance)}, touched, tried)
    return tried


def damaged(valid: Valid, chance: random.Random) -> tuple[bytes, Path | None]:
    """Return a damaged body and the damaged path; None if the whole body is damaged."""
    kind = chance.random()
    path = chance.choice(valid.paths)
    if kind < 0.06:
        return _whole(valid, chance)
    token = chance.choice(TOKENS)
    if kind < 0.16:
        value = _at(valid.tree, path)
        inner = json.dumps(value, ensure_ascii=False)
        token = chance.choice(
            [f"[{inner}]", f'{{"0":{inner}}}', f"[{inner},{inner}]", json.dumps(str(value)), f"[null,{inner}]"]
        )
    text = json.dumps(_replaced(valid.tree, path, _MARK), ensure_ascii=False)
    if kind > 0.95 and path and isinstance(path[-1], str):
        # A repeated key: the last value counts, so the first may be anything.
        key = json.dumps(path[-1])
        original = json.dumps(_at(valid.tree, path), ensure_ascii=False)
        return text.replace(f'{key}: "{_MARK}"', f"{key}: {token}, {key}: {original}").encode(), ("no such path",)
    return text.replace(f'"{_MARK}"', token).encode("utf-8", "surrogatepass"), path


_MARK = "@@damage@@"


def _whole(valid: Valid, chance: random.Random) -> tuple[bytes, Path | None]:
    body = json.dumps(valid.tree, ensure_ascii=False).encode()
    nowhere: Path = ("no such path",)
    cut = chance.randrange(len(body))
    harmless = [
        (b"\xef\xbb\xbf" + body, nowhere),
        (b"\r\n\t " + body + b"\r\n\x00", nowhere),
        (body.replace(b"{", b'{"unread": NaN, ', 1), nowhere),
        (body.replace(b"{", b'{"unread": ' + b"[" * 5_000 + b"]" * 5_000 + b", ", 1), nowhere),
        (body.replace(b"{", b'{"unread": "\\ud83d", ', 1), nowhere),
        (body.replace(b"{", b'{"unread": "\xff\xfe", ', 1), nowhere),
    ]
    harmful: list[tuple[bytes, Path | None]] = [
        (body[:cut], None),
        (body[:cut] + bytes([chance.randrange(256)]) + body[cut + 1 :], None),
        (body[:cut] + body[cut + chance.randrange(1, 9) :], None),
        (body * 2, None),
        (chance.randbytes(cut), None),
        (b"[" * cut, None),
        (json.dumps(valid.tree).encode("utf-16"), None),
    ]
    return chance.choice([*harmless, *harmful])


def _headers(chance: random.Random) -> dict[str, str]:
    if chance.random() < 0.5:
        return {}
    return {name: chance.choice(HEADERS) for name in chance.sample(HEADER_NAMES, chance.randrange(1, 4))}


def _try(valid: Valid, body: bytes, headers: dict[str, str], touched: Path | None, tried: Tried) -> None:
    tried.bodies += 1
    case, vendor = valid.case, VENDORS[valid.case.vendor]
    where = f"{case.vendor} {case.endpoint} ({case.about}) at {touched}: {body[:300]!r} {headers}"
    try:
        verdict = vendor.judge(case.endpoint, case.status, headers, body)
        if verdict.credits is not None and not 0 <= verdict.credits < 1e18:
            tried.failures.append(f"credits {verdict.credits} of {where}")
        if verdict.retry_after_s is not None and not 0 <= verdict.retry_after_s < 1e9:
            tried.failures.append(f"a wait of {verdict.retry_after_s} of {where}")
        readings = _read(case, verdict.outcome, body)
    except Exception as error:
        tried.failures.append(f"{type(error).__name__}: {error} escapes {where}")
        return
    bad = [r for r in readings if isinstance(r, Problem) and guard.is_unforeseen(r.reason)]
    if bad:
        tried.failures.append(f"{bad[0]} in {where}")
    if touched is None or any(part in GATES for part in touched):
        return
    if verdict.outcome is not valid.outcome:
        # Without its account ids a response may give no reading; of a response without ids, its flags decide.
        if valid.ids and not any(_touches(touched, source) for source in valid.ids):
            tried.failures.append(f"{verdict.outcome} instead of {valid.outcome} of {where}")
        return
    found = _values(readings)
    for tracked, times in valid.values.items():
        if tracked in valid.sources and not any(_touches(touched, source) for source in valid.sources[tracked]):
            tried.values_kept += 1
            if found[tracked] < times:
                tried.failures.append(f"{tracked} is lost: {where}")
                return


def _read(case: Case, outcome: Outcome, body: bytes) -> list[Reading | Problem]:
    # As it lands: text, with a replacement character for invalid UTF-8.
    landed = body.decode("utf-8", "replace").encode()
    try:
        return list(VENDORS[case.vendor].read(case.endpoint, outcome, landed))
    except Unreadable as error:
        return [error.problem]


def _values(readings: list[Reading | Problem]) -> Counter[tuple[str, str, str]]:
    """Return (reading's key, field, value) of everything that is tracked."""
    values: Counter[tuple[str, str, str]] = Counter()
    for reading in readings:
        key = next((str(getattr(reading, name)) for name in KEYS if getattr(reading, name, None)), "")
        # A variant has the room's id; its own value is the bitrate.
        for name in ("bitrate_bps",) if isinstance(reading, VariantReading) else TRACKED:
            value = getattr(reading, name, None)
            if value is not None:
                values[key, name, str(value)] += 1
    return values


def _valid(case: Case) -> Valid:
    tree = _widened(json.loads(case.body))
    body = json.dumps(tree, ensure_ascii=False).encode()
    outcome = VENDORS[case.vendor].judge(case.endpoint, case.status, case.headers, body).outcome
    values = _values(_read(case, outcome, body))
    leaves = {path: str(_at(tree, path)) for path in _paths(tree) if not isinstance(_at(tree, path), dict | list)}
    sources = {}
    for tracked in values:
        key, _, value = tracked
        of_value = tuple(path for path, leaf in leaves.items() if leaf == value)
        of_key = tuple(path for path, leaf in leaves.items() if key and leaf == key)
        # A value such as 10 may stand for several fields: only values with an unambiguous source are tracked.
        if len(value) >= 3 and 0 < len(of_value) <= 3 and (not key or of_key):
            sources[tracked] = (*of_value, *of_key)
    ids = tuple(path for (_, name, _), paths in sources.items() if name in IDS for path in paths)
    return Valid(case, tree, tuple(_paths(tree)), outcome, values, sources, ids)


def _widened(tree: Any) -> Any:
    """Return the tree with three items in every list that has one object."""
    if isinstance(tree, dict):
        return {key: _widened(value) for key, value in tree.items()}
    if isinstance(tree, list):
        if len(tree) == 1 and isinstance(tree[0], dict):
            return [_widened(tree[0]), *(_renumbered(_widened(tree[0]), number) for number in ("17", "29"))]
        return [_widened(value) for value in tree]
    return tree


def _renumbered(value: Any, number: str) -> Any:
    """Return the value with other ids and counts, so that the items of a list differ."""
    if isinstance(value, dict):
        return {k: v if k in GATES or "time" in k.lower() else _renumbered(v, number) for k, v in value.items()}
    if isinstance(value, list):
        return [_renumbered(item, number) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if value > 10**9 else value + int(number)
    if isinstance(value, str) and len(value) > 8 and value.isalnum():
        return value[:-2] + number
    return value


def _paths(tree: Any, at: Path = ()) -> Iterator[Path]:
    yield at
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from _paths(value, (*at, key))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _replaced(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = _replaced(tree[path[0]], path[1:], value)  # type: ignore[index, call-overload]
    return copy


def _touches(damage: Path, source: Path) -> bool:
    return source[: len(damage)] == damage


def main() -> None:
    """Try the given number of bodies, and print the violations."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bodies", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    tried = try_mutations(arguments.bodies, arguments.seed)
    print(f"{tried.bodies:,} damaged bodies, {tried.values_kept:,} values that had to stay, ", end="")
    print(f"{len(tried.failures)} failures, {time.perf_counter() - begun:.0f} s")
    for failure in tried.failures:
        print("-", failure)
    sys.exit(bool(tried.failures))


if __name__ == "__main__":
    main()
