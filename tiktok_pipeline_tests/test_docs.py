"""The documentation is complete: settings, tables, schedules, jobs, variables and commands are described."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tiktok_pipeline import errors
from tiktok_pipeline.cli import cli
from tiktok_pipeline.commands.dictionary import dictionary, unit
from tiktok_pipeline.config.settings import Retention, Settings
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.publish.example_queries import EXAMPLES
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.tables import PUBLICATION, TABLES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def test_the_data_dictionary_is_up_to_date() -> None:
    assert (ROOT / "docs" / "data-dictionary.md").read_text() == dictionary()


def test_operations_describes_every_settings_section_and_every_upkeep_asset() -> None:
    for section in Settings.__struct_fields__:
        assert f"`[{section}" in OPERATIONS, section
    for key in Retention.__struct_fields__:
        assert f"`{key}`" in OPERATIONS, key
    for spec in build_definitions().resolve_all_asset_specs():
        if spec.group_name == "upkeep":
            assert f"`{spec.key.to_user_string()}`" in OPERATIONS, spec.key


def test_every_table_is_documented_with_its_sources_units_and_an_example_query() -> None:
    assert EXAMPLES.keys() == TABLES.keys() | VIEWS.keys() | {PUBLICATION.name}
    sections = dict(part.split("\n", 1) for part in dictionary().split("\n### ")[1:])
    assert sections.keys() == EXAMPLES.keys()
    for name, section in sections.items():
        assert ("- Made from: " in section) is (name != PUBLICATION.name), name
        assert f"- Example: `{EXAMPLES[name]}`" in section
        assert name in EXAMPLES[name]
    assert "Made from: `live_observations`." in sections["streams"]
    for of in (*TABLES.values(), *VIEWS.values()):
        for column in of.columns:
            assert unit(column) or not column.dtype.is_numeric(), f"{of.name}.{column.name}"


def test_every_job_and_schedule_is_documented() -> None:
    repository = build_definitions().get_repository_def()
    for job in repository.get_all_jobs():
        assert job.name.startswith("__") or f"`{job.name}`" in README, job.name
    for schedule in repository.schedule_defs:
        assert f"`{schedule.name}`" in OPERATIONS, schedule.name
    for sensor in repository.sensor_defs:
        assert f"`{sensor.name}`" in OPERATIONS, sensor.name


def test_every_variable_that_the_package_reads_is_in_the_example_environment() -> None:
    example = (ROOT / ".env.example").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "tiktok_pipeline").rglob("*.py"))
    # Set by `make dev` alone, for its own children.
    internal = {"TIKTOK_PIPELINE_CLOCK_SPEED", "TIKTOK_PIPELINE_CLOCK_ANCHOR", "TIKTOK_PIPELINE_CLOCK_"}
    for name in set(re.findall(r"TIKTOK_PIPELINE_[A-Z_]+", code)) - internal:
        assert name in example, name
    for vendor in VENDORS.values():
        for name in (*vendor.credential_variables, vendor.base_url_variable):
            assert name in example, name
        for name in vendor.credential_variables:
            assert f"`{name}`" in README, name
        assert vendor.base_url in example


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_is_in_the_readme_and_has_a_help_text(command: str) -> None:
    assert re.search(rf"tiktok-pipeline [a-z |]*\b{command}\b", README)
    assert cli.commands[command].help


TEXTS = (".py", ".md", ".toml", ".yaml", ".lock", "", ".example", ".csv", ".service", ".target", ".dockerignore")


def test_no_file_contains_a_machines_path_or_a_registry() -> None:
    forbidden = re.compile(
        r"(?:^|[\s\"'=(])/(?:root|tmp|work|home)/|pypi\.org|pythonhosted|npmjs|--(?:extra-)?index-url"
    )
    for path in [
        *ROOT.glob("*"),
        *(p for d in ("tiktok_pipeline", "docs", ".ci", "benchmarks", "deploy") for p in (ROOT / d).rglob("*")),
    ]:
        if path.is_file() and path.name != ".git" and path.suffix in TEXTS:
            assert not forbidden.search(path.read_text(errors="replace").replace("--no-emit-index-url", "")), path


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_architecture_describes_every_folder_and_every_file_at_the_top_of_the_package() -> None:
    package = ROOT / "tiktok_pipeline"
    folders = {path.parent.relative_to(package) for path in package.rglob("*.py") if path.parent != package}
    described = re.findall(r"^\| `([\w/]+)/` \| \S", ARCHITECTURE, re.MULTILINE)
    assert {*described} == {f"{folder}" for folder in folders}
    assert len(described) == len({*described})
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert {*re.findall(r"^\| `(\w+\.py)` \| \S", ARCHITECTURE, re.MULTILINE)} == files


def test_the_architecture_names_the_files_that_may_import_dagster() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    allowed = [
        path.removeprefix("tiktok_pipeline/").removesuffix("**")
        for path, codes in lint["per-file-ignores"].items()
        if path.startswith("tiktok_pipeline/") and "TID251" in codes
    ]
    assert allowed
    paragraph = ARCHITECTURE.partition("Two kinds of code:")[2].partition("\n\n")[0]
    assert {*re.findall(r"`([\w/.]+)`", paragraph)} == {*allowed}


def test_the_index_of_the_documents_has_every_page_and_the_readme_links_it() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]
    pages += [*ROOT.glob("*.md"), ROOT / "deploy" / "README.md"]
    for page in pages:
        target = os.path.relpath(page, ROOT / "docs")
        assert re.search(rf"^\| \[{re.escape(target)}\]\({re.escape(target)}\) \| .+\? ", index, re.MULTILINE), target
        assert page == ROOT / "README.md" or f"({page.relative_to(ROOT)})" in README, target
    assert "(docs/README.md)" in README


def test_paths_of_the_repository_that_documents_name_exist() -> None:
    tops = r"(?:tiktok_pipeline(?:_tests)?|benchmarks|deploy|docs|defs|providers|capture|publish|transforms|checks)"
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "deploy" / "README.md"):
        for name in re.findall(rf"`({tops}/[\w./-]+\.\w+)`", document.read_text()):
            assert (ROOT / name).exists() or (ROOT / "tiktok_pipeline" / name).exists() or "NAME" in name, name


def test_the_tree_of_errors_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    classes = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.PipelineError)
    }
    assert {*drawn, "PipelineError"} == classes
    for line in (errors.__doc__ or "").splitlines():
        if "──" in line:
            depth = line.index("─") // 4
            parent = vars(errors)[re.findall(r"\w+", line)[0]].__base__
            assert (parent is errors.PipelineError) is (depth == 0), line


def test_operations_lists_the_tables_of_an_older_day_that_are_rebuilt_for_an_open_stream() -> None:
    build_definitions()  # imports the module
    from tiktok_pipeline.defs.marts import automation  # noqa: PLC0415

    sentence = OPERATIONS.partition("stream of an older day has no end yet")[2].partition("\n\n")[0]
    assert {*re.findall(r"`(\w+)`", sentence)} == {table.name for table in automation._OF_OPEN_STREAMS}


def test_the_version_and_the_licence_are_declared_and_the_changelog_has_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert [(ROOT / name).read_text().split()[:2] for name in project["license-files"]] == [["Apache", "License"]]
    image, ignored = ((ROOT / "deploy" / name).read_text() for name in ("Dockerfile", "Dockerfile.dockerignore"))
    for name in (project["readme"], *project["license-files"]):
        assert re.search(rf"^COPY .*\b{name}\b", image, re.MULTILINE), name
        assert f"\n!{name}\n" in ignored, name
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.+)", changelog, re.MULTILINE)[:2] == ["Unreleased", project["version"]]


# Labels of the Dagster UI, which the tables of docs/operations.md name in italics like messages.
LABELS = {"Automation", "Asset", "Checks", "Lineage", "Runs"}


def messages() -> list[str]:
    """Every text in the code, as one string each; a part that is filled in is a null character."""
    found = []
    for path in (ROOT / "tiktok_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def quoted(sections: Sequence[str]) -> list[str]:
    """The messages that tables of these sections of docs/operations.md quote in italics, at their `...`."""
    headings = {*re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE), *LABELS}
    parts = [OPERATIONS.partition(f"\n## {section}\n")[2].partition("\n## ")[0] for section in sections]
    rows = [line for part in parts for line in part.splitlines() if line.startswith("|")]
    italics = {text for row in rows for text in re.findall(r"(?<!\*)\*([^*|]+)\*(?!\*)", row)} - headings
    return sorted({piece.strip(" `:@") for text in italics for piece in text.split("...")} - {""})


def test_every_message_quoted_in_the_documents_is_one_of_the_code() -> None:
    asked = quoted(["When something is wrong", "Alerts", "Recover"])
    assert len(asked) > 12
    said = messages()
    assert [message for message in asked if not any(message in each for each in said)] == []
