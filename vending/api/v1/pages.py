"""Pages of lists that keep growing: an opaque cursor says where the next one goes on.

A cursor holds the number of the last row that was shown and which list it is of, so pages neither
repeat nor miss a row while others are added. It gives no right to anything: whose rows they are is
the first condition of every query.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from vending.api.v1.names import NUMBER_MAX
from vending.errors import Rejected

LIMIT_MAX: Final = 200
LIMIT: Final = 50

CURSOR_LETTERS_MAX: Final = 80

_WRITTEN = re.compile(rb"([a-z]+):([0-9]{1,19})(?::([0-9]{1,19}))?")

Row = TypeVar("Row")


class CursorMalformed(Rejected):
    """This is no cursor of this list.

    Send back `next` as it was given, or leave the cursor out to begin at the beginning.
    """

    code = "cursor_malformed"


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list is asked for."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="Most rows in the answer.")] = LIMIT
    cursor: Annotated[
        str, Meta(max_length=CURSOR_LETTERS_MAX, description="`next` of the page before.")
    ] = ""


def cursor(of: str, number: int, *, back: int | None = None) -> str:
    """Return the cursor behind a row of a list; `of` is the list's name, small letters.

    `back` is where to read from again once this reading is at its end; see `places`.
    """
    written = f"{of}:{number}" if back is None else f"{of}:{number}:{back}"
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def place(of: str, text: str, *, beginning: int) -> int:
    """Return the number a list goes on behind. Raises CursorMalformed."""
    number, back = places(of, text, beginning=beginning)
    if back is not None:
        raise CursorMalformed
    return number


def places(of: str, text: str, *, beginning: int) -> tuple[int, int | None]:
    """Return the number a list goes on behind, and the one to go back to, if there is one.

    Raises CursorMalformed.
    """
    if not text:
        return beginning, None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        written = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise CursorMalformed from None
    found = _WRITTEN.fullmatch(written)
    if found is None or found[1].decode() != of:
        raise CursorMalformed
    number, back = int(found[2]), None if found[3] is None else int(found[3])
    if number > NUMBER_MAX or (back is not None and back > number):
        raise CursorMalformed
    return number, back


def cut(
    rows: Sequence[Row], *, limit: int, of: str, number: Callable[[Row], int]
) -> tuple[Sequence[Row], str | None]:
    """Return one page of rows that were read with one more than the limit, and its `next`."""
    shown = rows[:limit]
    more = len(rows) > limit
    return shown, cursor(of, number(shown[-1])) if more else None
