"""Columns as single parameters come apart again exactly as they were put together."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vending.postgres.columns import (
    ABSENT,
    SEPARATOR,
    ColumnUnwritable,
    any_text_array,
    any_texts,
    instant,
    instant_array,
    instants,
    number_array,
    numbers,
    side_by_side,
    text_array,
    texts,
)
from vending.postgres.pool import Connection

TEXTS: list[list[str | None]] = [
    ["a"],
    [None],
    ["a", None, "b"],
    ["", "x", ""],
    ["{}", '"', "\\", "null", ",", "'", "é", "\n"],
    [None, None],
]


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
"""Every text that PostgreSQL can hold."""

ON_ONE_CONNECTION = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("values", TEXTS)
async def test_texts_come_apart_again(db: Connection, values: list[str | None]) -> None:
    assert await db.fetchval(f"select {text_array(1)}", texts(values)) == values


@pytest.mark.parametrize(
    "values",
    [
        *TEXTS,
        [],
        [""],
        ["", ""],
        [SEPARATOR],
        [ABSENT, None, f"a{SEPARATOR}b"],
        ["null", "NULL", None, " null ", "\\null"],
        ['","', '"', "\\", '\\"', "{a,b}", " a ", "\t\r\n"],
        ['a"', '"b'],
    ],
)
async def test_any_texts_come_apart_again(db: Connection, values: list[str | None]) -> None:
    assert await db.fetchval(f"select {any_text_array(1)}", any_texts(values)) == values


@ON_ONE_CONNECTION
@given(values=st.lists(STORABLE | st.none() | st.text('\\",{}\x1e\x1f null')))
async def test_whatever_is_typed_comes_apart_again(
    db: Connection, values: list[str | None]
) -> None:
    assert await db.fetchval(f"select {any_text_array(1)}", any_texts(values)) == values


INSTANTS = [
    datetime(2026, 11, 22, 8, 0, 0, 123_457, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=3))),
]


async def _come_apart(db: Connection, values: list[datetime | None]) -> list[datetime | None]:
    rows = await db.fetch(
        f"select {instant('span')} from unnest({instant_array(1)}) as told (span)", instants(values)
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("values", [[], [None], INSTANTS, [None, *INSTANTS, None]])
async def test_instants_come_apart_again(db: Connection, values: list[datetime | None]) -> None:
    assert await _come_apart(db, values) == values


@ON_ONE_CONNECTION
@given(values=st.lists(st.datetimes(timezones=st.just(UTC)) | st.none()))
async def test_no_instant_loses_a_microsecond(
    db: Connection, values: list[datetime | None]
) -> None:
    assert await _come_apart(db, values) == values


@pytest.mark.parametrize("values", [[1], [None], [-(2**63), 2**63 - 1, None, 0], []])
async def test_numbers_come_apart_again(db: Connection, values: list[int | None]) -> None:
    assert await db.fetchval(f"select {number_array(1, 'bigint')}", numbers(values)) == values


@pytest.mark.parametrize("rows", [[("a", 1), (None, None), ("", -2)], [("a", None)], []])
async def test_columns_come_to_stand_side_by_side(
    db: Connection, rows: list[tuple[str | None, int | None]]
) -> None:
    names, counts = zip(*rows, strict=True) if rows else ((), ())
    columns = {"name": text_array(1), "count": number_array(2, "integer")}
    query = f"select told.name, told.count from {side_by_side(columns)} as told"
    assert [tuple(row) for row in await db.fetch(query, texts(names), numbers(counts))] == rows


async def test_no_texts_are_no_rows(db: Connection) -> None:
    assert await db.fetch(f"select * from unnest({text_array(1)})", texts([])) == []


@given(st.lists(st.text() | st.none(), min_size=1))
def test_a_text_that_would_shift_its_neighbours_is_never_written(values: list[str | None]) -> None:
    told = [value for value in values if value is not None]
    if any(SEPARATOR in value for value in told) or values == [""]:
        with pytest.raises(ColumnUnwritable):
            texts(values)
    else:
        joined = texts(values)
        assert joined is not None
        assert len(joined.split(SEPARATOR)) == len(values)


@pytest.mark.parametrize("text", [f"a{SEPARATOR}b", SEPARATOR, ""])
def test_an_unwritable_text_is_refused(text: str) -> None:
    with pytest.raises(ColumnUnwritable):
        texts([text])


def test_the_marks_are_control_characters_of_their_own() -> None:
    assert {SEPARATOR, ABSENT} == {"\x1f", "\x1e"}
