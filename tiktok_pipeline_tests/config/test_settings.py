"""Settings of the operator, and the error messages for wrong ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tiktok_pipeline.config.settings import Places, Settings, load_settings
from tiktok_pipeline.errors import SettingsError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_no_file_means_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "settings.toml") == Settings()


def test_a_key_in_the_file_overrides_its_default_and_the_others_keep_theirs(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "[watch]\nwindow_minutes = 5\n[vendors.tikhub]\nmax_in_flight = 1\n"))
    assert settings.watch.window_minutes == 5
    assert settings.watch.round_seconds == Settings().watch.round_seconds
    assert settings.vendors["tikhub"].max_in_flight == 1
    # The default of this vendor, not the general default.
    assert settings.vendors["tikhub"].requests_per_second == Settings().vendors["tikhub"].requests_per_second == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[watch]\nwindw_minutes = 5\n", r"\[watch\] unknown key `windw_minutes`"),
        ("[wach]\n", "unknown key `wach`; did you mean `watch`\\?"),
        ("[watch]\nwindow_minute = 5\n", "did you mean `window_minutes`\\?"),
        ("window_minutes = 5\n", r"unknown key `window_minutes`; it belongs below \[watch\]"),
        ("[watch]\nmax_in_flight = 5\n", r"it belongs below \[vendors.NAME\]"),
        ("[vendors.tikhub]\nmax_in_flihgt = 5\n", r"\[vendors.tikhub\] .*; did you mean `max_in_flight`\?"),
        ('[watch]\npolicy = "random"\n', "'random'; allowed are round_robin, adaptive"),
        ('[routes]\nlive = ["konbny"]\n', "did you mean `konbini`\\?"),
        ('[watch]\n"a` - at `$.b\\nc" = 5\n', "unknown key"),
        ("[vendors.tiktube]\n", r"\[vendors.tiktube\] is not a vendor; vendors are konbini"),
        ('[watch]\nwindow_minutes = "ten"\n', r"\[watch.window_minutes\] Expected `int`, got `str`"),
        ("[vendors.tikhub]\nrequests_per_second = 0\n", "must be a number above 0"),
        ("[vendors.tikhub]\nrequests_per_second = nan\n", "must be a number above 0"),
        ("[vendors.tikhub]\ntimeout_s = inf\n", "must be a number above 0"),
        ("[vendors.tikhub]\ncredits_per_request = -1\n", "credits_per_request must be a number from 0 on"),
        ("[vendors.tikhub]\ncredits_per_day = nan\n", "credits_per_day must be a number from 0 on"),
        ('[routes]\nlive = ["tiktube"]\n', r"live names 'tiktube'; vendors are konbini"),
        ("watch\n", "is not TOML"),
        ("[watch]\nround_seconds = 0\n", "must be at least 1"),
        ("[retries]\nattempts = 0\n", "must be at least 1"),
        ("[streams]\nlookback_days = -1\n", "must be at least 1"),
        ("[retention]\nsnapshots = 0\n", "must be at least 1"),
        ("[retention]\nraw_days = 37\n", r"raw_days must be at least 38: \[streams\] and \[lift\] look back so far"),
        ("[retention]\nraw_days = 38\n[lift]\nlookback_days = 29\n", "raw_days must be at least 39"),
    ],
)
def test_an_invalid_setting_is_named_as_the_operator_wrote_it(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        load_settings(written(tmp_path, text))
    assert "\n" not in str(caught.value)


SHIPPED = Path(__file__).parents[2] / "settings.toml.example"


def test_the_shipped_settings_are_the_defaults() -> None:
    assert load_settings(SHIPPED) == Settings()


def test_the_shipped_settings_show_every_key_with_its_default(tmp_path: Path) -> None:
    shown = SHIPPED.read_text().splitlines()
    lines = [re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in shown if "not set" not in line]
    path = written(tmp_path, "\n".join(lines))
    assert load_settings(path) == Settings()
    assert _keys(tomllib.loads("\n".join(lines))) == _keys(msgspec.to_builtins(Settings())) - NOT_SET


# Keys without a default value cannot be shown with one.
NOT_SET = {f"vendors.{name}.credits_per_day" for name in ("konbini", "social_fetch", "tikliveapi", "tikhub")} | {
    "retention.raw_days",
    "partitions.first_day",
}


def _keys(tree: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in tree.items():
        found |= _keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


def test_the_code_reads_every_setting() -> None:
    package = SHIPPED.parent / "tiktok_pipeline"
    code = "\n".join(p.read_text() for p in package.rglob("*.py") if p.name != "settings.py")
    for key in _keys(msgspec.to_builtins(Settings())):
        name = key.rsplit(".", 1)[1]
        assert name in code or key.startswith("routes."), f"{key} is not read"


def test_paths_follow_the_environment(tmp_path: Path) -> None:
    places = Places.from_environment({"TIKTOK_PIPELINE_HOME": str(tmp_path)})
    assert places.lake == tmp_path / "lake"
    assert places.warehouse == tmp_path / "warehouse"
    assert Places.from_environment({"TIKTOK_PIPELINE_LAKE": str(tmp_path / "x")}).lake == tmp_path / "x"


def test_a_lake_in_an_object_store_is_refused_with_a_reason() -> None:
    with pytest.raises(SettingsError, match="keeps its lake in a folder"):
        Places.from_environment({"TIKTOK_PIPELINE_LAKE": "s3://bucket/lake"})


def test_a_demos_home_has_its_own_roster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A creator erased from a demo must not come back through another roster."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "roster.csv").write_text("handle\nmira\n")
    home = {"TIKTOK_PIPELINE_HOME": str(tmp_path)}
    assert Places.from_environment(home).roster == here / "roster.csv"
    (tmp_path / "sandbox.json").write_text("{}")
    assert Places.from_environment(home).roster == tmp_path / "roster.csv"
    named = home | {"TIKTOK_PIPELINE_ROSTER": str(tmp_path / "other.csv")}
    assert Places.from_environment(named).roster == tmp_path / "other.csv"


def test_a_deployments_files_are_in_its_home_and_those_of_the_working_directory_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home):
        folder.mkdir()
    monkeypatch.chdir(here)

    def found() -> tuple[Path, Path]:
        places = Places.from_environment({"TIKTOK_PIPELINE_HOME": str(home)})
        return places.roster, places.settings

    assert found() == (home / "roster.csv", home / "settings.toml")
    (here / "roster.csv").touch()
    (here / "settings.toml").touch()
    assert found() == (here / "roster.csv", here / "settings.toml")
    (home / "roster.csv").touch()
    assert found() == (home / "roster.csv", here / "settings.toml")
