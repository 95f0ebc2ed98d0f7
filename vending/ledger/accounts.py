"""The chart of accounts: codes for people, small numbers for rows.

A code goes from the general to the particular: ``collection:mpesa:888880`` is the money an
operator holds for us, ``suspense:refund_due`` what we owe payers; ``revenue:...``, ``levy:...``,
``tax:...``, ``debt:...`` and ``rounding`` are where receipt lines go (the tariff names them).
"""

from collections.abc import Iterable

from vending.postgres.pool import Session

READ_ACCOUNTS = "select account_id, code from account"

# The unique code makes two openers of one account agree on its number.
OPEN_ACCOUNTS = """
insert into account (code) select unnest($1::text[]) on conflict (code) do nothing
"""


class Chart:
    """The numbers of the accounts this process has met; opens an account at its first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    async def open(self, db: Session, codes: Iterable[str]) -> None:
        """Make sure every code has a number, opening accounts that do not exist yet."""
        missing = sorted(set(codes).difference(self._numbers))
        if missing:
            await db.fetch(OPEN_ACCOUNTS, missing)
            self._numbers = {
                row["code"]: row["account_id"] for row in await db.fetch(READ_ACCOUNTS)
            }

    def number(self, code: str) -> int:
        """Return an opened account's number; KeyError if it was never opened here."""
        return self._numbers[code]
