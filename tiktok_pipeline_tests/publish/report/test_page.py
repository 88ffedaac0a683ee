"""The page as a file: self-contained, safe against hostile names, with an explanation of each number."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report import charts
from tiktok_pipeline.publish.report.brief import Brief, read_brief
from tiktok_pipeline.publish.report.meanings import MEANINGS
from tiktok_pipeline.publish.report.page import METRICS, render, write_report
from tiktok_pipeline.transforms.leaderboard import _METRICS as BOARD_METRICS
from tiktok_pipeline_tests.publish.report.rosters import AS_OF, HOSTILE, large

CSS = (Path(charts.__file__).parent / "templates" / "page.css").read_text()


class Page(HTMLParser):
    """Elements with their attributes, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._within: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "br", "input", "img"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._within[-1] if self._within else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def seen(self, *hidden: str) -> str:
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style", *hidden))


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    return Page(page)


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_page_loads_no_other_file(parsed: Page) -> None:
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href"):
            # A link opens TikTok when it is clicked; nothing is loaded from there.
            own = ("#", "data:", "https://www.tiktok.com/@") if (tag, name) == ("a", "href") else ("#", "data:")
            assert attributes.get(name, "#").startswith(own), (tag, attributes)
    assert [each for each in parsed.all("link") if each["rel"] != "icon"] == []
    assert "@import" not in CSS
    assert "url(" not in CSS


def test_every_link_has_a_target_on_the_page(parsed: Page) -> None:
    ids = [attributes["id"] for _, attributes in parsed.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = {each["href"][1:] for each in parsed.all("a") if each["href"].startswith("#")}
    assert len(links) > 20
    assert links <= set(ids)


def test_explanations_are_for_people_without_a_database(parsed: Page) -> None:
    seen = parsed.seen()
    assert len([1 for _, meaning in MEANINGS.values() if meaning in seen]) > 25
    words = " ".join(meaning for _, meaning in MEANINGS.values())
    assert re.findall(r"\b\w+_\w+\b|\bnull\b|\btable\b|\bcolumn\b|\bpoll", words) == []


def test_every_metric_of_the_boards_has_a_name() -> None:
    assert set(BOARD_METRICS) <= METRICS.keys()


def test_a_script_in_a_name_is_shown_as_text(page: str, parsed: Page) -> None:
    assert parsed.all("img") == []
    assert len(parsed.all("script")) == 3
    assert page.count("</script>") == 3
    creators = embedded(page)["creators"]
    assert isinstance(creators, list)
    assert HOSTILE in [creator[0] for creator in creators]
    assert "{{ 7*7 }}" in parsed.seen()


def test_column_names_appear_only_in_the_explanations(parsed: Page) -> None:
    assert re.findall(r"\b[a-z]+_[a-z_]+\b", parsed.seen("code", "dd")) == []


def test_tables_and_charts_have_captions(page: str, parsed: Page) -> None:
    assert len(parsed.all("caption")) == len(parsed.all("table")) >= 6
    assert page.count("<caption></caption>") == 0
    # Curves and boards are drawn by the script.
    assert all(each.get("scope") in ("col", "row") for each in parsed.all("th"))
    figures = parsed.all("figure")
    assert len(figures) == 3
    assert all(each["role"] == "img" and each["aria-label"] for each in figures)
    assert parsed.all("html")[0]["lang"] == "en"


def test_low_coverage_is_marked_beside_the_number(page: str, parsed: Page) -> None:
    assert "42 % seen" in parsed.seen()
    assert "35 % of its day" in parsed.seen()
    creators, seen = embedded(page)["creators"], embedded(page)["seen"]
    assert isinstance(creators, list)
    assert isinstance(seen, dict)
    marks = {creators[int(place)][1]: share for place, share in seen["week"].items()}
    assert marks == {"gap": 0.42}
    (warned,) = [text for text in parsed.seen().split("  ") if "account has no readable response" in text] or [
        parsed.seen()
    ]
    assert "1 account has no readable response" in re.sub(r"\s+", " ", warned)


def test_unobservable_lifts_have_a_reason(parsed: Page) -> None:
    seen = re.sub(r"\s+", " ", parsed.seen())
    assert "not measurable: follower counts are rounded to 100,000, and the change is too small to show" in seen
    # A stream on air has nothing wrong with it.
    assert "known after the end of the stream" in seen
    assert "no known end" not in seen


def test_a_rounded_count_is_never_shown_as_exact(parsed: Page) -> None:
    assert "≈ 10k" in parsed.seen()


def test_lifts_are_shown_with_their_interval_and_verdict(page: str, parsed: Page) -> None:
    seen = re.sub(r"\s+", " ", parsed.seen())
    assert "+140 +100 to +190 clear lift" in seen
    assert "−20 −60 to +25 no clear effect, provisional" in seen
    assert "−50 −80 to −20 clear loss" in seen
    assert 'class="gained loss"' in page
    assert "the interval relies on other creators" in page


def test_a_recap_is_shown_with_its_stream(parsed: Page) -> None:
    seen = re.sub(r"\s+", " ", parsed.seen())
    assert "42k" in seen
    assert "83 %" in seen


def test_an_empty_lake_gives_a_page_with_text_and_no_empty_chart(tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        publish(connection, Lake(tmp_path / "lake"), tmp_path / "warehouse", now=AS_OF, keep=3)
    empty = Page(render(read_brief(tmp_path / "warehouse" / LINK)))
    assert empty.all("figure") == []
    assert len([1 for each in empty.all("p") if each.get("class") == "none"]) >= 9


def test_the_same_snapshot_gives_the_same_bytes(snapshot: Path, page: str) -> None:
    assert render(read_brief(snapshot)) == page


def test_the_page_is_replaced_completely_or_not_at_all(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report" / "index.html"
    written = write_report(snapshot, path)
    assert path.stat().st_size == written.size
    path.write_text("the old page")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PublishError, match="was not replaced: no space"):
        write_report(snapshot, path)
    assert path.read_text() == "the old page"
    assert [each.name for each in path.parent.iterdir()] == ["index.html"]


def test_the_picture_is_small_and_has_no_names(brief: Brief) -> None:
    picture = charts.lift_picture(brief.lifts)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 50_000
    anonymous = brief.lifts.with_columns(handle=brief.lifts["handle"].str.replace_all(".", "x"))
    assert charts.lift_picture(anonymous) == picture


def test_a_thousand_creators_give_a_page_below_3_5_mb(tmp_path: Path) -> None:
    written = write_report(large(tmp_path, creators=1_000, days=1), tmp_path / "report" / "index.html")
    assert written.size < 3_500_000
    text = re.sub(r"\s+", " ", Page(written.path.read_text()).seen())
    assert "The first 30 of 334 creators on air, by viewers." in text
    assert "The first 20 of 1,000 creators, the worst coverage first." in text


def test_beyond_the_carried_creators_the_page_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(briefs, "CREATORS", 100)
    for creators in (100, 200):
        page = render(read_brief(large(tmp_path / str(creators), creators=creators, days=1)))
        sizes.append(len(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)))
        assert len([creator for creator in embedded(page)["creators"] if creator[3]]) == 100
    assert sizes[1] < 1.25 * sizes[0]


def test_text_has_enough_contrast_in_light_and_dark() -> None:
    pairs = dict(re.findall(r"--([\w-]+): light-dark\(([^)]+)\)", CSS))
    colours = {name: [each.strip() for each in pair.split(",")] for name, pair in pairs.items()}
    for text, grounds in {
        "ink": ("paper", "card", "accent-soft", "warn-soft", "bad-soft"),
        "muted": ("paper", "card", "heat0"),
        "accent": ("paper", "card", "accent-soft"),
        "up": ("card",),
        "down": ("paper", "card", "bad-soft"),
        "warn": ("warn-soft",),
    }.items():
        for ground in grounds:
            for theme in (0, 1):
                ratio = contrast(colours[text][theme], colours[ground][theme])
                assert ratio >= 4.5, f"{text} on {ground}, theme {theme}: {ratio:.2f}"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2, from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    def parts() -> Iterator[float]:
        for at in (1, 3, 5):
            part = int(colour[at : at + 2], 16) / 255
            yield part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts(), strict=True))


def test_the_content_security_policy_allows_only_the_pages_own_scripts_and_styles_by_hash(
    page: str, parsed: Page
) -> None:
    (policy,) = [each["content"] for each in parsed.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(each.split(" ", 1) for each in policy.split("; "))
    assert {name: value for name, value in directives.items() if "sha256" not in value} == {
        "default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert directives[directive] == " ".join(f"'sha256-{each}'" for each in hashes)
    assert page.index("Content-Security-Policy") < page.index("<style>"), "a policy holds for what follows it"


def test_no_element_has_an_inline_style_or_handler(page: str, parsed: Page) -> None:
    assert [
        (tag, name) for tag, attributes in parsed.elements for name in attributes if re.match("style|on", name)
    ] == []


def test_a_page_of_the_same_snapshot_is_not_written_again(snapshot: Path, tmp_path: Path) -> None:
    path = tmp_path / "report" / "index.html"
    first = write_report(snapshot, path)
    made = path.stat()
    again = write_report(snapshot, path)
    assert (first.written, again.written) == (True, False)
    assert (again.size, again.live, again.streams) == (first.size, first.live, first.streams)
    assert path.stat().st_ino == made.st_ino
    assert path.stat().st_mtime_ns == made.st_mtime_ns


@pytest.mark.parametrize("damage", ["cut off", "empty", "of another snapshot", "of another release"])
def test_a_damaged_or_outdated_page_is_written_again(damage: str, snapshot: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    write_report(snapshot, path)
    whole = path.read_text(encoding="utf-8")
    meta = re.search(r'<meta name="report" content="(\S+) (\S+)', whole)
    assert meta is not None
    path.write_text(
        {
            "cut off": whole[:-200],
            "empty": "",
            "of another snapshot": whole.replace(meta[1], "20200101T000000-0"),
            "of another release": whole.replace(meta[2], "0" * 16),
        }[damage],
        encoding="utf-8",
    )
    assert write_report(snapshot, path).written
    assert path.read_text(encoding="utf-8") == whole
