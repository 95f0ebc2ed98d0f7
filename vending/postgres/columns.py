"""Columns of a batch as single parameters, for statements that write thousands of rows.

asyncpg checks and encodes an array element by element, which for fifty columns is a third of what
a vend costs. A column joined into one text is one parameter, and PostgreSQL takes it apart again.
"""

from collections.abc import Iterable, Sequence

from vending.errors import Inconsistent

SEPARATOR = "\x1f"
ABSENT = "\x1e"
"""ASCII's own unit and record separators: neither occurs in anything we write."""


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


def numbers(values: Iterable[int | None]) -> str:
    """Return whole numbers as one parameter for `number_array`."""
    return "{" + ",".join(["null" if value is None else str(value) for value in values]) + "}"


def text_array(parameter: int) -> str:
    """Return the SQL that takes a parameter made by `texts` apart; a lone ABSENT is a null."""
    return f"string_to_array(${parameter}::text, '{SEPARATOR}', '{ABSENT}')"


def number_array(parameter: int, kind: str) -> str:
    """Return the SQL that takes a parameter made by `numbers` apart; `kind` is the SQL type."""
    return f"${parameter}::text::{kind}[]"
