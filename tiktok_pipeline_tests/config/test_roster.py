"""Reading and changing the roster in the forms that people and spreadsheets write."""

from __future__ import annotations

import os
import random
import stat
import time
from pathlib import Path

import pytest

from tiktok_pipeline.config import roster as rosters
from tiktok_pipeline.config.roster import (
    Creator,
    Roster,
    add_creators,
    make_creator,
    parse_roster,
    plain_handle,
    read_roster,
    remove_creator,
)
from tiktok_pipeline.errors import RosterError

USER_ID = "6943972350728712345"
SEC_UID = "MS4wLjABAAAA8L1GAr-6EXlWa330S-THNJUTnKsrpH-G-s3tzrx-PsxhDgWQ3Qro4VYKs3q-Nyun"


def handles(roster: Roster) -> list[str]:
    return [creator.handle for creator in roster.creators]


def numbers(roster: Roster) -> list[int]:
    """Return the line numbers of the problems."""
    return [int(problem.split("line ", 1)[1].split(":", 1)[0]) for problem in roster.problems]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Handles.


@pytest.mark.parametrize(
    "typed",
    [
        "mira.paints",
        "@Mira.Paints",
        "  @ MIRA.paints  ",
        "@@mira.paints",
        "https://www.tiktok.com/@mira.paints?lang=en",
        "https://www.tiktok.com/@Mira.Paints/live?enter_from=x&y=1#top",
        "tiktok.com/@mira.paints/",
        "m.tiktok.com/@mira.paints/video/123",
        "http://tiktok.com/@mira.paints",
        "HTTPS://WWW.TIKTOK.COM/@MIRA.PAINTS",
        "//www.tiktok.com/@mira.paints",
        "https://www.tiktok.com/%40mira.paints",
        " https://www.tiktok.com/@mira.paints ",
        "<https://www.tiktok.com/@mira.paints>",
        "\u00a0mira.paints\u00a0",
        "\u200bmira.paints\u200b",
        "mira\u200b.paints\ufeff",
        "\u202amira.paints\u202c",
        "ｍｉｒａ．ｐａｉｎｔｓ",
        "＠mira.paints",
        "mira.paints\u3000",
    ],
)
def test_a_handle_is_read_in_every_form_in_which_people_paste_it(typed: str) -> None:
    assert plain_handle(typed) == "mira.paints"
    assert make_creator(typed).creator_id == "mira.paints"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "2 to 24 letters"),
        ("@", "2 to 24 letters"),
        ("a", "2 to 24 letters"),
        ("a" * 25, "2 to 24 letters"),
        ("../../v1/balance", "2 to 24 letters"),
        ("a..b", "two dots in a row"),
        ("two words", "2 to 24 letters"),
        ("a/b", "2 to 24 letters"),
        ("a?b=c", "2 to 24 letters"),
        ("mira%2e", "2 to 24 letters"),
        ("müller", "2 to 24 letters"),
        ("аnna", "2 to 24 letters"),  # a Cyrillic letter that looks like a Latin one
        ("https://vm.tiktok.com/ZMabc/", "names no profile"),
        ("https://www.tiktok.com/t/ZMabc/", "names no profile"),
        ("https://www.tiktok.com/@a..b", "2 to 24 letters|names no profile"),
        ("https://www.tiktok.com/@", "2 to 24 letters|names no profile"),
        ("https://www.instagram.com/mira", "names no profile"),
        ("https://tiktok.com.example.org/@mira", "names no profile"),
        ("https://nottiktok.com/@mira", "names no profile"),
        ("https://www.tiktok.com@example.org/@mira", "names no profile"),
        ("https://example.org/?u=https://www.tiktok.com/@mira", "names no profile"),
        ("https://www.tiktok.com/@..%2f..%2fv1", "2 to 24 letters|names no profile"),
        ("javascript:alert(1)", "2 to 24 letters"),
    ],
)
def test_an_invalid_handle_is_refused_with_the_rule(typed: str, reason: str) -> None:
    with pytest.raises(RosterError, match=reason):
        make_creator(typed)


# Ids.


@pytest.mark.parametrize(
    ("user_id", "reason"),
    [
        ("6943972350728700000", "zeros after 15 digits"),
        ("1234567890123450", "zeros after 15 digits"),
        ("7.12E+18", "scientific form"),
        ("7,12E+18", "scientific form"),
        ("6.94397235072871e+18", "scientific form"),
        ("7E18", "scientific form"),
        ("6943972350728712345.0", "a spreadsheet changed it"),
        ("6943972350728712345,00", "a spreadsheet changed it"),
        ("'6943972350728712345", "a spreadsheet changed it"),
        ("6,943,972,350,728,712,345", "digits"),
        ("6 943 972", "digits"),
        ("-6943972350728712345", "digits"),
        ("#REF!", "digits"),
        ("########", "digits"),
        ("٦٩٤٣٩٧٢", "digits"),
        ("12", "digits"),
        ("0123456789", "the first not 0"),
        ("6" * 30, "digits"),
        ("mira", "digits"),
    ],
)
def test_a_user_id_damaged_by_a_spreadsheet_is_an_error_with_its_line(user_id: str, reason: str) -> None:
    text = f'handle;user_id\nfirst;{USER_ID}\nmira;"{user_id}"\nlast;\n'
    roster = parse_roster(text, "in.csv", importing=True)
    assert handles(roster) == ["first", "last"]
    (problem,) = roster.problems
    assert problem.startswith("in.csv, line 3: @mira has user_id ")
    assert reason in problem


@pytest.mark.parametrize(
    "user_id",
    [USER_ID, f'"=""{USER_ID}"""', f" {USER_ID}\t", f"\u00a0{USER_ID}", "６９４３９７２３５０７２８７１２３４５"],
)
def test_an_exact_user_id_is_read_in_every_form(user_id: str) -> None:
    roster = parse_roster(f"handle,user_id\nmira,{user_id}\n", importing=True)
    assert roster == Roster((Creator("mira", user_id=USER_ID),))


@pytest.mark.parametrize("user_id", ["12345", "107955000", "123456789012345", "100000000000000", "1000000000000001"])
def test_zeros_within_the_digits_that_a_spreadsheet_keeps_are_no_damage(user_id: str) -> None:
    assert make_creator("mira", user_id=user_id).user_id == user_id


@pytest.mark.parametrize(
    "sec_uid", [USER_ID, "abc", "MS4x", "MS4wLjAB", SEC_UID[:20] + " " + SEC_UID[20:], SEC_UID + "…", "7.1E+18"]
)
def test_a_sec_uid_of_another_form_is_an_error_with_its_line(sec_uid: str) -> None:
    roster = parse_roster(f"handle,sec_uid\nmira,{sec_uid}\nbo,{SEC_UID}\n", importing=True)
    assert roster.creators == (Creator("bo", sec_uid=SEC_UID),)
    assert "line 2: @mira has sec_uid" in roster.problems[0]


def test_creators_are_polled_by_handle_if_a_spreadsheet_damaged_every_id() -> None:
    """Editing the roster in Excel must stop the polling of no creator."""
    roster = parse_roster("handle;niche;user_id;sec_uid\nmira;art;6,94397E+18;x\nbo;food;6943972350728700000;\n")
    assert roster.creators == (Creator("mira", "art"), Creator("bo", "food"))
    assert numbers(roster) == [2, 3]
    assert all("is polled by its handle alone" in problem for problem in roster.problems)


# Files.

TABLE = [
    ["Handle", "Niche", "user_id", "note"],
    ["@Mira.Paints", "Art", USER_ID, "café, 你好"],
    ["https://www.tiktok.com/@bo?lang=en", "", "", ""],
]
CREATORS = (Creator("mira.paints", "art", user_id=USER_ID, note="café, 你好"), Creator("bo"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_spreadsheets_file_is_read_and_changed_in_its_own_format(
    tmp_path: Path, separator: str, line_end: str, encoding: str, quoted: bool
) -> None:
    def line(cells: list[str]) -> str:
        typed = (f'"{cell}"' if quoted or separator in cell else cell for cell in cells)
        return separator.join(typed) + line_end

    before = "".join(map(line, TABLE)).encode(encoding)
    path = written(tmp_path / "in.csv", before)
    assert read_roster(path, importing=True) == read_roster(path) == Roster(CREATORS)

    add_creators(path, [Creator("zoe", "music", note="one")])
    changed = path.read_bytes()
    assert changed.startswith(before)
    mark = "".encode(encoding)
    assert (
        changed[len(before) :]
        == separator.join(["zoe", "music", "", "one"]).encode(encoding)[len(mark) :]
        + (line_end.encode(encoding)[len(mark) :])
    )
    assert remove_creator(path, "zoe")
    assert path.read_bytes() == before
    assert remove_creator(path, "@MIRA.paints")
    assert path.read_bytes() == "".join(map(line, [TABLE[0], TABLE[2]])).encode(encoding)


@pytest.mark.parametrize(
    "header",
    ["Handle", " handle ", "HANDLE", "Username", "user name", "User_Name", "uniqueId", "TikTok Handle", "Profile URL",
     "\ufeffhandle", "handle\u200b", '"handle"', "ｈａｎｄｌｅ", "Handle (TikTok)", "creator"],
)  # fmt: skip
def test_the_handle_column_is_found_under_its_usual_names(header: str) -> None:
    assert handles(parse_roster(f"{header},niche\nmira,art\n")) == ["mira"]


def test_a_columns_own_name_takes_precedence_over_its_aliases() -> None:
    roster = parse_roster("creator,url,handle,User ID,secUid\nMira Paints,https://x.example/,mira,12345,\n")
    assert roster.creators == (Creator("mira", user_id="12345"),)
    roster = parse_roster("Creator,Profile link\nMira Paints,https://www.tiktok.com/@mira\n")
    assert handles(roster) == ["mira"]


def test_unknown_columns_are_ignored_with_a_note_and_empty_ones_without() -> None:
    roster = parse_roster("id,handle,email,tier,,\n1,mira,a@b.c,a,,\n2,bo,,c\n")
    assert roster.creators == (Creator("mira", tier="a"), Creator("bo", tier="c"))
    assert roster.problems == ()
    assert roster.notes == (
        "roster.csv: ignored columns: id, email; columns are handle, niche, tier, user_id, sec_uid, note",
    )


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_empty_columns_of_a_list_of_handles_reveal_its_separator(separator: str) -> None:
    text = "".join(f"{cell}{2 * separator}\r\n" for cell in ("handle", "mira", "bo"))
    assert parse_roster(text) == Roster((Creator("mira"), Creator("bo")))


def test_a_separator_line_and_blank_lines_may_precede_the_header(tmp_path: Path) -> None:
    path = written(tmp_path / "in.csv", "sep=;\r\n\r\nhandle;note\r\nmira;a, b, c\r\n")
    assert read_roster(path).creators == (Creator("mira", note="a, b, c"),)
    add_creators(path, [Creator("bo", tier="a")])
    assert path.read_bytes() == b"sep=;\r\n\r\nhandle;note;tier\r\nmira;a, b, c\r\nbo;;a\r\n"
    assert handles(read_roster(path)) == ["mira", "bo"]


def test_a_list_of_handles_without_a_header_can_be_imported_but_is_no_roster() -> None:
    text = "@mira.paints\nhttps://www.tiktok.com/@bo\n\nno good\nmira.paints\n"
    roster = parse_roster(text, importing=True)
    assert handles(roster) == ["mira.paints", "bo"]
    assert numbers(roster) == [4, 5]
    with pytest.raises(RosterError, match="no column handle"):
        parse_roster(text)
    with pytest.raises(RosterError, match="no column handle"):
        parse_roster("mira,art,a\nbo,food,b\n", importing=True)


def test_a_first_word_that_may_be_a_header_or_a_handle_is_refused() -> None:
    with pytest.raises(RosterError, match="line 1: 'name' may be a header or a handle"):
        parse_roster("name\nmira\nbo\n", importing=True)
    assert handles(parse_roster("@name\nmira\n", importing=True)) == ["name", "mira"]
    assert handles(parse_roster("@handle\nmira\n", importing=True)) == ["handle", "mira"]


@pytest.mark.parametrize(
    "text", ["name\nmira\n", "", "\n\n", "\ufeff", "niche\nart\n", "niche,tier\nart,a\n", '"handle\nmira\n']
)
def test_an_invalid_header_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RosterError, match=r"line 1: .*columns are handle, niche, tier") as failed:
        parse_roster(text)
    assert "\n" not in str(failed.value)


def test_concatenated_files_with_repeated_headers_and_byte_order_marks_are_readable() -> None:
    roster = parse_roster("\ufeffhandle,tier\nmira,a\n\ufeffHandle,Tier\nbo,b\n")
    assert handles(roster) == ["mira", "bo"]
    assert roster.notes == ("roster.csv, line 3: repeats the header and is skipped",)


def test_a_file_in_windows_1252_is_read_with_a_note_that_names_the_remedy(tmp_path: Path) -> None:
    before = "handle;niche\r\nmira;café\r\nbo;süß\r\n".encode("cp1252")
    path = written(tmp_path / "roster.csv", before)
    roster = read_roster(path)
    assert [creator.niche for creator in roster.creators] == ["café", "süß"]
    assert "save it as CSV UTF-8" in roster.notes[0]
    add_creators(path, [Creator("zoe", "größe")])
    assert path.read_bytes() == before + "zoe;größe\r\n".encode("cp1252")
    with pytest.raises(RosterError, match="lacks '你好': save it as CSV UTF-8"):
        add_creators(path, [Creator("zoe", "你好")])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"PK\x03\x04" + b"\x00" * 100, "a workbook or an archive, not text: save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a workbook"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not text"),
        (b"\x1f\x8b\x08\x00", "is not text"),
        (b"handle\nmi\x00ra\n", "is not text"),
        (b"\xff\xfeh\x00a", "is damaged"),
        (b"\xef\xbb\xbfhandle\n\xff\n", "is damaged"),
        (b"handle\n\x81\xff\n", "neither UTF-8 nor Windows-1252"),
        (bytes(range(256)) * 40, "is "),
    ],
)
def test_a_binary_file_is_refused_in_one_line(tmp_path: Path, raw: bytes, reason: str) -> None:
    path = written(tmp_path / "roster.csv", raw)
    for use in (
        lambda: read_roster(path),
        lambda: add_creators(path, [Creator("bo")]),
        lambda: remove_creator(path, "bo"),
    ):
        with pytest.raises(RosterError, match=reason) as failed:
            use()
        assert "\n" not in str(failed.value)
    assert path.read_bytes() == raw


def test_a_missing_file_a_folder_and_a_huge_file_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="roster add HANDLE"):
        read_roster(tmp_path / "roster.csv")
    with pytest.raises(RosterError, match="is a folder"):
        read_roster(tmp_path)
    with pytest.raises(RosterError, match="cannot be read: Not a directory"):
        read_roster(written(tmp_path / "file", "x") / "roster.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    began = time.monotonic()
    with pytest.raises(RosterError, match="more than 16 MB"):
        read_roster(tmp_path / "huge.csv")
    assert time.monotonic() - began < 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes everything")
def test_a_file_without_read_or_write_permission_is_refused_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", "handle\nmira\n")
    tmp_path.chmod(0o500)
    with pytest.raises(RosterError, match="was not changed: Permission denied"):
        remove_creator(path, "mira")
    tmp_path.chmod(0)
    with pytest.raises(RosterError, match="was not changed: Permission denied"):
        add_creators(path, [Creator("bo")])
    tmp_path.chmod(0o700)
    path.chmod(0)
    with pytest.raises(RosterError, match="cannot be read: Permission denied"):
        read_roster(path)


# Lines.


def test_a_bad_line_is_named_and_the_others_are_read() -> None:
    lines = [
        "good,art,a,",
        "no spaces please,art,b,",
        "other,art,z,",
        f"more,art,b,{USER_ID}",
        "last,art,c,",
        "good,art,a,",
        f"twin,art,a,{USER_ID}",
        "likes, commas,art,b,1",
    ]
    roster = parse_roster("\n".join(["handle,niche,tier,user_id", *lines]))
    assert handles(roster) == ["good", "more", "last"]
    assert numbers(roster) == [3, 4, 7, 8, 9]
    for problem, reason in zip(
        roster.problems,
        ("'no spaces please' is no handle", "tiers are a, b and c", "listed twice", "user_id of @more", "5 cells"),
        strict=True,
    ):
        assert reason in problem


def test_all_errors_of_a_line_are_shown_at_once() -> None:
    roster = parse_roster("handle,tier,user_id,sec_uid\na b,z,7E18,x\n")
    (problem,) = roster.problems
    for reason in ("is no handle", "tiers are", "scientific form", "begins with MS4wLjAB"):
        assert reason in problem
    with pytest.raises(RosterError, match=r"tiers are.*scientific form"):
        make_creator("mira", tier="z", user_id="7E18")


@pytest.mark.parametrize("importing", [False, True])
@pytest.mark.parametrize(
    ("bad", "number"),
    [
        (['"open,art,'], 3),
        (['open,"art,'], 3),
        (['open,art,"a note'], 3),
        (['open,"art"x,'], 3),
        (['open,"art"x,', "and,more,", 'other,"open,'], 3),
    ],
)
def test_an_open_quote_costs_its_own_line_only(bad: list[str], number: int, importing: bool) -> None:
    lines = ["handle,niche,note", "first,art,", *bad, 'next,"art",', 'after,"art","a ""quoted"" note"', "last,,x"]
    roster = parse_roster("\n".join(lines), importing=importing)
    assert {"first", "next", "after", "last"} <= set(handles(roster))
    assert "open" not in handles(roster)
    assert numbers(roster)[0] == number
    assert "a quotation mark is not closed" in roster.problems[0]


def test_a_quote_that_another_line_closes_swallows_no_line() -> None:
    roster = parse_roster('handle,niche\nopen,"art\nbo,food\nzoe,music"\nlast,art\n')
    assert handles(roster) == ["bo", "zoe", "last"]
    assert numbers(roster) == [2]
    # A note may span lines; if these look like roster lines, a note reports it.
    roster = parse_roster('handle,note\nopen,"art\nbo,food\nzoe,music"\nlast,"one\ntwo"\n')
    assert handles(roster) == ["open", "last"]
    assert roster.notes == (
        "roster.csv, line 2: the quoted note ends in line 4: close its quotation mark if it should not",
    )


TOKENS = [
    '"', ",", ";", "\t", "\n", "\r", "\x00", "\ufeff", "\u2028", "\u200b", "sep=;\n", "handle", "@", "7E18", "0000",
    "'", "é", "\x1a", " ", "=", "a" * 200, "..", "https://tiktok.com/@",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_damage_costs_single_lines_only_and_changes_are_undone_exactly(tmp_path: Path, seed: int) -> None:
    """Only RosterError is raised, messages are one line, and an added creator is found and removed."""
    new = Creator("new.one", "niche", "c", note='q"x\ny;,\tz')
    messages: list[str] = []
    refused: list[str] = []
    rng, path, read = random.Random(seed), tmp_path / "roster.csv", 0
    line = f'mira.paints,art,a,{USER_ID},,"a, b"\n@bo,food,,,,\nhttps://www.tiktok.com/@zoe,music,c,,,"x\ny"\n'
    text = "handle,niche,tier,user_id,sec_uid,note\n" + line
    forms = [text, text.replace(",", ";").replace("\n", "\r\n"), text.replace(",", "\t").replace("\n", "\r")]
    for _ in range(60):
        damaged = list(rng.choice(forms))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(damaged) + 1)
            damaged[at : at + rng.choice((0, 0, 1, 20))] = rng.choice((rng.choice(TOKENS), ""))
        raw = "".join(damaged).encode(rng.choice(("utf-8", "utf-8-sig", "utf-16", "cp1252")), "replace")
        written(path, raw)
        for importing in (True, False):
            try:
                before = read_roster(path, importing=importing)
            except RosterError as error:
                messages.append(str(error))
                continue
            read += 1
            messages += [*before.problems, *before.notes]
            assert len(set(handles(before))) == len(before.creators)
            if importing:
                continue
            try:
                add_creators(path, [new])
            except RosterError as error:
                refused.append(str(error))
                continue
            assert read_roster(path).creators == (*before.creators, new)
            assert remove_creator(path, new.handle)
            assert read_roster(path).creators == before.creators
    assert all(len(message.splitlines()) == 1 for message in messages)
    assert all("cells, the header has" in message for message in refused)
    assert read > 30


def test_many_open_quotes_are_read_in_time() -> None:
    began = time.monotonic()
    roster = parse_roster("handle,note\n" + '"a","\n' * 50_001)
    assert time.monotonic() - began < 10
    assert roster.problems
    assert numbers(parse_roster('handle,note\nopen,"' + "x\n" * 200 + "last,\n"))[0] == 2


def test_a_unicode_line_separator_inside_a_cell_ends_no_line(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", "handle,note\nmira,a\u2028b\x0bc\x85d\x0ce\nbo,x\n")
    assert handles(read_roster(path)) == ["mira", "bo"]
    assert remove_creator(path, "bo")
    assert path.read_text(encoding="utf-8") == "handle,note\nmira,a\u2028b\x0bc\x85d\x0ce\n"


def test_emoji_and_line_breaks_of_a_note_stay_as_typed() -> None:
    family = "👩‍👩‍👧"
    assert parse_roster(f'handle,note\nmira,"{family}\r\nx "\n').creators[0].note == f"{family}\r\nx"


def test_a_niche_is_the_same_for_any_typed_spaces() -> None:
    roster = parse_roster("handle,niche\naa,Home Decor\nbb,home\u00a0decor \ncc,  home  decor\ndd,ｈｏｍｅ decor\n")
    assert {creator.niche for creator in roster.creators} == {"home decor"}


# Changes.


def test_a_written_roster_reads_back_the_same(tmp_path: Path) -> None:
    creators = (make_creator("@One", "art", "a", USER_ID, SEC_UID, "a, b"), make_creator("two"))
    add_creators(tmp_path / "new" / "roster.csv", creators)
    assert read_roster(tmp_path / "new" / "roster.csv").creators == creators


TYPED = 'Handle, niche, note\n@One,art,"and\nfood"\nno good,art\n two ,art\nhttps://www.tiktok.com/@ONE,again\nthree,art,b,c\n"one\nlast,"x'


def test_a_removal_deletes_every_line_of_the_creator_and_keeps_the_others_as_typed(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", TYPED)
    assert remove_creator(path, "@one")
    assert path.read_text() == 'Handle, niche, note\nno good,art\n two ,art\nthree,art,b,c\nlast,"x'
    assert not remove_creator(path, "one")
    assert remove_creator(path, "last")


def test_an_addition_keeps_every_line_as_typed(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", TYPED)
    add_creators(path, [make_creator("four", "music")])
    assert path.read_text() == TYPED + "\nfour,music,\n"


def test_an_addition_fills_aliased_columns_and_leaves_unknown_ones_empty(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", "No;User Name;Category;E-mail\r\n1;mira;art;a@b.c")
    add_creators(path, [Creator("bo", "food", user_id=USER_ID)])
    assert path.read_bytes().decode() == (
        f"No;User Name;Category;E-mail;user_id\r\n1;mira;art;a@b.c\r\n;bo;food;;{USER_ID}\r\n"
    )


def test_a_missing_column_is_added_unless_wider_lines_would_change_their_meaning(tmp_path: Path) -> None:
    path = written(tmp_path / "roster.csv", "handle\n one \n")
    add_creators(path, [make_creator("two", tier="a", note="new")])
    assert path.read_text() == "handle,tier,note\n one \ntwo,a,new\n"
    assert read_roster(path).creators == (make_creator("one"), make_creator("two", tier="a", note="new"))
    written(path, TYPED)
    with pytest.raises(RosterError, match="line 7: 4 cells"):
        add_creators(path, [make_creator("five", tier="a")])
    assert path.read_text() == TYPED


def test_a_change_keeps_permissions_owner_and_links(tmp_path: Path) -> None:
    path = written(tmp_path / "real.csv", "handle\nmira\n")
    path.chmod(0o640)
    owner = (path.stat().st_uid, path.stat().st_gid)
    link = tmp_path / "roster.csv"
    link.symlink_to(path.name)
    add_creators(link, [Creator("bo")])
    assert link.is_symlink()
    assert path.read_text() == "handle\nmira\nbo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert sorted(each.name for each in tmp_path.iterdir()) == ["real.csv", "roster.csv"]


def test_a_roster_of_the_largest_size_is_read_in_time(tmp_path: Path) -> None:
    line = "creator.{0:08d},music,b,6943972350{0:08d}1,{1},a note of some words\n"
    text = "handle,niche,tier,user_id,sec_uid,note\n" + "".join(line.format(n, SEC_UID) for n in range(100_000))
    assert len(text) < rosters.LARGEST_BYTES
    began = time.process_time()
    read = read_roster(written(tmp_path / "roster.csv", text))
    assert time.process_time() - began < 15
    assert (len(read.creators), read.problems) == (100_000, ())


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        ("mira,art,6943972350728701000", "may be rounded"),  # as JavaScript prints it
        ("mira,art,6943972350728700928", "may be rounded"),  # as C prints it
        ("01.03.2026,art,", "may be a date"),
        ("2026.03.01,art,", "may be a date"),
        ("1.3.26,art,", "may be a date"),
        ("TRUE,art,", "may be a truth value"),
        ("12345.0,art,", "may be a number"),
        ("mira,mÃºsica,", "may be UTF-8 read as Windows-1252"),
        ("mira,æ\xad\u0152æ\u2014\u2122,", "may be UTF-8 read as Windows-1252"),
    ],
)
def test_a_value_that_a_spreadsheet_may_have_changed_is_noted_and_kept(line: str, doubt: str) -> None:
    for importing in (False, True):
        roster = parse_roster(f"handle,niche,user_id\nbo,food,{USER_ID}\n{line}\n", importing=importing)
        assert len(roster.creators) == 2
        assert roster.problems == ()
        (note,) = roster.notes
        assert note.startswith("roster.csv, line 3: ")
        assert doubt in note


def test_user_ids_that_count_upwards_are_noted_once() -> None:
    lines = [f"mira{count},{int(USER_ID) + count}" for count in range(5)]
    roster = parse_roster("handle,user_id\n" + "\n".join(lines) + "\n")
    assert len(roster.creators) == 5
    assert roster.notes == (
        "roster.csv, line 3: @mira1 has the user_id of the line above plus 1: a spreadsheet may have filled the "
        "column; compare it with the profile",
    )


def test_ordinary_values_are_not_noted() -> None:
    for line in ("mira,música,6943972350728700930", "a.b.c,süß,12345", "1.3,¿qué?,", "true_crime,Ã,", "12345,歌,"):
        assert parse_roster(f"handle,niche,user_id\n{line}\n").notes == ()
