"""Redaction removes a person's data, keeps every other byte, and leaves valid JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiktok_pipeline.erased.mentions import MARK, masked, redact_body, redact_text
from tiktok_pipeline.erased.names import Names, hashes_of

USER_ID, SEC_UID = "6912345678901234567", "MS4wLjABAAAAsandFictionalSecUid0001"


def names(*handles: str, ids: tuple[str, ...] = (), display_names: tuple[str, ...] = ()) -> Names:
    creators = handles[:1]
    return Names(b"k", hashes_of(b"k", creator_ids=creators, handles=handles, ids=ids, display_names=display_names))


WORD = names("ok", ids=("77066", USER_ID, SEC_UID), display_names=("Zoë Brightwater",))


@pytest.mark.parametrize(
    "body",
    [
        '{"title":"all ok here","viewerCount":77066}',
        '{"status":"ok","code":"77066","tags":["ok","fine"]}',
        '{"user":{"uniqueId":"okay","nickname":"ok"}}',
        '{"title":"mail me at me@ok.example"}',
        '{"id":"7912345678901234567","n": 1e5 , "x":[]}',
        '{"text":"@okay @ok_2 @not.ok"}',
        '"ok"',
        "",
        "[]",
        '{"broken": [1, 2',
        '}]{"also":"broken"',
    ],
)
def test_text_that_only_looks_like_a_mention_stays_unchanged(body: str) -> None:
    assert redact_body(body, WORD) is body or redact_body(body, WORD) == body


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ('{"t":"with @ok, @OK. and @okay"}', '{"t":"with @[erased], @[erased]. and @okay"}'),
        ('{"t":"https://www.tiktok.com/@ok/live?x=1"}', '{"t":"https://www.tiktok.com/@[erased]/live?x=1"}'),
        ('{"next":"a?u=%40ok&v=1"}', '{"next":"a?u=%40[erased]&v=1"}'),
        ('{"l":[{"uid":"1"}, {"uid":77066} ,{"uid":"3"}]}', '{"l":[{"uid":"1"}, {"uid":"3"}]}'),
        ('{"l":[{"uid":"1"}, {"uid":77066}]}', '{"l":[{"uid":"1"}]}'),
        ('{"l":[{"user":{"uniqueId":"\\u006fk"}}]}', '{"l":[]}'),
        ('{"l":[{"attributedTo":{"id":"https://www.tiktok.com/@ok"}},{"a":1}]}', '{"l":[{"a":1}]}'),
        ('{"title":"mine","topFan":{"uniqueId":"ok","score":3}}', '{"title":"mine","topFan":{}}'),
        (
            '{"profile":{"handle":"bo","url":"https://www.tiktok.com/@ok"}}',
            '{"profile":{"handle":"bo","url":"https://www.tiktok.com/@[erased]"}}',
        ),
        (f'{{"duet_from":{USER_ID},"caption":"mine"}}', '{"duet_from":null,"caption":"mine"}'),
        (f'{{"url":"https://cdn.example/{USER_ID}/a.jpg"}}', '{"url":"https://cdn.example/[erased]/a.jpg"}'),
        (f'{{"ids":["1","{SEC_UID}"]}}', f'{{"ids":["1","{MARK}"]}}'),
        ('{"music":{"author":"Zo\\u00eb Brightwater","id":"1"}}', f'{{"music":{{"author":"{MARK}","id":"1"}}}}'),
        ('{"extra":"{\\"uniqueId\\":\\"ok\\"}","a":1}', f'{{"extra":"{MARK}","a":1}}'),
        ('{"l":[{"uniqueId":"ok","nick', '{"l":['),
        ('<script>{"uniqueId":"ok"}</script>', '<script>{"uniqueId":"[erased]"}</script>'),
    ],
)
def test_a_mention_is_removed_and_the_rest_stays(body: str, left: str) -> None:
    assert redact_body(body, WORD) == left


@pytest.mark.parametrize(
    "body",
    [
        '{"profile":{"handle":"ok"}}',
        '{"data":{"user":{"uniqueId":"OK","id":"1"},"stats":{}}}',
        f'{{"data":{{"liveRoomUserInfo":{{"user":{{"id":"{USER_ID}"}}}}}}}}',
        '\ufeff{"uniqueId":"@ok"}',
        f'{{"secUid":"{SEC_UID}"',
    ],
)
def test_a_body_about_the_erased_creator_is_dropped(body: str) -> None:
    assert redact_body(body, WORD) is None


def test_a_distinctive_handle_is_found_in_free_text_without_an_at_sign() -> None:
    distinct = names("zoe.live7")
    assert redact_text("thanks zoe.live7. bye", distinct) == "thanks [erased]. bye"
    assert redact_text("zoe.live77 and xzoe.live7", distinct) == "zoe.live77 and xzoe.live7"
    assert redact_text("zoe.live7:7569000123456785195", distinct) == "[erased]:7569000123456785195"
    assert redact_text("at ok:7569000123456785195 and ok:5", WORD) == "at [erased]:7569000123456785195 and ok:5"
    assert redact_text("asked @ok twice", WORD, masked) == "asked @** twice"


def test_names_with_escaped_characters_are_found() -> None:
    quoted = names("zoe", display_names=('Zoë "Z" Brightwater',))
    assert redact_body('{"nickname":"Zoë \\"Z\\" Brightwater","n":1}', quoted) == f'{{"nickname":"{MARK}","n":1}}'


@pytest.mark.parametrize(
    "body", ['["' + '\\"' * 200_000, "[" * 100_000, '{"a":' * 50_000 + '"@ok"', '["@ok' + "a@" * 100_000]
)
def test_a_hostile_body_is_redacted_in_linear_time(body: str) -> None:
    begun = time.perf_counter()
    redacted = redact_body(body, WORD)
    assert redacted is None or not redacted.endswith("@ok")
    # Quadratic time would be hours; the limit allows for a busy machine.
    assert time.perf_counter() - begun < 20


OTHERS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**9) | st.text(max_size=12) | st.just("ok"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=12,
)
PERSON = st.sampled_from([{"uniqueId": "ok", "n": 1}, {"user": {"id": USER_ID}}, {"author": {"secUid": SEC_UID}}])


@settings(max_examples=400, deadline=None)
@given(st.lists(OTHERS | PERSON, max_size=6), st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_list_items_beside_an_erased_person_stay_unchanged(items: list[Any], separators: Any, ascii: bool) -> None:
    removed = [item for item in items if isinstance(item, dict) and item.keys() & {"uniqueId", "user", "author"}]
    body = json.dumps({"list": items, "after": 1}, separators=separators, ensure_ascii=ascii)
    redacted = redact_body(body, WORD)
    assert redacted is not None
    assert json.loads(redacted) == {"list": [item for item in items if item not in removed], "after": 1}


@settings(max_examples=400, deadline=None)
@given(OTHERS, st.integers(0, 200), st.binary(max_size=3))
def test_redaction_fails_on_no_damaged_body(value: Any, at: int, junk: bytes) -> None:
    body = json.dumps({"user": {"uniqueId": "ok"}, "rest": value})
    damaged = body[:at] + junk.decode("latin-1") + body[at + len(junk) :]
    for text in (damaged, damaged[:at], junk.decode("latin-1") + body):
        redacted = redact_body(text, WORD)
        assert redacted is None or '"uniqueId": "ok"' not in redacted
