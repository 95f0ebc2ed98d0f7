"""Columns as single parameters come apart again exactly as they were put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.postgres.columns import (
    ABSENT,
    SEPARATOR,
    ColumnUnwritable,
    number_array,
    numbers,
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


@pytest.mark.parametrize("values", TEXTS)
async def test_texts_come_apart_again(db: Connection, values: list[str | None]) -> None:
    assert await db.fetchval(f"select {text_array(1)}", texts(values)) == values


@pytest.mark.parametrize("values", [[1], [None], [-(2**63), 2**63 - 1, None, 0], []])
async def test_numbers_come_apart_again(db: Connection, values: list[int | None]) -> None:
    assert await db.fetchval(f"select {number_array(1, 'bigint')}", numbers(values)) == values


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
