"""The command line: `tiktok-pipeline COMMAND`; `tiktok-pipeline --help` lists the commands.

Each command prints its result. A failure prints one line on stderr and exits 1; wrong usage exits 2.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
import msgspec
from dotenv import dotenv_values, load_dotenv

from tiktok_pipeline.capture.clock import real_clock, replaying
from tiktok_pipeline.commands.init import make_files, next_steps
from tiktok_pipeline.config import roster as rosters
from tiktok_pipeline.config.settings import Places, hash_key
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.errors import PipelineError, RosterError, SettingsError


class Moment(click.ParamType[datetime]):
    """A time, UTC: 2026-11-02, 2026-11-02T15:00 or with an offset."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse a time; return it with a time zone."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time: write 2026-11-02 or 2026-11-02T15:00", param, ctx)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


MOMENT = Moment()
_AT_LEAST_ONE = click.IntRange(min=1)
_PORT = click.IntRange(1, 65535)
_PORT_OR_ANY = click.IntRange(0, 65535)
_SPEED = click.FloatRange(min=0.1, max=3600)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tiktok-pipeline", prog_name="tiktok-pipeline")
@click.pass_context
def cli(context: click.Context) -> None:
    """Poll TikTok creators through data vendors: streams, follower lift, leaderboards."""
    # Check the clock for every command: some commands read it late, or not at all. `check` lists it with the rest.
    if context.invoked_subcommand != "check":
        replaying()
        real_clock()


@cli.command()
@click.option("--port", type=_PORT_OR_ANY, default=8777, show_default=True, help="Port on 127.0.0.1; 0: any free one.")
@click.option("--seed", default=7, show_default=True, help="Seed of the invented creators.")
@click.option("--creators", type=_AT_LEAST_ONE, default=14, show_default=True, help="Number of creators.")
@click.option("--start", type=MOMENT, default=None, help="Start time of the sandbox clock. [default: now]")
@click.option(
    "--speed",
    type=_SPEED,
    default=1.0,
    show_default=True,
    help="Clock speed; 1 is real time.",
)
@click.option("--faults", default="none", show_default=True, help="none, mild, nasty, hostile or down-VENDOR.")
def sandbox(port: int, seed: int, creators: int, start: datetime | None, speed: float, faults: str) -> None:
    """Serve invented creators in the vendors' own response formats, with known true values."""
    from tiktok_pipeline.commands.serve import serve_sandbox  # noqa: PLC0415 - no other command needs it

    serve_sandbox(port=port, seed=seed, creators=creators, start=start or datetime.now(UTC), speed=speed, faults=faults)


@cli.command()
@click.option("--from", "start", type=MOMENT, required=True, help="Start of the span, a full hour.")
@click.option("--to", "end", type=MOMENT, required=True, help="End of the span (not included), a full hour.")
def replay(start: datetime, end: datetime) -> None:
    """Run all assets over a time span on the replay clock, from raw to publish.

    Needs vendors that can respond for past times, such as the sandbox: each request carries X-Replay-At. Hours that
    are already captured are not requested again.
    """
    from tiktok_pipeline.commands.replay import replay as run  # noqa: PLC0415 - imports Dagster, which takes a second

    run(start, end, say=click.echo)


@cli.command()
@click.option("--creators", type=_AT_LEAST_ONE, default=14, show_default=True, help="Number of creators.")
@click.option("--days", type=_AT_LEAST_ONE, default=7, show_default=True, help="Days of polling to replay.")
@click.option("--seed", default=41, show_default=True, help="Seed of the invented creators.")
def demo(creators: int, days: int, seed: int) -> None:
    """Start a sandbox, replay days of polling through the real jobs, publish, and print where the results are."""
    from tiktok_pipeline.commands.demo import run_demo  # noqa: PLC0415

    run_demo(creators=creators, days=days, seed=seed, say=click.echo)


@cli.command()
@click.option(
    "--speed",
    type=_SPEED,
    default=60.0,
    show_default=True,
    help="Clock speed; 1 is real time.",
)
@click.option("--port", type=_PORT, default=3000, show_default=True, help="Port of the Dagster UI.")
def dev(speed: float, port: int) -> None:
    """Serve the sandbox at many times real speed, and open the Dagster UI with running schedules on it."""
    from tiktok_pipeline.commands.demo import run_dev  # noqa: PLC0415

    run_dev(speed=speed, port=port, say=click.echo)


@cli.command()
@click.option("--port", type=_PORT, default=3000, show_default=True, help="Port of the Dagster UI.")
def start(port: int) -> None:
    """Run this deployment: the Dagster UI, its daemon and its code server, until Ctrl-C.

    Schedules that poll vendors are off until they are switched on in the UI, under Automation, or by
    TIKTOK_PIPELINE_SCHEDULES=on.
    """
    from tiktok_pipeline.commands.start import run_start  # noqa: PLC0415

    run_start(port=port, say=click.echo)


@cli.command()
@click.argument("home", type=click.Path(file_okay=False, path_type=Path), required=False)
def init(home: Path | None) -> None:
    """Make a deployment's own roster, settings and environment files in its HOME, from the examples.

    HOME is a folder; by default the one in TIKTOK_PIPELINE_HOME. Existing files are never changed.
    """
    home = (home or Places.from_environment().home).absolute()
    for line in make_files(home, os.environ):
        click.echo(line)
    click.echo("\nnext:")
    for number, step in enumerate(next_steps(home), 1):
        click.echo(f"  {number}. {step}")


@cli.command()
@click.option("--spend", is_flag=True, help="Also test keys of vendors without a free endpoint: one credit each.")
def check(spend: bool) -> None:
    """Check settings, roster, keys, vendors, lake and warehouse; print each problem with its remedy."""
    from tiktok_pipeline.commands.check import check_deployment  # noqa: PLC0415

    findings = check_deployment(os.environ, spend=spend)
    for finding in findings:
        click.echo(f"{finding.mark:<4} {finding.what}: {finding.message}")
    bad = [finding for finding in findings if not finding.good]
    if bad:
        raise PipelineError(f"{len(bad)} of {len(findings)} checks failed; begin with {bad[0].what}: {bad[0].message}")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show what runs, the last capture and publish, the next ticks, today's credits, and warnings.

    It reads only: it creates no file and sends no request. Exit status 0 also with warnings.
    """
    from tiktok_pipeline.commands.status import lines_of, status_of  # noqa: PLC0415 - imports Dagster

    found = status_of(Places.from_environment())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    for line in lines_of(found):
        click.echo(line)


@cli.command()
@click.option("--check", "checking", is_flag=True, help="Only say what this version will rebuild, and what it costs.")
def upgrade(checking: bool) -> None:
    """Say what this version of the package will rebuild in the lake and in the warehouse. Changes nothing.

    Replace the code first, as *Upgrade* in docs/operations.md describes. Costs are CPU time on this machine; no request
    is sent to a vendor.
    """
    if not checking:
        raise click.UsageError("add --check: the code itself is replaced as docs/operations.md describes")
    from tiktok_pipeline.commands.upgrade import check_upgrade  # noqa: PLC0415 - imports Dagster

    for line in check_upgrade(Places.from_environment()):
        click.echo(line)


class ListsTables(click.Command):
    """A command whose help ends with the published tables and views."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each name with the first sentence of its description."""
        from tiktok_pipeline.publish.catalog import PUBLISHED  # noqa: PLC0415 - imports what other commands do not need
        from tiktok_pipeline.publish.views import VIEWS  # noqa: PLC0415

        for title, of in (("Views", VIEWS.values()), ("Tables", PUBLISHED)):
            with formatter.section(title):
                formatter.write_dl(sorted((each.name, each.description.split(". ")[0].strip(". ")) for each in of))


@cli.command(cls=ListsTables)
@click.argument("table")
@click.option("--format", "form", type=click.Choice(("csv", "xlsx", "parquet")), default="csv", show_default=True)
@click.option("--from", "start", type=MOMENT, default=None, help="Only rows at or after this time, UTC.")
@click.option("--to", "end", type=MOMENT, default=None, help="Only rows before this time, UTC.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="[default: named after TABLE]",
)
@click.option("--exact", is_flag=True, help="CSV for programs: no byte order mark, no added apostrophes.")
@click.option("--bom/--no-bom", "mark", default=True, show_default=True, help="Begin a CSV with a byte order mark.")
def export(
    table: str,
    form: Literal["csv", "xlsx", "parquet"],
    start: datetime | None,
    end: datetime | None,
    output: Path | None,
    exact: bool,
    mark: bool,
) -> None:
    """Write a published TABLE or view to a CSV, Excel or Parquet file.

    A CSV is made for spreadsheets: it begins with a byte order mark, and text that a spreadsheet would change
    (formulas, ids of 16 and more digits) begins with an apostrophe. --exact adds neither.
    """
    from tiktok_pipeline.publish.exports import export as write  # noqa: PLC0415 - imports what other commands do not need

    warehouse = Places.from_environment().warehouse
    written = write(warehouse, table, form, start=start, end=end, output=output, exact=exact, mark=mark)
    click.echo(f"{written.path}: {written.rows:,} rows of {table}, published as {written.generation}")
    if written.guarded:
        click.echo(f"{written.guarded:,} texts that look like formulas begin with an apostrophe; --exact adds none")
    if written.numbers:
        click.echo(
            f"{written.numbers:,} ids that a spreadsheet would round begin with an apostrophe; --exact adds none"
        )
    if written.cut:
        click.echo(f"{written.cut:,} texts were truncated to the length of an Excel cell")


@cli.command()
@click.option("--niche", help="make the report of a client: of the creators of this niche only")
@click.option("--creator", "creators", multiple=True, help="of this creator only; can be repeated")
@click.option(
    "--roster",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="of the creators in this file only: the columns of roster.csv, or a list of handles",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="the file to write; needed for one of the above"
)
def report(niche: str | None, creators: tuple[str, ...], roster: Path | None, out: Path | None) -> None:
    """Make the HTML report from the newest published data again, and print its path.

    With --niche, --creator or --roster it is a client's own report: totals, ranks and all streams of these creators.
    The file holds no data of other creators and nothing about vendors.
    """
    from tiktok_pipeline.config.roster import read_roster  # noqa: PLC0415
    from tiktok_pipeline.publish.duckdb_file import LINK  # noqa: PLC0415 - as DuckDB does
    from tiktok_pipeline.publish.report.client import ClientScope, handles  # noqa: PLC0415
    from tiktok_pipeline.publish.report.page import (  # noqa: PLC0415 - Altair takes half a second to import
        write_client_report,
        write_report,
    )

    places = Places.from_environment()
    chosen = [niche is not None, bool(creators), roster is not None]
    if sum(chosen) > 1:
        raise click.UsageError("choose one of --niche, --creator and --roster")
    if not any(chosen):
        written = write_report(places.warehouse / LINK, out or places.report)
    else:
        if out is None:
            raise click.UsageError("a client's report needs --out FILE")
        if roster is not None:
            listed = handles(each.handle for each in read_roster(roster, importing=True).creators)
            client = ClientScope(roster.stem, handles=listed)
        elif niche is not None:
            client = ClientScope(niche, niche=niche)
        else:
            client = ClientScope(", ".join(f"@{each}" for each in sorted(handles(creators))), handles=handles(creators))
        written = write_client_report(places.warehouse / LINK, out, client)
    click.echo(f"{written.path} ({written.size / 1e6:.1f} MB)")


@cli.command()
@click.argument("handle")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--creator", "as_creator", default=None, help="The creator_id, if several creators have had HANDLE.")
def forget(handle: str, yes: bool, as_creator: str | None) -> None:
    """Erase a creator, by present or past HANDLE, from every layer and from published data.

    Erased creators are not polled again, until `roster add HANDLE --again`. If the command is interrupted, run it
    again to complete it. On a terminal it asks for confirmation. A script is not prompted, but `n` on stdin stops it.
    """
    from tiktok_pipeline.commands.forget import confirmed, run_forget  # noqa: PLC0415

    if not yes and not confirmed(lambda: click.confirm("This deletes raw data for good. Continue?", default=False)):
        raise PipelineError("nothing was removed: not confirmed")
    # Progress is for a terminal. A script expects one line on stderr: the reason of a failure.
    progress = sys.stderr.isatty()
    run_forget(
        handle, as_creator=as_creator, echo=click.echo, progress=lambda m: click.echo(m, err=True) if progress else None
    )


@cli.group()
def roster() -> None:
    """Add, remove, list and validate the creators to poll."""


@roster.command("list")
def roster_list() -> None:
    """List the creators on the roster."""
    for creator in _read_roster().creators:
        click.echo(f"{creator.handle:<26} {creator.niche:<12} {creator.tier}  {' '.join(creator.note.split())}")


@roster.command("add")
@click.argument("handle")
@click.option("--niche", default="", help="Niche; each niche has its own leaderboards.")
@click.option("--tier", default="b", help="Tier: a, b or c.")
@click.option("--user-id", default="", help="Numeric user id, if known.")
@click.option("--sec-uid", default="", help="secUid, if known.")
@click.option("--note", default="", help="Free text.")
@click.option("--again", is_flag=True, help="Add the creator even if `forget` erased it before.")
def roster_add(handle: str, niche: str, tier: str, user_id: str, sec_uid: str, note: str, again: bool) -> None:
    """Add HANDLE, or the URL of a profile, to the roster."""
    places = Places.from_environment()
    path = places.roster
    creators = _read_roster().creators if os.path.exists(path) else ()
    new = rosters.make_creator(handle, niche, tier, user_id, sec_uid, note)
    _allow(places, new, again=again)
    if any(creator.creator_id == new.creator_id for creator in creators):
        raise RosterError(f"@{new.handle} is on the roster already")
    rosters.add_creators(path, [new])
    click.echo(f"added @{new.handle}")


@roster.command("remove")
@click.argument("handle")
def roster_remove(handle: str) -> None:
    """Remove HANDLE from the roster, so that it is no longer polled; its data stays."""
    path = Places.from_environment().roster
    removed = rosters.plain_handle(handle)
    if not rosters.remove_creator(path, removed):
        raise RosterError(f"@{removed} is not on the roster")
    _read_roster()
    click.echo(f"removed @{removed}; its data stays (it is no longer polled)")


@roster.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
def roster_import(file: Path) -> None:
    """Add the creators in the CSV FILE to the roster. Bad lines are listed on stderr, with exit status 1.

    Accepts commas, semicolons or tabs as separators; handles or profile URLs; UTF-8 or Excel's Unicode text. A file
    without a header is read as a list of handles.
    """
    places = Places.from_environment()
    imported = rosters.without_erased(rosters.read_roster(file, importing=True), file, _erased(places).names())
    path = places.roster
    creators = _read_roster().creators if os.path.exists(path) else ()
    known = {creator.creator_id for creator in creators}
    new = [creator for creator in imported.creators if creator.creator_id not in known]
    if new:
        rosters.add_creators(path, new)
    click.echo(f"added {len(new)}, {len(imported.creators) - len(new)} were on the roster already")
    _refuse(imported, f"bad lines of {file.name} were not imported: correct them and import again")


@roster.command("validate")
def roster_validate() -> None:
    """Check every line of the roster."""
    places = Places.from_environment()
    read = rosters.without_erased(rosters.read_roster(places.roster), places.roster, _erased(places).names())
    _refuse(read, "bad lines in the roster; all other creators are polled")
    click.echo(f"{len(read.creators)} creators, no bad line")


def _erased(places: Places) -> ErasedCreators:
    return ErasedCreators(places.lake, lambda: hash_key(places.home))


def _allow(places: Places, new: rosters.Creator, *, again: bool) -> None:
    """Reject an erased creator, or with `again` remove it from the list of erased creators."""
    erased = _erased(places)
    for value in filter(None, (new.creator_id, new.user_id, new.sec_uid)):
        entry = erased.find(value)
        if entry is None:
            continue
        if not again:
            raise RosterError(f"@{new.handle} was erased on {entry.begun:%Y-%m-%d}: to poll them again, add --again")
        if entry.done is None:
            raise RosterError(f"`tiktok-pipeline forget {new.handle}` was interrupted: run it again first")
        erased.remove(entry)
        click.echo(f"@{new.handle} was erased on {entry.begun:%Y-%m-%d}, and can be polled again")


def _read_roster() -> rosters.Roster:
    """Read the roster and print its problems on stderr, without failing."""
    places = Places.from_environment()
    read = rosters.without_erased(rosters.read_roster(places.roster), places.roster, _erased(places).names())
    _show(read.notes, "note")
    _show(read.problems, "bad line")
    return read


def _show(messages: Sequence[str], what: str) -> None:
    for message in messages:
        click.echo(f"{what}: {message}", err=True)


def _refuse(read: rosters.Roster, reason: str) -> None:
    """Fail if there are bad lines. A single one is the error message; several are listed before it."""
    _show(read.notes, "note")
    if len(read.problems) == 1:
        raise RosterError(read.problems[0])
    if read.problems:
        _show(read.problems, "bad line")
        raise RosterError(f"{len(read.problems):,} {reason}")


@contextlib.contextmanager
def one_line_failures() -> Iterator[None]:
    """Print an expected failure as one line and exit 1."""
    try:
        yield
    except PipelineError as error:
        click.echo(f"tiktok-pipeline: {error}", err=True)
        sys.exit(1)


def _load_environment() -> None:
    """Set variables from .env of the working directory, then of the home. As in Dagster, the environment wins."""
    path = Path(".env")
    try:
        load_dotenv(path, override=False)
        path = Path(os.environ.get("TIKTOK_PIPELINE_HOME") or "data") / ".env"
        for name, value in dotenv_values(path).items():
            if value is not None and name != "TIKTOK_PIPELINE_HOME":
                os.environ.setdefault(name, value)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def main() -> None:
    """Entry point of `tiktok-pipeline`."""
    with one_line_failures():
        _load_environment()
        cli()


if __name__ == "__main__":
    main()
