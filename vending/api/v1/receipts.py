"""What quotes and sales have in common on the wire: references, sums, places, receipt lines."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

AMOUNT_MINOR_MAX: Final = 100_000_000_000
ENERGY_WH_MAX: Final = 10_000_000_000

REFERENCE: Final = "[A-Za-z0-9._:-]{1,64}"

METER: Final = "01000000008"
"""A number with a right check digit, for examples."""

Reference = Annotated[
    str,
    Meta(
        pattern=f"^{REFERENCE}$", description="The vendor's own name of a sale, for ever.",
        examples=["till-7:2026-11-22:0017"],
    ),
]  # fmt: skip
Typed = Annotated[
    str,
    Meta(
        pattern=r"^[0-9 -]{1,40}$",
        description="11 or 13 digits, or the 18 of a card; spaces and hyphens are left out.",
        examples=[METER],
    ),
]
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX, description="In cents.", examples=[50_000])]
Energy = Annotated[
    int,
    Meta(
        ge=100, le=ENERGY_WH_MAX, multiple_of=100,
        description="At least so many watt-hours, for the smallest sum that buys them.",
    ),
]  # fmt: skip
Place = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a receipt; the lines sum to the amount, to the cent."""

    code: str
    amount_minor: int


def lines(pairs: Iterable[tuple[str, int]]) -> list[ReceiptLine]:
    """Return a receipt's lines as they are shown."""
    return [ReceiptLine(code=code, amount_minor=minor) for code, minor in pairs]
