"""Who is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.roster import Creator, add_creators, make_creator, parse_roster, read_roster, remove_creator


def test_sign_and_case_of_a_handle_are_ignored() -> None:
    roster = parse_roster("handle,niche\n@Mira.Paints,Art\n")
    assert roster.creators == (Creator("mira.paints", "art"),)
    assert roster.creators[0].creator_id == "mira.paints"


def test_a_bad_line_is_named_and_the_others_are_read() -> None:
    lines = [
        "good,art,a,",
        "no spaces please,art,b,",
        "other,art,z,",
        "more,art,b,12E+18",
        "last,art,c,",
        "good,art,a,",
    ]
    roster = parse_roster("\n".join(["handle,niche,tier,user_id", *lines]))
    assert [creator.handle for creator in roster.creators] == ["good", "last"]
    assert [problem.split(":")[0] for problem in roster.problems] == [
        f"roster.csv, line {line}" for line in (3, 4, 5, 7)
    ]
    assert "tiers are a, b and c" in roster.problems[1]
    assert "a spreadsheet may have rounded it" in roster.problems[2]
    assert "listed twice" in roster.problems[3]


def test_a_file_from_a_spreadsheet_is_read() -> None:
    roster = parse_roster('Handle,Note\r\nmira.paints,"likes, commas"\r\n\r\n')
    assert roster.creators == (Creator("mira.paints", note="likes, commas"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [("name\nmira\n", "unknown columns name"), ("", "no column handle"), ("niche\nart\n", "no column handle")],
)
def test_a_wrong_header_is_refused(text: str, said: str) -> None:
    with pytest.raises(RosterError, match=said):
        parse_roster(text)


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="roster add HANDLE"):
        read_roster(tmp_path / "roster.csv")
    (tmp_path / "latin.csv").write_bytes(b"handle\ncaf\xe9\n")
    with pytest.raises(RosterError, match="not UTF-8"):
        read_roster(tmp_path / "latin.csv")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    creators = (make_creator("@One", "art", "a", "6912345678901234567", "MS4x", "a, b"), make_creator("two"))
    add_creators(tmp_path / "roster.csv", creators)
    assert read_roster(tmp_path / "roster.csv").creators == creators


TYPED = 'Handle, niche\n@One,"art,\nand food"\nno good,art\n two ,art\nONE,again\nthree,art,b,c'


def test_a_removal_takes_every_line_of_the_creator_and_leaves_the_others_as_typed(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(TYPED)
    assert remove_creator(path, "@one")
    assert path.read_text() == "Handle, niche\nno good,art\n two ,art\nthree,art,b,c"
    assert not remove_creator(path, "one")


def test_an_addition_leaves_every_line_as_typed(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(TYPED)
    add_creators(path, [make_creator("four", "music")])
    assert path.read_text() == TYPED + "\nfour,music\n"


def test_a_column_that_the_file_lacks_is_added_unless_bad_lines_would_change_their_meaning(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text("handle\none\n")
    add_creators(path, [make_creator("two", tier="a", note="new")])
    assert read_roster(path).creators == (make_creator("one"), make_creator("two", tier="a", note="new"))
    path.write_text(TYPED)
    with pytest.raises(RosterError, match="line 7: 4 cells"):
        add_creators(path, [make_creator("five", tier="a")])
    assert path.read_text() == TYPED
