"""TikHub: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from datetime import UTC, datetime

from tiktok_pipeline.providers import VENDORS, tikhub
from tiktok_pipeline.providers.observations import LiveReading, Problem, ProfileReading, RankingReading, VariantReading
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline_tests.providers import bodies
from tiktok_pipeline_tests.providers.bodies import CASES


def test_a_room_is_not_asked_without_both_of_its_ids() -> None:
    assert VENDORS["tikhub"].request("room", Target("mira.paints", "mira.paints", room_id=bodies.ROOM_ID)) is None
    assert VENDORS["tikhub"].request("room", Target("mira.paints", "mira.paints", bodies.USER_ID)) is None


def test_a_zero_in_a_rooms_stats_is_not_supplied_and_finish_time_ends_nothing_while_live() -> None:
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


def test_malformed_stream_data_costs_the_variants_and_nothing_else() -> None:
    broken = bodies.room(stream_url={"live_core_sdk_data": {"pull_data": {"stream_data": '{"common":'}}})
    readings = list(VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(broken)))
    assert [type(r) for r in readings] == [LiveReading, ProfileReading, Problem]


def test_ties_and_the_unranked_are_told_apart_and_nobody_gets_a_follower_count() -> None:
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


def test_variants_carry_codec_size_and_bitrate() -> None:
    (variant,) = (
        r
        for r in VENDORS["tikhub"].read(tikhub.ROOM, Outcome.OK, bodies.room_body(bodies.room()))
        if isinstance(r, VariantReading)
    )
    assert (variant.quality, variant.codec, variant.width, variant.bitrate_bps) == ("hd", "h264", 720, 1_500_000)
