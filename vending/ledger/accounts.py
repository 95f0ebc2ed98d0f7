"""The chart of accounts: codes for people, small numbers for rows.

A code goes from the general to the particular: ``collection:mpesa:888880`` is the money an
operator holds for us, ``suspense:refund_due`` what we owe payers; ``revenue:...``, ``levy:...``,
``tax:...``, ``debt:...`` and ``rounding`` are where receipt lines go (the tariff names them).
"""

from collections.abc import Iterable

from vending.ledger.entry import Posting
from vending.postgres.pool import Session

READ_ACCOUNTS = "select account_id, code from account"

# The unique code makes two openers of one account agree on its number.
OPEN_ACCOUNTS = """
insert into account (code) select unnest($1::text[]) on conflict (code) do nothing
"""


REMEMBERED_MAX = 4_096
"""Entries' postings that are remembered as literals: 4 MB at most."""


class Chart:
    """The numbers of the accounts this process has met; opens an account at its first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._literals: dict[tuple[Posting, ...], tuple[str, str]] = {}
        self._kinds: dict[tuple[str, ...], str] = {}

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

    def unmet(self, postings: Iterable[tuple[Posting, ...]]) -> set[str]:
        """Return the accounts of those postings that were not written before: they may be new."""
        new = {one for one in postings if one not in self._literals}
        return {account for one in new for account, _ in one}

    def literals(self, postings: tuple[Posting, ...]) -> tuple[str, str]:
        """Return an entry's account numbers and its cents, each as a PostgreSQL array literal.

        They are remembered, since most people pay the same few sums, and so are the accounts of
        entries of one kind, whatever the sum. KeyError as `number`.
        """
        found = self._literals.get(postings)
        if found is None:
            codes, minors = zip(*postings, strict=True)
            accounts = self._kinds.get(codes) or _literal(map(self.number, codes))
            found = accounts, _literal(minors)
            if len(self._literals) >= REMEMBERED_MAX:
                self._literals.clear()
                self._kinds.clear()
            self._literals[postings], self._kinds[codes] = found, accounts
        return found


def _literal(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"
