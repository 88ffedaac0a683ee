"""Redaction keeps credentials, cookies and signatures out of files."""

from __future__ import annotations

import base64
import html
import json
import random
from urllib.parse import quote

import pytest

from tiktok_pipeline.capture.redaction import Redactor
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline_tests.providers import bodies

BODIES = [
    bodies.konbini_page([bodies.konbini_story()] * 3, None),
    bodies.room_body(bodies.room()),
    bodies.fetch_ok(bodies.fetch_live()),
    bodies.fetch_error("not_found"),
    bodies.konbini_error("not_found"),
    bodies.encoded({"videos": [bodies.tik_video()], "cursor": "1793600000000", "hasMore": True}),
]


def test_only_cookies_beside_a_media_address_are_removed() -> None:
    body = bodies.konbini_page([bodies.konbini_story()], None)
    redacted = Redactor().body(body)
    assert b"verysecret" not in redacted
    before, after = json.loads(body), json.loads(redacted)
    headers = after["data"]["orderedItems"][0]["attachment"][0]["headers"]
    assert headers == {"Cookie": "[redacted]", "Referer": "https://www.tiktok.com/"}
    before["data"]["orderedItems"][0]["attachment"][0]["headers"] = headers
    assert before == after


def test_signing_tokens_are_removed_from_addresses_also_inside_strings() -> None:
    body = bodies.room_body(bodies.room())
    redacted = Redactor().body(body)
    assert b"zzz" not in redacted
    assert b"x-signature=abc" not in redacted
    assert b"s_hd.flv?sign=[redacted]" in redacted
    escaped = rb'{"s":"{\"flv\":\"https://p.example/a.flv?expire=1\u0026sign=topsecret\"}"}'
    assert b"topsecret" not in Redactor().body(escaped)
    assert json.loads(Redactor().body(escaped))["s"].endswith('sign=[redacted]"}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"API_KEY": "x1"}',
        b'{"a":"{\\"password\\":\\"x1\\"}"}',
        b'{"Set-Cookie" : "x1"}',
        b"a=1&amp;Token=x1",
        b"?X-Amz-Credential=x1",
        b"msToken=x1; a",
    ],
)
def test_general_patterns_match_upper_and_lower_case(body: bytes) -> None:
    assert b"x1" not in Redactor().body(b"key cookie " + body)


@pytest.mark.parametrize(
    "name",
    ["signaturev3", "signature_v2", "X-Goog-Signature", "wsSecret", "txSecret", "volcSecret", "hdnts", "Policy",
     "Key-Pair-Id", "__token__"],
)  # fmt: skip
def test_signatures_of_other_content_networks_are_removed(name: str) -> None:
    for before in ("?", "?a=1&", "?a=1\\u0026", "?a=1&amp;"):
        body = f'{{"url":"https://cdn.example/v.mp4{before}{name}=c2VjcmV0&expires=1"}}'.encode()
        assert Redactor().body(body) == body.replace(b"c2VjcmV0", b"[redacted]")


def test_parameters_with_similar_names_are_kept() -> None:
    body = b'{"url":"https://cdn.example/v.mp4?design=1&signed=2&policy_version=3&secretary=4&tk=tt_chain_token"}'
    assert Redactor().body(body) == body


def test_own_credentials_are_removed_everywhere_in_a_body() -> None:
    redactor = Redactor(["knbn_live_123", "p4ssword"])
    assert redactor.body(b'{"message":"key knbn_live_123 is wrong"}') == b'{"message":"key [redacted] is wrong"}'
    assert "p4ssword" not in redactor.text("user:p4ssword@host")


def test_only_relevant_headers_are_kept() -> None:
    kept = Redactor().headers({"age": "3", "set-cookie": "a=b", "authorization": "x", "x-credits-used": "1"})
    assert kept == {"age": "3", "x-credits-used": "1"}


def test_a_body_without_secrets_is_unchanged() -> None:
    body = bodies.fetch_ok(bodies.fetch_live("offline"))
    assert Redactor(["some_key_1"]).body(body) == body


# Common words of bodies, error codes and field names; numbers and ids; an account on the roster.
COMMON = (
    *("data", "user", "code", "found", "not_found", "true", "null", "live", "name", "id", "isLive", "orderedItems"),
    *("https", "tiktok.com", "status", "ok", "en", "US", "user_id", "mira.paints", "mira", "X"),
    *("1896", "5", "1.2M", "12:30", "2026-11-10", "7569000111111111111", "1793600000000"),
)


@pytest.mark.parametrize("common", COMMON)
def test_a_credential_that_is_a_common_word_or_a_number_leaves_every_body_unchanged(common: str) -> None:
    plain = Redactor()
    for redactor in (
        Redactor([common]),
        Redactor([common], user_names=[common]),
        Redactor(["k7-long-password"], user_names=[common]),
    ):
        for body in BODIES:
            assert redactor.body(body) == plain.body(body)


def test_a_user_name_that_may_be_a_handle_is_kept_and_an_email_address_is_removed() -> None:
    redactor = Redactor(["k7-long-password"], user_names=["studio2026"])
    assert redactor.body(b'{"username":"studio2026"}') == b'{"username":"studio2026"}'
    assert redactor.body(b'{"login":"studio2026:k7-long-password"}') == b'{"login":"[redacted]"}'
    named = Redactor(["k7-long-password"], user_names=["ops+api@agency.example"])
    assert named.body(b"no account ops+api@agency.example") == b"no account [redacted]"


def test_a_short_secret_is_not_removed_from_inside_longer_words() -> None:
    redactor = Redactor(["abc123"])
    intact = b'{"url":"https://v.example/xabc123y/abc1234.mp4","id":"7abc123"}'
    assert redactor.body(intact) == intact
    assert redactor.body(b'{"a":"\\nabc123\\t","b":"abc123"}') == b'{"a":"\\n[redacted]\\t","b":"[redacted]"}'


SECRETS = [
    "knbn_live_0123456789abcdef",
    "sfk_9f8e7d",
    'p4ss"wo/rd+&<',
    "hunter2",
    "a1b2c3d4-e5f6-7890-abcd-ef0123456789",
    "correct horse battery staple",
    "sandbox-secret",
]


def json_escaped(text: str, chance: random.Random) -> str:
    share, slash = chance.choice((0, 0.3, 1)), chance.choice(("/", "\\/"))
    escaped = (f"\\u{ord(c):04x}" if chance.random() < share else json.dumps(c)[1:-1] for c in text)
    return "".join(slash if c == "/" else c for c in escaped)


def percent_encoded(text: str, chance: random.Random) -> str:
    share, case = chance.choice((0, 0.3, 1)), chance.choice(("02x", "02X"))
    return "".join(f"%{ord(c):{case}}" if chance.random() < share or not c.isalnum() else c for c in text)


def html_escaped(text: str, chance: random.Random) -> str:
    share, form = chance.choice((0, 0.3, 1)), chance.choice(("&#{};", "&#x{:x};", "&#X{:X};", "&#0{};"))
    return "".join(form.format(ord(c)) if chance.random() < share else html.escape(c) for c in text)


def base64_encoded(text: str, chance: random.Random) -> str:
    encode = chance.choice((base64.b64encode, base64.urlsafe_b64encode))
    return encode(("w" * chance.randrange(4) + text + "z" * chance.randrange(4)).encode()).decode()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_in_every_encoding_and_combination_of_encodings(secret: str) -> None:
    redactor, chance = Redactor([secret], user_names=["data"]), random.Random(secret)
    before, after = b'{"error":"key ', b'","next":1}'
    for number in range(600):
        text = base64_encoded(secret, chance) if number % 4 == 0 else secret
        for encode in chance.choices((json_escaped, percent_encoded, html_escaped), k=number % 4):
            text = encode(text, chance)
        redacted = redactor.body(before + text.encode() + after)
        assert redacted.startswith(before), text
        assert redacted.endswith(after), text
        assert b"[redacted]" in redacted, text
        if number % 4:
            assert redacted == before + b"[redacted]" + after, text


def test_the_user_name_and_password_of_basic_authentication_are_found_together() -> None:
    for user, password in (("data", "found"), ("me@agency.example", "p4ss/word"), ("studio", "1896")):
        vendor = VENDORS["tikhub"]
        access = Access(vendor, "https://tikhub.example", (user, password))
        redactor = Redactor(access.secrets(), user_names=access.user_names())
        header = vendor.authentication((user, password))["Authorization"]
        for body in (header, quote(header), html.escape(header), f"x {header}, y"):
            assert header.split()[1] not in redactor.text(body)
            assert "[redacted]" in redactor.text(body)


def test_a_secret_across_the_border_of_two_pieces_is_found() -> None:
    redactor = Redactor(["knbn_live_0123456789abcdef"])
    for begin in range(65_500, 65_560):
        body = b"x" * begin + b" knbn_live_0123456789abcdef " + b"x" * 70_000
        assert redactor.body(body) == b"x" * begin + b" [redacted] " + b"x" * 70_000


def test_text_that_parquet_cannot_hold_is_redacted_too() -> None:
    assert Redactor(["knbn_live_123"]).text("\ud83d knbn_live_123") == "? [redacted]"
