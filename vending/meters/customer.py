"""Whose meter it is, as far as anybody who sells may know, and what it is due for nothing.

A clerk compares the name with the person at the counter, so it is shown by its first letters: of
every word the first letter or digit, and a star for each other character. A word of one character
is a star, and so is a first character that is neither letter nor digit: a whole name never shows.
"""

import unicodedata

from vending.postgres.pool import Session
from vending.values import Value

STAR = "*"

FIND = "select customer_name, free_month_wh from meter where meter_number = $1"


class Customer(Value, frozen=True, kw_only=True):
    """The customer of a meter.

    `name` is "" where none is known. `free_month_wh` is the energy the meter is due each month for
    nothing, in watt-hours, 0 for none.
    """

    hidden = frozenset({"name"})

    name: str = ""
    free_month_wh: int = 0

    @property
    def masked(self) -> str | None:
        """The name as vendors see it; None where none is known."""
        return masked(self.name) or None

    def due_wh(self, *, given: bool) -> int | None:
        """Return the free energy still due this month; None for whoever is never due any."""
        if not self.free_month_wh:
            return None
        return 0 if given else self.free_month_wh


NOBODY = Customer()
"""The customer of a meter of which nothing is known."""


def masked(name: str) -> str:
    """Return a name by its first letters: "Jane Wanjiku" is "J*** W******"."""
    return " ".join(map(_masked, unicodedata.normalize("NFC", name).split()))


def _masked(word: str) -> str:
    shown = word[0] if len(word) > 1 and word[0].isalnum() else STAR
    return shown + STAR * (len(word) - 1)


async def find(db: Session, meter_number: str) -> Customer:
    """Return the customer of a meter; one of whom nothing is known is NOBODY."""
    rows = await db.fetch(FIND, meter_number)
    if not rows:
        return NOBODY
    return Customer(name=rows[0]["customer_name"], free_month_wh=rows[0]["free_month_wh"])
