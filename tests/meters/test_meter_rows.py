"""Rows of a meter file: what is taken and in which form, what is rejected and why."""

import io
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_meter_number
from tests.meters.files import a_row, line
from vending.meters.meter import meter_pan
from vending.meters.meter_rows import (
    COLUMNS,
    LINE_BYTES_MAX,
    OPTIONAL_COLUMNS,
    Checked,
    MeterFileRefused,
    Reason,
    RowChecker,
    chunks,
    read_header,
    row_as_written,
)

HEADER = ",".join(COLUMNS).encode()


def checked(*lines: str | bytes, header: bytes = HEADER) -> Checked:
    """Check lines as one chunk whose first is line 2."""
    whole = b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in lines)
    return RowChecker(read_header(header), "KE").check(whole, first_line=2)


def stored(result: Checked) -> list[dict[str, str]]:
    """Return the rows that would go down the COPY."""
    rows = [text.split("\t") for text in result.copy_data.decode().splitlines()]
    return [dict(zip(("line", *COLUMNS), row, strict=True)) for row in rows]


def test_a_good_row_goes_through_as_it_is() -> None:
    row = a_row()
    result = checked(",".join(row.values()))
    assert stored(result) == [{"line": "2", **row}]
    assert (result.lines, result.rows, result.rejects) == (1, 1, [])


FAULTS = [
    ({"meter_number": "12345678904"}, Reason.CHECK_DIGIT),
    ({"meter_number": "0100000000009"}, Reason.CHECK_DIGIT),
    ({"meter_number": "600727111111111154"}, Reason.CHECK_DIGIT),
    ({"meter_number": ""}, Reason.METER_NUMBER_MALFORMED),
    ({"meter_number": "1234567890"}, Reason.METER_NUMBER_MALFORMED),
    ({"meter_number": "1234567890A"}, Reason.METER_NUMBER_MALFORMED),
    ({"meter_number": "1.2345E+10"}, Reason.METER_NUMBER_MALFORMED),
    ({"sgc": "20145"}, Reason.SGC_MALFORMED),
    ({"sgc": "2014577"}, Reason.SGC_MALFORMED),
    ({"sgc": "20145x"}, Reason.SGC_MALFORMED),
    ({"sgc": "20145\u0663"}, Reason.SGC_MALFORMED),
    ({"krn": "0"}, Reason.KRN_OUT_OF_RANGE),
    ({"krn": "10"}, Reason.KRN_OUT_OF_RANGE),
    ({"ti": "100"}, Reason.TI_OUT_OF_RANGE),
    ({"ti": "-1"}, Reason.TI_OUT_OF_RANGE),
    ({"ti": ""}, Reason.TI_OUT_OF_RANGE),
    ({"ea": "9"}, Reason.EA_UNKNOWN),
    ({"ea": "12"}, Reason.EA_UNKNOWN),
    ({"tct": "100"}, Reason.TCT_OUT_OF_RANGE),
    ({"tid_base": "2014"}, Reason.TID_BASE_UNKNOWN),
    ({"ken": "256"}, Reason.KEN_OUT_OF_RANGE),
    ({"ken": ""}, Reason.KEN_OUT_OF_RANGE),
    ({"tariff": ""}, Reason.TARIFF_MALFORMED),
    ({"tariff": "KE\0DC"}, Reason.TARIFF_MALFORMED),
    ({"tariff_category": "x" * 65}, Reason.TARIFF_CATEGORY_MALFORMED),
    ({"status": "stolen"}, Reason.STATUS_UNKNOWN),
    ({"phones": "12"}, Reason.PHONE_MALFORMED),
    ({"phones": "+254712345678;nobody"}, Reason.PHONE_MALFORMED),
    ({"phones": ";".join(f"07000000{n:02d}" for n in range(11))}, Reason.PHONES_TOO_MANY),
    ({"language": "fr"}, Reason.LANGUAGE_UNKNOWN),
    ({"region": "Nai\trobi"}, Reason.REGION_MALFORMED),
    ({"region": "Nai\\robi"}, Reason.REGION_MALFORMED),
]


@pytest.mark.parametrize(("values", "reason"), FAULTS)
def test_a_faulty_row_is_rejected_alone(values: dict[str, str], reason: Reason) -> None:
    result = checked(line(), line(**values), line())
    assert result.rejects == [(3, reason)]
    assert [row["line"] for row in stored(result)] == ["2", "4"]
    assert (result.lines, result.rows) == (3, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12345678903,201457", Reason.COLUMN_COUNT),
        (line() + ",more", Reason.COLUMN_COUNT),
        (line(region='"Nairobi'), Reason.QUOTES_UNBALANCED),
        (line(region='"Nairobi"West'), Reason.QUOTES_UNBALANCED),
        (line().encode() + b"\xff", Reason.BAD_ENCODING),
        (line(region="x" * LINE_BYTES_MAX), Reason.LINE_TOO_LONG),
    ],
)
def test_a_line_that_is_no_row_is_rejected_alone(text: str | bytes, reason: Reason) -> None:
    result = checked(line(), text, line())
    assert result.rejects == [(3, reason)]
    assert [row["line"] for row in stored(result)] == ["2", "4"]


WITH_OPTIONAL = f"{HEADER.decode()},{','.join(OPTIONAL_COLUMNS)}".encode()

FAULTS_OF_OPTIONAL = [
    ({"customer_name": "J" * 65}, Reason.CUSTOMER_NAME_MALFORMED),
    ({"customer_name": "Jane\\Wanjiku"}, Reason.CUSTOMER_NAME_MALFORMED),
    ({"free_month_wh": "50"}, Reason.FREE_MONTH_MALFORMED),
    ({"free_month_wh": "-100"}, Reason.FREE_MONTH_MALFORMED),
    ({"free_month_wh": "10000000"}, Reason.FREE_MONTH_MALFORMED),
]


def with_optional(name: str = "Jane Wanjiku", free: str = "50000") -> str:
    return f"{line()},{name},{free}"


@pytest.mark.parametrize(("values", "reason"), FAULTS_OF_OPTIONAL)
def test_a_faulty_name_or_entitlement_rejects_its_row_alone(
    values: dict[str, str], reason: Reason
) -> None:
    given = {"customer_name": "", "free_month_wh": ""} | values
    bad = ",".join([line(), *given.values()])
    result = checked(with_optional(), bad, with_optional("", ""), header=WITH_OPTIONAL)
    assert (result.rows, result.rejects) == (2, [(3, reason)])


def test_a_name_and_an_entitlement_go_through_as_they_are() -> None:
    for name, free in (("Jane Wanjiku", "50000"), ("", ""), ("Ng'ang'a & Sons", "0")):
        result = checked(with_optional(name, free), header=WITH_OPTIONAL)
        assert result.rejects == []
        assert result.copy_data.decode().rstrip("\n").split("\t")[-2:] == [name, free]


def test_every_reason_found_on_reading_is_tested_here() -> None:
    by_line = {Reason.COLUMN_COUNT, Reason.QUOTES_UNBALANCED, Reason.BAD_ENCODING}
    by_line |= {Reason.LINE_TOO_LONG}
    when_merging = {Reason.DUPLICATE_IN_FILE, Reason.KEY_DATA_DIFFERS}
    assert {reason for _, reason in FAULTS + FAULTS_OF_OPTIONAL} | by_line | when_merging == set(
        Reason
    )


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ({"meter_number": " 1234-5678-903 "}, {"meter_number": "12345678903"}),
        ({"meter_number": meter_pan("0100000000008")}, {"meter_number": "0100000000008"}),
        ({"phones": "0712345678"}, {"phones": "+254712345678"}),
        ({"phones": "0712 345 678; +254712345678;"}, {"phones": "+254712345678"}),
        ({"phones": "+254712345678;+254712345678"}, {"phones": "+254712345678"}),
        ({"phones": "+256772123456"}, {"phones": "+256772123456"}),
        ({"phones": ""}, {"phones": ""}),
        ({"krn": " 1 ", "status": "active "}, {"krn": "1", "status": "active"}),
        ({"region": '"Lamu, West"'}, {"region": "Lamu, West"}),
        ({"region": "Mūrang'a"}, {"region": "Mūrang'a"}),
        ({"region": ""}, {"region": ""}),
    ],
)
def test_values_are_brought_to_their_stored_form(
    written: dict[str, str], form: dict[str, str]
) -> None:
    result = checked(line(), line(**written))
    assert result.rejects == []
    assert stored(result)[1] | form == stored(result)[1]


def test_columns_may_stand_in_any_order() -> None:
    names = list(reversed(COLUMNS))
    row = a_row()
    header = read_header(",".join(names).upper().encode("utf-8-sig") + b"\r\n")
    text = ",".join(row[name] for name in names)
    result = RowChecker(header, "KE").check(text.encode(), first_line=2)
    assert header.staged == tuple(names)
    assert result.copy_data.decode() == "2\t" + text.replace(",", "\t") + "\n"


def test_line_ends_of_windows_and_empty_lines_do_not_matter() -> None:
    result = checked(line() + "\r", "", "\r", line() + "\r")
    assert [row["line"] for row in stored(result)] == ["2", "5"]
    assert (result.lines, result.rejects) == (4, [])


def test_a_rejects_file_s_own_columns_are_passed_over() -> None:
    header = b"line,reason," + HEADER
    result = checked("7,check_digit," + line(region="Lamu"), header=header)
    assert stored(result)[0]["region"] == "Lamu"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "empty"),
        (b"\r\n", "empty"),
        (HEADER.replace(b",ken", b""), "column_missing"),
        (HEADER + b",colour", "column_unknown"),
        (HEADER + b",ken", "column_twice"),
        (HEADER.decode().encode("utf-16"), "not_utf8"),
        (b'"' + HEADER, "header_malformed"),
        (HEADER.replace(b",", b";"), "column_missing"),
    ],
)
def test_a_file_without_a_proper_header_is_refused(header: bytes, reason: str) -> None:
    with pytest.raises(MeterFileRefused) as refused:
        read_header(header)
    assert refused.value.facts["reason"] == reason


@given(
    st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b""))),
    st.integers(1, 50),
)
def test_chunks_are_the_file_s_whole_lines_whatever_their_size(
    lines: list[bytes], chunk_bytes: int
) -> None:
    content = b"".join(text + b"\n" for text in lines)
    pieces = list(chunks(io.BytesIO(content), chunk_bytes))
    assert b"".join(pieces) == content
    assert all(piece.endswith(b"\n") for piece in pieces)


def test_an_endless_line_is_cut_short_and_counted_once() -> None:
    content = b"a\n" + b"x" * (10 * LINE_BYTES_MAX) + b"\nb"
    pieces = list(chunks(io.BytesIO(content), 1_000))
    assert b"".join(pieces).count(b"\n") == 2
    assert max(map(len, pieces)) < 2 * LINE_BYTES_MAX
    result = checked(*b"".join(pieces).split(b"\n"))
    assert (3, Reason.LINE_TOO_LONG) in result.rejects


@given(st.lists(st.one_of(st.text(max_size=60), st.builds(line, region=st.text(max_size=5)))))
@settings(max_examples=200)
def test_whatever_the_lines_every_row_is_taken_or_rejected(texts: list[str]) -> None:
    lines = [part for text in texts for part in text.split("\n")]
    result = checked(*lines)
    empty = sum(1 for text in lines if not text.strip())
    assert result.lines == max(len(lines), 1)
    assert result.rows + len(result.rejects) + empty == len(lines)
    assert result.copy_data.count(b"\n") == result.rows
    assert all(text.count(b"\t") == len(COLUMNS) for text in result.copy_data.split(b"\n")[:-1])


def test_a_row_looked_at_in_a_column_is_judged_as_one_looked_at_alone() -> None:
    chance = random.Random(5)
    kept = [line() for _ in range(40)]
    faulty = [line(**values) for values, _ in FAULTS]
    texts = kept + faulty
    chance.shuffle(texts)
    together = checked(*texts)
    alone = {at for at, text in enumerate(texts, 2) if checked(text).rejects}
    assert {at for at, _ in together.rejects} == alone
    assert len(alone) == len(faulty)


def test_more_distinct_values_than_are_remembered_are_still_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vending.meters.meter_rows._DISTINCT_MAX", 3)
    checker = RowChecker(read_header(HEADER), "KE")
    for at in range(20):
        assert checker.check(line(region=f"Region {at}").encode(), first_line=at).rows == 1
    assert checker.check(line(region="\t").encode(), first_line=30).rows == 1
    assert checker.check(line(region="a\tb").encode(), first_line=30).rows == 0


def test_a_rejected_line_is_shown_in_columns_or_else_whole() -> None:
    header = read_header(HEADER)
    row = a_row(region="Lamu", meter_number=a_meter_number())
    assert row_as_written(",".join(row.values()).encode(), header) == list(row.values())
    whole = row_as_written(b'1,"2\xff\0', header)
    assert whole == ['1,"2\\xff\\0', *[""] * (len(COLUMNS) - 1)]


def _guide() -> str:
    page = Path(__file__).parents[2] / "docs" / "operating" / "import-meters.md"
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*COLUMNS, *OPTIONAL_COLUMNS, *Reason])
def test_the_guide_explains_every_column_and_every_reason(name: str) -> None:
    assert f"\n| `{name}` |" in _guide()


def test_the_guide_s_example_is_a_good_file() -> None:
    header, rows = _guide().partition("```csv\n")[2].partition("```")[0].split("\n", 1)
    result = checked(*rows.splitlines(), header=header.encode())
    assert (result.rows, result.rejects) == (2, [])
