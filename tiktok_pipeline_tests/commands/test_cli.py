"""Exit codes and one-line reasons of the command line, without a traceback."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline_tests.commands.command_line import assert_refused, run, run_process
from tiktok_pipeline_tests.publish.report.rosters import small

ROOT = Path(__file__).parents[2]

START = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_in_process(creators=2, start=START) as sandbox:
        yield sandbox


def test_roster_commands_add_list_and_remove_creators(tmp_path: Path) -> None:
    assert run(tmp_path, "roster", "add", "@Mira.Paints", "--niche", "art", "--tier", "a").returncode == 0
    assert_refused(run(tmp_path, "roster", "add", "mira.paints"), "on the roster already")
    assert_refused(run(tmp_path, "roster", "add", "not a handle"), "is no handle")
    (tmp_path / "more.csv").write_text("handle,niche\nmira.paints,art\nbo,food\n")
    assert "added 1, 1 were on the roster already" in run(tmp_path, "roster", "import", "more.csv").stdout
    listed = run(tmp_path, "roster", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["mira.paints", "bo"]
    assert run(tmp_path, "roster", "remove", "@BO").returncode == 0
    assert_refused(run(tmp_path, "roster", "remove", "bo"), "not on the roster")
    assert "1 creators, no bad line" in run(tmp_path, "roster", "validate").stdout


def test_a_bad_roster_line_is_named_blocks_no_other_line_and_survives_every_command(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("handle,niche,tier\nmira.paints,art,\nno good,art,\n")
    assert_refused(run(tmp_path, "roster", "validate"), "roster.csv, line 3")
    listed = run(tmp_path, "roster", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["mira.paints"]
    added = run(tmp_path, "roster", "add", "bo", "--niche", "food")
    removed = run(tmp_path, "roster", "remove", "mira.paints")
    for done, line in ((listed, 3), (added, 3), (removed, 2)):
        assert done.returncode == 0, done.stderr
        assert f"bad line: roster.csv, line {line}: 'no good' is no handle" in done.stderr
    assert (tmp_path / "roster.csv").read_text() == "handle,niche,tier\nno good,art,\nbo,food,b\n"


def test_an_import_adds_the_valid_lines_lists_the_bad_ones_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(
        "\ufeffUser name;Niche;E-mail;user_id\r\n"
        "https://www.tiktok.com/@Mira.Paints?lang=en;art;a@b.c;6943972350728712345\r\n"
        "rounded;art;;6943972350728700000\r\n"
        "science;art;;7,12E+18\r\n"
        'open;"art;;\r\n'
        " @bo ;food;;\r\n".encode()
    )
    done = run(tmp_path, "roster", "import", "in.csv")
    assert done.returncode == 1
    assert "added 2, 0 were on the roster already" in done.stdout
    *bad, reason = done.stderr.splitlines()
    assert "ignored columns: E-mail" in bad[0]
    assert [line.split(": ")[:2] for line in bad[1:]] == [["bad line", f"in.csv, line {n}"] for n in (3, 4, 5)]
    assert reason == "tiktok-pipeline: 3 bad lines of in.csv were not imported: correct them and import again"
    listed = run(tmp_path, "roster", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["mira.paints", "bo"]
    again = run(tmp_path, "roster", "import", "in.csv")
    assert (again.returncode, "added 0, 2 were on the roster already" in again.stdout) == (1, True)


def test_an_import_with_one_bad_line_gives_it_as_the_reason(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("handle,user_id\nalpha,6943972350728700000\n")
    done = run(tmp_path, "roster", "import", "in.csv")
    assert_refused(done, "in.csv, line 2: @alpha has user_id '6943972350728700000': a spreadsheet rounded it")
    assert not (tmp_path / "roster.csv").exists()


def test_a_file_of_another_type_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\x03\x04\x00\x00")
    assert_refused(run(tmp_path, "roster", "import", "sheet.xlsx"), "save the sheet as CSV UTF-8")
    assert_refused(run(tmp_path, "roster", "import", "."), "is a folder")
    assert_refused(run(tmp_path, "roster", "list", TIKTOK_PIPELINE_ROSTER=str(tmp_path)), "is a folder")
    assert run(tmp_path, "roster", "import", "absent.csv").returncode == 2


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    for arguments in (["replay"], ["replay", "--from", "yesterday", "--to", "2026-11-03"], ["no-such-command"]):
        assert run(tmp_path, *arguments).returncode == 2


def test_a_process_has_the_exit_codes_and_lines_of_the_command(tmp_path: Path) -> None:
    """Other tests run commands in their own process."""
    assert run_process(tmp_path, "no-such-command").returncode == 2
    assert run_process(tmp_path, "roster", "add", "mira.paints").returncode == 0
    assert_refused(run_process(tmp_path, "roster", "add", "mira.paints"), "on the roster already")


@pytest.mark.parametrize(
    ("start", "end", "clock", "reason"),
    [
        ("2026-11-02", "2026-11-03", "real", "TIKTOK_PIPELINE_CLOCK=replay"),
        ("2026-11-03", "2026-11-02", "replay", "is empty"),
        ("2026-11-02T10:30", "2026-11-03", "replay", "not a whole hour"),
        ("2020-01-01", "2020-01-02", "replay", "before the first partition"),
        ("2098-01-01", "2098-01-02", "replay", "in the future"),
        ("2026-11-02", "2026-11-03", "sundial", "must be real or replay"),
    ],
)
def test_a_span_that_cannot_be_replayed_is_refused_with_a_reason(
    tmp_path: Path, start: str, end: str, clock: str, reason: str
) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    assert_refused(run(tmp_path, "replay", "--from", start, "--to", end, TIKTOK_PIPELINE_CLOCK=clock), reason)


def test_a_replay_without_a_roster_or_with_invalid_settings_is_refused_with_a_reason(tmp_path: Path) -> None:
    span = ("replay", "--from", "2026-11-02", "--to", "2026-11-03")
    assert_refused(run(tmp_path, *span, TIKTOK_PIPELINE_CLOCK="replay"), "roster add HANDLE")
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    (tmp_path / "settings.toml").write_text("[wach]\n")
    assert_refused(run(tmp_path, *span, TIKTOK_PIPELINE_CLOCK="replay"), "unknown key `wach`")


def test_a_replay_without_creators_or_vendors_changes_nothing(tmp_path: Path) -> None:
    """A captured span is not polled again, so an empty capture would spoil it."""
    span = ("replay", "--from", "2026-11-02", "--to", "2026-11-03")
    (tmp_path / "roster.csv").write_text("handle\n")
    keys = {"TIKTOK_PIPELINE_CLOCK": "replay", "SOCIAL_FETCH_API_KEY": "sfk_x_secret"}
    assert_refused(run(tmp_path, *span, **keys), "has no creators to watch")
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    assert_refused(run(tmp_path, *span, TIKTOK_PIPELINE_CLOCK="replay"), "no vendor has credentials")
    assert not (tmp_path / "data" / "lake").exists()


@pytest.mark.parametrize("wrong", [("dev", "--speed", "0"), ("demo", "--days", "0"), ("sandbox", "--creators", "0")])
def test_out_of_range_numbers_are_wrong_usage(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    done = run(tmp_path, *wrong)
    assert done.returncode == 2
    assert "is not in the range" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_replay_without_a_server_names_the_vendor_without_a_response(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    (tmp_path / "settings.toml").write_text("[retries]\nattempts = 1\n")
    done = run_process(
        tmp_path, "replay", "--from", "2026-11-02", "--to", "2026-11-02T02:00", TIKTOK_PIPELINE_CLOCK="replay",
        SOCIAL_FETCH_API_KEY="sfk_x_secret", SOCIAL_FETCH_BASE_URL="http://127.0.0.1:9",
    )  # fmt: skip
    assert_refused(done, "no vendor answered")
    assert "sfk_x_secret" not in done.stdout + done.stderr


def test_check_reports_missing_parts_and_their_fixes(tmp_path: Path) -> None:
    done = run(tmp_path, "check")
    assert done.returncode == 1
    assert "roster add HANDLE" in done.stdout
    assert "off  vendor social_fetch: not used: to use it, set SOCIAL_FETCH_API_KEY" in done.stdout
    assert "checks failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_passes_on_a_complete_deployment_and_spends_no_credit(tmp_path: Path, sandbox: RunningSandbox) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    done = run(tmp_path, "check", **sandbox.environment)
    assert done.returncode == 0, done.stdout
    assert "the key is valid" in done.stdout
    assert "credits left" in done.stdout
    assert "route live: social_fetch, then konbini" in done.stdout
    for name, value in sandbox.environment.items():
        if name.endswith(("KEY", "PASSWORD")):
            assert value not in done.stdout + done.stderr


def test_check_names_an_unreadable_file(tmp_path: Path, sandbox: RunningSandbox) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    broken = tmp_path / "data" / "lake" / "marts" / "creators" / "creators.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PAR1")
    done = run(tmp_path, "check", **sandbox.environment)
    assert done.returncode == 1
    assert f"{broken} cannot be read" in done.stdout
    assert "the next `derive` rebuilds it" in done.stdout


def test_check_reports_a_wrong_key_a_bad_roster_line_and_an_unreachable_vendor(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\nbad line here\n")
    wrong = sandbox.environment | {"SOCIAL_FETCH_API_KEY": "sfk_wrong", "TIKHUB_BASE_URL": "http://127.0.0.1:9"}
    done = run(tmp_path, "check", **wrong)
    assert done.returncode == 1
    assert "BAD  vendor social_fetch: refused" in done.stdout
    assert "BAD  vendor tikhub: no response from http://127.0.0.1:9" in done.stdout
    assert "roster.csv, line 3" in done.stdout
    assert "sfk_wrong" not in done.stdout + done.stderr


def test_check_tests_the_postgres_connection(tmp_path: Path, sandbox: RunningSandbox, postgres_url: str) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    done = run(tmp_path, "check", **sandbox.environment)
    assert "off  postgres: not used: to publish there too, set TIKTOK_PIPELINE_POSTGRES_URL" in done.stdout
    done = run(tmp_path, "check", **sandbox.environment, TIKTOK_PIPELINE_POSTGRES_URL=postgres_url)
    assert done.returncode == 0, done.stdout
    assert "reachable and writable" in done.stdout
    away = "postgresql://somebody:hunter2@127.0.0.1:1/db"
    done = run(tmp_path, "check", **sandbox.environment, TIKTOK_PIPELINE_POSTGRES_URL=away)
    assert done.returncode == 1
    assert "BAD  postgres: Postgres at 127.0.0.1:1/db cannot be used" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_the_sandbox_command_prints_how_to_connect_to_it(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tiktok_pipeline.cli", "sandbox", "--port", "0", "--creators", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(9)]
    finally:
        child.terminate()
        child.communicate(timeout=20)
    names = {line.split("=", 1)[0] for line in lines}
    assert {"KONBINI_BASE_URL", "SOCIAL_FETCH_API_KEY", "TIKHUB_PASSWORD", "TIKLIVEAPI_API_KEY"} <= names


def test_a_port_in_use_is_a_readable_error(tmp_path: Path, sandbox: RunningSandbox) -> None:
    port = sandbox.url.rsplit(":", 1)[1]
    assert_refused(run_process(tmp_path, "sandbox", "--port", port), "use --port 0")


def test_the_report_command_rewrites_the_report(tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "report"), "make demo")
    small(tmp_path / "data")
    done = run(tmp_path, "report")
    page = tmp_path / "data" / "report" / "index.html"
    assert done.stdout.startswith(f"{page} (")
    assert page.stat().st_size > 500_000


def test_dev_without_a_demo_names_the_command_to_run_first(tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "dev"), "make demo")


def test_a_demo_never_mixes_with_real_data(tmp_path: Path) -> None:
    (tmp_path / "data" / "lake").mkdir(parents=True)
    assert_refused(run(tmp_path, "demo"), "TIKTOK_PIPELINE_HOME")


def test_the_version_is_printed(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"tiktok-pipeline, version {project['version']}\n")
    # A wrong setting of the environment does not keep it from saying so.
    assert run(tmp_path, "--version", TIKTOK_PIPELINE_CLOCK="nonsense").returncode == 0


def test_export_lists_its_tables_and_names_a_missing_folder(tmp_path: Path) -> None:
    listed = run(tmp_path, "export", "--help").stdout
    for name in (*VIEWS, *(table.name for table in PUBLISHED)):
        assert f"\n  {name} " in listed
    warehouse = tmp_path / "data" / "warehouse"
    warehouse.mkdir(parents=True)
    (warehouse / "tiktok.duckdb").touch()
    done = run(tmp_path, "export", "streams", "--output", "nowhere/streams.csv")
    assert_refused(done, "nowhere/streams.csv was not written: there is no folder nowhere; make it first")
