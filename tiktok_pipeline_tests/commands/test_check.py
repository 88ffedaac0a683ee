"""What `check` finds without asking anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiktok_pipeline.commands import check
from tiktok_pipeline.providers import VENDORS


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home that holds a sandbox's data, and nobody to be asked over the network."""
    monkeypatch.setattr(check, "_vendors", lambda *asked: iter(()))
    (tmp_path / "sandbox.json").write_text("{}")
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    keys = {variable: "key" for vendor in VENDORS.values() for variable in vendor.credential_variables}
    return keys | {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv")}


def homes(environment: dict[str, str]) -> list[check.Finding]:
    return [finding for finding in check.check_deployment(environment) if finding.what == "home"]


def test_real_answers_are_kept_away_from_a_sandboxs(environment: dict[str, str], tmp_path: Path) -> None:
    (finding,) = homes(environment)
    assert not finding.good
    assert f"{tmp_path} holds a sandbox's invented data" in finding.said
    assert "konbini, social_fetch, tikhub, tikliveapi would land real answers beside it" in finding.said
    assert "name another folder in TIKTOK_PIPELINE_HOME" in finding.said


def test_a_sandboxs_own_answers_may_land_there(environment: dict[str, str]) -> None:
    urls = {vendor.base_url_variable: "http://127.0.0.1:8777/x" for vendor in VENDORS.values()}
    assert homes(environment | urls) == []


def test_a_home_of_real_data_is_no_trouble(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").unlink()
    assert homes(environment) == []
