"""Findings of `check` that need no request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiktok_pipeline.commands import check
from tiktok_pipeline.config.settings import VARIABLES as VARIABLES_OF_THE_PIPELINE
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.sandbox.server import start_in_process
from tiktok_pipeline_tests.commands.command_line import assert_refused, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of a home with a sandbox's data and no reachable vendor."""
    monkeypatch.setattr(check, "_vendors", lambda *vendors: iter(()))
    (tmp_path / "sandbox.json").write_text("{}")
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    keys = {variable: "key" for vendor in VENDORS.values() for variable in vendor.credential_variables}
    return keys | {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv")}


def homes(environment: dict[str, str]) -> list[check.Finding]:
    return [finding for finding in check.check_deployment(environment) if finding.what == "home"]


def test_real_responses_are_not_stored_beside_a_sandboxs(environment: dict[str, str], tmp_path: Path) -> None:
    (finding,) = homes(environment)
    assert not finding.good
    assert f"{tmp_path} holds a sandbox's invented data" in finding.message
    assert "konbini, social_fetch, tikhub, tikliveapi would store real responses beside it" in finding.message
    assert "name another folder in TIKTOK_PIPELINE_HOME" in finding.message


def test_a_sandboxs_own_responses_may_be_stored_there(environment: dict[str, str]) -> None:
    urls = {vendor.base_url_variable: "http://127.0.0.1:8777/x" for vendor in VENDORS.values()}
    assert homes(environment | urls) == []


def test_a_home_with_real_data_passes(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").unlink()
    assert homes(environment) == []


SECRET = "hunter2-k3y9"

# Values that break parsers, and URLs that contain a secret.
ODD = (
    *("", " ", "\t\n", "typo", "::", "http://", "https://[::1", "[::1]", "http://v:99999", "\udcff\udcfe", "é😀"),
    *("x" * 5000, "/proc/1/x", "/dev/null", "/dev/null/x"),
    *(".", "..", "~", "s3://", "nan", "-1", "a,b;c", "%00", "%zz", "\x1b[31m"),
    *(f"http://me:{SECRET}@127.0.0.1:9", f"socks5://me:{SECRET}@p:1", f"https://{SECRET}@127.0.0.1:9/x?y#z"),
    *(f"http://me:{SECRET}@[::1", f"postgresql://me:{SECRET}@127.0.0.1:9/x", f"postgresql://me:{SECRET}@127.0.0.1:y/x"),
    *(f"s3://me:{SECRET}@bucket/x", f"me:{SECRET}@proxy:1", f"http://me:{SECRET}@v/ x"),
)  # fmt: skip

VARIABLES = (
    *("HTTP_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"),
    *("TIKTOK_PIPELINE_HOME", "TIKTOK_PIPELINE_LAKE", "TIKTOK_PIPELINE_SETTINGS", "TIKTOK_PIPELINE_ROSTER"),
    *("TIKTOK_PIPELINE_CLOCK", "TIKTOK_PIPELINE_CLOCK_SPEED", "TIKTOK_PIPELINE_CLOCK_ANCHOR"),
    *("TIKTOK_PIPELINE_POSTGRES_URL", "TIKTOK_PIPELINE_HASH_KEY", "TIKTOK_PIPELINE_ALERT_WEBHOOK"),
    *(vendor.base_url_variable for vendor in VENDORS.values()),
)  # fmt: skip

QUICK = "[retries]\nattempts = 1\nbackoff_seconds = 0.0\n[responses]\ndeadline_seconds = 1.0\n"


@pytest.mark.parametrize("variable", VARIABLES)
def test_check_never_raises_and_prints_no_password_for_any_value_of_a_variable(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "_REACH_TIMEOUT_S", 1.0)
    (tmp_path / "settings.toml").write_text(QUICK)
    # Variables without effect on the network are checked without vendors: each unreachable vendor costs a second.
    vendors = VENDORS.values() if not variable.startswith("TIKTOK_PIPELINE_") else ()
    keys = {name: SECRET for vendor in vendors for name in vendor.credential_variables}
    urls = {vendor.base_url_variable: "http://127.0.0.1:9" for vendor in VENDORS.values()}
    for odd in ODD:
        environment = {"TIKTOK_PIPELINE_HOME": str(tmp_path / "home"), **keys, **urls, variable: odd}
        findings = check.check_deployment(environment)
        assert findings
        for finding in findings:
            assert SECRET not in finding.message, (odd, finding)
            assert "\n" not in finding.message
            assert finding.message.isprintable()
            finding.message.encode()


def test_an_invalid_clock_is_one_error_line_of_every_command(tmp_path: Path) -> None:
    commands = ("check", "replay --from 2026-11-02 --to 2026-11-03", "roster list", "report", "sandbox", "demo")
    for command in commands:
        done = run(tmp_path, *command.split(), TIKTOK_PIPELINE_CLOCK="typo")
        assert_refused(done, "TIKTOK_PIPELINE_CLOCK must be")
    for anchor in ("x", "2026-11-02/2026-11-02", "2026-11-02T00:00:00Z", "/"):
        done = run(tmp_path, "check", TIKTOK_PIPELINE_CLOCK_SPEED="60", TIKTOK_PIPELINE_CLOCK_ANCHOR=anchor)
        assert_refused(done, "TIKTOK_PIPELINE_CLOCK_ANCHOR")
    for speed in ("nan", "inf", "0", "-1", "x"):
        anchor = "2026-11-02T00:00:00Z/2026-11-02T00:00:00Z"
        done = run(tmp_path, "check", TIKTOK_PIPELINE_CLOCK_SPEED=speed, TIKTOK_PIPELINE_CLOCK_ANCHOR=anchor)
        assert_refused(done, "TIKTOK_PIPELINE_CLOCK_SPEED")


def findings(folder: Path, **variables: str) -> dict[str, str]:
    """Return the marks and messages of `check`, by what they are about; the last line of several."""
    done = run(folder, "check", **variables)
    assert "begin with" in done.stderr
    lines = [(line[:4].strip(), *line[5:].partition(": ")) for line in done.stdout.splitlines()]
    return {what: f"{mark} {message}" for mark, what, _, message in lines}


def test_unused_parts_are_off_and_the_first_step_is_named(tmp_path: Path) -> None:
    found = findings(tmp_path)
    for off in ("settings", "vendor konbini", "postgres", "alerts"):
        assert found[off].startswith("off "), off
    assert found["routes"] == "BAD no vendor has a key: begin with SOCIAL_FETCH_API_KEY"
    assert not any(what.startswith("route ") for what in found)
    (tmp_path / "settings.toml").write_text(QUICK)
    with_key = {"SOCIAL_FETCH_API_KEY": "x", "SOCIAL_FETCH_BASE_URL": "http://127.0.0.1:9"}
    found = findings(tmp_path, **with_key)
    assert found["route room"].startswith("off no vendor")
    assert found["route stories"].startswith("BAD no vendor available: set KONBINI_API_KEY")
    (tmp_path / "settings.toml").write_text(QUICK + "[routes]\nstories = []\n")
    assert "[routes] stories in the settings names none" in findings(tmp_path, **with_key)["route stories"]


def test_misspelt_variables_and_missing_named_files_are_reported(tmp_path: Path) -> None:
    found = findings(tmp_path, TIKTOK_PIPELINE_SETTINGS="no.toml", TIKTOK_PIPELINE_CLOCK="reply")
    assert found["settings"].startswith("BAD TIKTOK_PIPELINE_SETTINGS names ")
    assert found["clock"] == "BAD TIKTOK_PIPELINE_CLOCK must be real or replay, not 'reply'"
    assert "did you mean `TIKTOK_PIPELINE_ROSTER`" in findings(tmp_path, TIKTOK_PIPELINE_ROOSTER="x")["environment"]
    assert "did you mean `KONBINI_API_KEY`" in findings(tmp_path, KONBINI_KEY="x")["environment"]
    assert "must be on or off, not 'yes'" in findings(tmp_path, TIKTOK_PIPELINE_SCHEDULES="yes")["environment"]
    # Variables of other programs.
    assert "environment" not in findings(tmp_path, TIKTOK_PIPELINE_TAG="latest", KONBINI_COLOUR="red")
    named = set(re.findall(r"TIKTOK_PIPELINE_[A-Z_]+", (ROOT / ".env.example").read_text()))
    assert named | {"TIKTOK_PIPELINE_CLOCK_SPEED", "TIKTOK_PIPELINE_CLOCK_ANCHOR"} == set(VARIABLES_OF_THE_PIPELINE)


def test_a_vendor_without_a_free_endpoint_is_reachable_whatever_page_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with start_in_process(creators=1) as sandbox:
        environment = {"TIKTOK_PIPELINE_HOME": str(tmp_path), **sandbox.environment}
        messages = {found.what: found.message for found in check.check_deployment(environment)}
    assert messages["vendor tikliveapi"].startswith("reachable; the key is not tested: ")


def test_an_ipv6_address_in_no_proxy_works(tmp_path: Path) -> None:
    done = run(tmp_path, "check", NO_PROXY="localhost,127.0.0.1,[::1]")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("tiktok-pipeline: ")


def test_an_invalid_proxy_is_named_and_its_password_is_not_shown(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "check",
        HTTPS_PROXY=f"http://me:{SECRET}@proxy:99999",
        SOCIAL_FETCH_API_KEY=SECRET,
    )
    assert done.returncode == 1
    assert "HTTPS_PROXY is not a valid proxy" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_cap_that_leaves_no_credit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.toml").write_text(QUICK + "[vendors.social_fetch]\ncredits_per_day = 0.0\n")
    environment = {"SOCIAL_FETCH_API_KEY": SECRET, "TIKTOK_PIPELINE_HOME": str(tmp_path)}
    (found,) = (f for f in check.check_deployment(environment) if f.what == "vendor social_fetch")
    assert "credits_per_day leaves no credit" in found.message


def test_a_roster_too_large_for_a_round_is_reported_with_the_fix(environment: dict[str, str], tmp_path: Path) -> None:
    def rounds() -> check.Finding:
        (found,) = (finding for finding in check.check_deployment(environment) if finding.what == "round")
        return found

    assert rounds().good
    assert rounds().message == "social_fetch needs 1 s for a round of 1 polls; planned are 300 s"
    handles = [f"creator{number}" for number in range(20_000)]
    (tmp_path / "roster.csv").write_text("\n".join(["handle", *handles, ""]))
    assert not rounds().good
    assert "needs 440 s for a round of 20,000 polls" in rounds().message
    assert "Set [watch] round_seconds (and max_gap_minutes) to at least 440 s" in rounds().message
