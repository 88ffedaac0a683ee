"""Citations resolve: each names a numbered section or rule of a page in docs/, in one form that can be searched for.

    docs/methods.md 2.4        docs/vendors.md 3        docs/architecture.md rule 4

Another form, such as a bare section number, or "the notes", is refused: a reader could not open what it names.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMBERED = ("methods.md", "vendors.md", "architecture.md")
_SKIPPED = {
    ".git",
    ".venv",
    "data",
    "live",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv-superset",
    ".superset",
}
_TEXTS = {".py", ".md", ".toml", ".yaml", ".html", ".js", ".css", ".sh", ".example", ".service"}

CITATION = re.compile(r"docs/(\w[\w-]*\.md)(?:#([\w-]+)| (rule )?(\d+(?:\.\d+)*)\b)?")
# Each form that names a place in a document that the repository does not have, or not under that name.
_OTHER_FORM = re.compile(
    r"\b[Ss]ections? \d"  # a bare number: of which document?
    r"|\b[Mm]ethods,? (?:section )?\(?\d"
    r"|\b[Vv]endors' notes\b|\(notes, \d|\bnotes, (?:section|fact)"
    r"|\b[Tt]he design\b|\bdesign(?:'s)? (?:section|\d|R\d)|\(design: "
    r"|\b(?:[Rr]ules? )?R\d{1,2}\b(?!\")"
    r"|\b[Ff]acts? \d|\b[Ss]teps? \d.* of (?:section|the methods)"
    r"|\b[Ii]ssue \d|\b(?:contract|style|scale|dagster|performance)\.md\b"
)


@cache
def texts() -> tuple[Path, ...]:
    """Every text file of the repository, except this one, and except data and environments."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        found += [Path(folder, name) for name in names if Path(name).suffix in _TEXTS]
    return tuple(sorted(path for path in found if path != Path(__file__)))


@cache
def sections(page: str) -> set[str]:
    """The numbers of the headings of a page, and those of its numbered rules as `rule N`."""
    text = (ROOT / "docs" / page).read_text()
    rules = text.partition("\n## Rules\n")[2].partition("\n## ")[0] if page == "architecture.md" else ""
    return {
        *(number.rstrip(".") for number in re.findall(r"^#+ (\d+(?:\.\d+)*\.?) ", text, re.MULTILINE)),
        *(f"rule {number}" for number in re.findall(r"^(\d+)\. ", rules, re.MULTILINE)),
    }


def anchor(heading: str) -> str:
    """The anchor that renderers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    """All anchors of a page."""
    without_code = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)}


def broken(text: str) -> list[str]:
    """The citations of `text` that name no page, section, rule or heading."""
    found = []
    for citation in CITATION.finditer(text):
        page, heading, rule, number = citation.groups()
        path = ROOT / "docs" / page
        missing = not path.exists()
        no_heading = not missing and heading and page != "data-dictionary.md" and heading not in anchors(path)
        no_number = not missing and number and page in NUMBERED and f"{rule or ''}{number}" not in sections(page)
        if missing or no_heading or no_number:
            found.append(citation[0])
    return found


def other_forms(text: str) -> list[str]:
    """The lines of `text` that cite in another form."""
    return [line.strip() for line in text.splitlines() if _OTHER_FORM.search(line)]


def bad_links(page: Path) -> list[str]:
    """The relative links of a page to a file or a heading that does not exist."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (heading and path.suffix == ".md" and heading not in anchors(path)):
            found.append(target)
    return found


def test_every_citation_resolves_and_there_is_one_form() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}": bad
        for path in texts()
        if (bad := [*broken(path.read_text()), *other_forms(path.read_text())])
    }
    assert not wrong
    cited = {match[1] for path in texts() for match in CITATION.finditer(path.read_text()) if match[4]}
    assert {"methods.md", "vendors.md"} <= cited


def test_references_within_a_numbered_page_resolve() -> None:
    for page in NUMBERED:
        inside = re.findall(r"(?:\bsee |\()([1-9]\d?\.\d{1,2})(?=[,);.]| \|)", (ROOT / "docs" / page).read_text())
        assert {*inside} <= sections(page), page


@pytest.mark.parametrize("page", NUMBERED)
def test_no_section_number_is_given_twice_and_none_is_left_out(page: str) -> None:
    numbers = re.findall(r"^##+ (\d+(?:\.\d+)*)\.? ", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert len(numbers) == len({*numbers})
    for number in numbers:
        parent, _, last = number.rpartition(".")
        assert int(last) == 1 or f"{parent}.{int(last) - 1}".strip(".") in numbers, number


def test_every_relative_link_of_every_page_leads_to_a_file_and_to_a_heading_of_it() -> None:
    assert not {
        f"{page.relative_to(ROOT)}": bad for page in texts() if page.suffix == ".md" and (bad := bad_links(page))
    }


@pytest.mark.parametrize(
    "text",
    [
        "docs/methods.md 99",
        "docs/methods.md 2.99",
        "docs/vendors.md 1.99",
        "docs/architecture.md rule 99",
        "docs/methods.md#no-such-heading",
        "docs/no-such-page.md",
    ],
)
def test_an_unresolved_citation_is_reported(text: str) -> None:
    assert broken(f"# The constants of ({text}).") == [text]


@pytest.mark.parametrize("text", ["docs/methods.md 2.4", "docs/methods.md", "docs/architecture.md rule 1"])
def test_a_resolved_citation_is_not_reported(text: str) -> None:
    assert broken(text) == []
    assert other_forms(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "(methods, section 2.4)",
        "(methods 1.3)",
        "the vendors' notes, section 3",
        "(notes, fact 7)",
        "After the design's section 2.2",
        "confirmed (R5)",
        "rules R3 to R8",
        "see section 2.5",
        "the reproduction of issue 10",
    ],
)
def test_a_citation_in_another_form_is_reported(text: str) -> None:
    assert other_forms(f"# {text}") == [f"# {text}"]


def test_a_link_to_a_missing_target_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](page.md) [b](#one-thing) [c](https://example.org) [d](gone.md) [e](#gone)\n")
    assert bad_links(page) == ["gone.md", "#gone"]
