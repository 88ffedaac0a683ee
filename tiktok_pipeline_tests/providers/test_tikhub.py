"""TikHub: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from datetime import UTC, datetime

from tiktok_pipeline.providers import VENDORS, tikhub
from tiktok_pipeline.providers.observations import LiveReading, Problem, ProfileReading, RankingReading, VariantReading
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline_tests.providers import bodies
from tiktok_pipeline_tests.providers.bodies import CASES


def test_a_room_is_not_requested_without_room_id_and_user_id() -> None:
    assert VENDORS["tikhub"].request("room", Target("mira.paints", "mira.paints", room_id=bodies.ROOM_ID)) is None
    assert VENDORS["tikhub"].request("room", Target("mira.paints", "mira.paints", bodies.USER_ID)) is None


def test_zeros_in_room_stats_are_null_and_a_finish_time_is_ignored_while_live() -> None:
    live = next(VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(bodies.room())))
    assert isinstance(live, LiveReading)
    assert live.viewers_total is None
    assert live.gifters is None
    assert live.new_followers == 41
    assert live.ended_at is None
    assert live.viewers == 309
    ended = next(VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(bodies.room(4))))
    assert isinstance(ended, LiveReading)
    assert ended.ended_at == datetime.fromtimestamp(1_793_642_405 + 3_600, UTC)
    assert ended.evidence == "strong"
    assert ended.viewers is None


def test_malformed_stream_data_costs_only_the_variants() -> None:
    broken = bodies.room(stream_url={"live_core_sdk_data": {"pull_data": {"stream_data": '{"common":'}}})
    readings = list(VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(broken)))
    assert [type(r) for r in readings] == [LiveReading, ProfileReading, Problem]


def test_tied_and_unranked_creators_are_distinguished_and_get_no_follower_count() -> None:
    case = next(c for c in CASES if c.about == "a ranking")
    places = list(VENDORS[case.vendor].read(case.endpoint, Outcome(case.outcome), case.body))
    assert all(isinstance(place, RankingReading) for place in places)
    assert [(p.rank, p.score) for p in places if isinstance(p, RankingReading)] == [
        (1, 900),
        (1, 900),
        (3, 100),
        (None, None),
    ]
    assert {p.score_unit for p in places if isinstance(p, RankingReading)} == {"popularity"}
    assert {p.window_start for p in places if isinstance(p, RankingReading)} == {datetime(2026, 11, 2, 18, tzinfo=UTC)}


def test_variants_have_codec_size_and_bitrate() -> None:
    (variant,) = (
        r
        for r in VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(bodies.room()))
        if isinstance(r, VariantReading)
    )
    assert (variant.quality, variant.codec, variant.width, variant.bitrate_bps) == ("hd", "h264", 720, 1_500_000)
