"""Publish one roster for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiktok_pipeline.publish.report.brief import Brief, read_brief
from tiktok_pipeline.publish.report.page import render
from tiktok_pipeline_tests.publish.report.rosters import small


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def brief(snapshot: Path) -> Brief:
    return read_brief(snapshot)


@pytest.fixture(scope="session")
def page(brief: Brief) -> str:
    return render(brief)
