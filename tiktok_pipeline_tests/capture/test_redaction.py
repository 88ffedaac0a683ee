"""What must never reach a file."""

from __future__ import annotations

import json

from tiktok_pipeline.capture.redaction import Redactor
from tiktok_pipeline_tests.providers import bodies


def test_cookies_beside_a_media_address_are_taken_out_and_nothing_else() -> None:
    body = bodies.konbini_page([bodies.konbini_story()], None)
    redacted = Redactor().body(body)
    assert b"verysecret" not in redacted
    before, after = json.loads(body), json.loads(redacted)
    headers = after["data"]["orderedItems"][0]["attachment"][0]["headers"]
    assert headers == {"Cookie": "[redacted]", "Referer": "https://www.tiktok.com/"}
    before["data"]["orderedItems"][0]["attachment"][0]["headers"] = headers
    assert before == after


def test_signing_tokens_are_taken_out_of_addresses_also_inside_strings() -> None:
    body = bodies.room_body(bodies.room())
    redacted = Redactor().body(body)
    assert b"zzz" not in redacted
    assert b"x-signature=abc" not in redacted
    assert b"s_hd.flv?sign=[redacted]" in redacted
    escaped = rb'{"s":"{\"flv\":\"https://p.example/a.flv?expire=1\u0026sign=topsecret\"}"}'
    assert b"topsecret" not in Redactor().body(escaped)
    assert json.loads(Redactor().body(escaped))["s"].endswith('sign=[redacted]"}')


def test_our_own_credentials_are_taken_out_wherever_they_stand() -> None:
    redactor = Redactor(["knbn_live_123", "p4ssword"])
    assert redactor.body(b'{"message":"key knbn_live_123 is wrong"}') == b'{"message":"key [redacted] is wrong"}'
    assert "p4ssword" not in redactor.text("user:p4ssword@host")


def test_only_headers_that_matter_are_kept() -> None:
    kept = Redactor().headers({"age": "3", "set-cookie": "a=b", "authorization": "x", "x-credits-used": "1"})
    assert kept == {"age": "3", "x-credits-used": "1"}


def test_a_body_without_secrets_is_not_touched() -> None:
    body = bodies.fetch_ok(bodies.fetch_live("offline"))
    assert Redactor(["some_key_1"]).body(body) == body
