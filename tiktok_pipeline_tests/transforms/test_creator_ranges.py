"""Ranges of creators: each creator is in exactly one."""

from __future__ import annotations

import polars as pl
import pytest

from tiktok_pipeline.transforms.creator_ranges import creator_ranges


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_every_creator_is_in_exactly_one_range_and_no_range_is_too_large(size: int) -> None:
    names = ["bo", "ana", "Ünï", "ana", "zoe", "x.y_1", "日本", "a"]
    rows = pl.DataFrame({"creator_id": names})
    parts = [rows.filter(part.holds())["creator_id"].to_list() for part in creator_ranges(names, size)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(len(set(part)) <= size for part in parts)
    assert [max(part) for part in parts] == sorted(max(part) for part in parts)


def test_no_creators_give_no_range() -> None:
    assert creator_ranges([]) == []
