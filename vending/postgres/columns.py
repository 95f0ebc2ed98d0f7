"""Columns of a batch as single parameters, for statements that write thousands of rows.

asyncpg checks and encodes an array element by element, which for fifty columns is a third of what
a vend costs. A column joined into one text is one parameter, and PostgreSQL takes it apart again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from vending.errors import Inconsistent

SEPARATOR = "\x1f"
ABSENT = "\x1e"
"""ASCII's own unit and record separators: neither occurs in anything we write."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ColumnUnwritable(Inconsistent):
    """A text to be written holds a control character that separates texts.

    Nothing of its batch was written. Find out how such a text got past the checks at the edge.
    """

    code = "column_unwritable"


def texts(values: Sequence[str | None]) -> str | None:
    """Return texts as one parameter for `text_array`; None for no rows at all."""
    if not values:
        return None
    joined = SEPARATOR.join([ABSENT if value is None else value for value in values])
    # A single empty text would come apart as no text at all.
    if joined.count(SEPARATOR) != len(values) - 1 or not joined:
        raise ColumnUnwritable
    return joined


def any_texts(values: Sequence[str | None]) -> str:
    """Return texts of whatever characters as one parameter for `any_text_array`.

    For what people type and other systems send, where `texts` would refuse some.
    """
    if not values:
        return "{}"
    told = [value for value in values if value is not None]
    if len(told) < len(values):
        return "{" + ",".join(["null" if one is None else _quoted(one) for one in values]) + "}"
    joined = '","'.join(told)
    # Hardly any text has a quote or a backslash: one look at all of them instead of at each.
    if "\\" in joined or joined.count('"') != 2 * (len(told) - 1):
        return "{" + ",".join(map(_quoted, told)) + "}"
    return '{"' + joined + '"}'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def instants(values: Iterable[datetime | None]) -> str:
    """Return instants as one parameter for `instant_array`, exact to the microsecond."""
    # As spans since 1970: half the cost of calendar dates, and never a floating number.
    spans = [
        "null" if value is None else f"{(value - _EPOCH) // _MICROSECOND} us" for value in values
    ]
    return "{" + ",".join(spans) + "}"


def numbers(values: Iterable[int | None]) -> str:
    """Return whole numbers as one parameter for `number_array`."""
    return "{" + ",".join(["null" if value is None else str(value) for value in values]) + "}"


def side_by_side(columns: Mapping[str, str]) -> str:
    """Return the SQL of a subquery that has the elements of these arrays beside each other.

    `columns` are the arrays by the names of their columns.
    """
    # As unnest of them all, which would write every column down by itself before the first row.
    return f"(select {', '.join(f'unnest({array}) as {name}' for name, array in columns.items())})"


def text_array(parameter: int) -> str:
    """Return the SQL that takes a parameter made by `texts` apart; a lone ABSENT is a null."""
    return f"string_to_array(${parameter}::text, '{SEPARATOR}', '{ABSENT}')"


def number_array(parameter: int, kind: str) -> str:
    """Return the SQL that takes a parameter made by `numbers` apart; `kind` is the SQL type."""
    return f"${parameter}::text::{kind}[]"


def any_text_array(parameter: int) -> str:
    """Return the SQL that takes a parameter made by `any_texts` apart."""
    return f"${parameter}::text::text[]"


def one_of_texts(parameter: int) -> str:
    """Return the SQL to put behind `=`: one of the texts of a parameter made by `any_texts`."""
    # A select of its own has them parsed once, even where a plan asks them of every row.
    return f"any((select {any_text_array(parameter)})::text[])"


def instant_array(parameter: int) -> str:
    """Return the SQL that takes a parameter made by `instants` apart, for `instant` to read."""
    return f"${parameter}::text::interval[]"


def instant(column: str) -> str:
    """Return the SQL of the instant in a column that is made of an `instant_array`."""
    return f"timestamptz 'epoch' + {column}"
