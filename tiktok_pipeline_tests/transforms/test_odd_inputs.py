"""Whatever one creator's responses say, every check holds, and the rows of all other creators stay as they are."""

from __future__ import annotations

import pytest

from tiktok_pipeline_tests.transforms.odd_inputs import DAYS, World, capture, derive, try_frames, try_worlds


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return capture(tmp_path_factory.mktemp("odd inputs"), creators_watched=4)


def test_the_plain_world_has_rows_in_every_table(world: World) -> None:
    """Otherwise the tests below would compare nothing."""
    made = derive(world.raw, world.handles)
    empty = {name for name, frame in made.items() if frame.is_empty()}
    assert empty <= {"quarantine", "recaps", "live_ranking_entries", "search_hits"}
    assert made["coverage"].height == DAYS * len(world.handles)


def test_damaged_bodies_and_headers_break_no_check_and_touch_no_other_creator(world: World) -> None:
    tried = try_worlds(world, tries=12, seed=1)
    assert tried.failures == []
    assert tried.quarantined > 0


def test_odd_values_in_readings_break_no_check_and_touch_no_other_creator(world: World) -> None:
    tried = try_frames(world, tries=12, seed=1)
    assert tried.failures == []
    assert tried.quarantined > 0
