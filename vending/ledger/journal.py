"""The journal: entries as columns for the vend's one statement, and the trial balance."""

from collections.abc import Sequence

import asyncpg

from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry

PARAMETERS = 6
"""How many parameters `insert_entries` takes."""

# Sums every posting there is; a report, not for the hot path.
TRIAL_BALANCE = """
select account, sum(amount_minor)::bigint as balance_minor
  from posting group by account order by account
"""


def columns(entries: Sequence[Entry], chart: Chart) -> tuple[list[object], ...]:
    """Return entries as the columns (document, sequence, kind, accounts, amounts, booked).

    Accounts and amounts are PostgreSQL array literals, since unnest takes no ragged arrays.
    """
    number = chart.number
    return (
        [entry.document_id for entry in entries],
        [entry.sequence for entry in entries],
        [entry.kind for entry in entries],
        [
            "{" + ",".join([str(number(account)) for account, _ in entry.postings]) + "}"
            for entry in entries
        ],
        ["{" + ",".join([str(minor) for _, minor in entry.postings]) + "}" for entry in entries],
        [entry.booked_at for entry in entries],
    )


def insert_entries(first: int) -> str:
    """Return the insert of a batch of entries, its parameters numbered from `first`.

    The primary key stops one movement of a document's money from being booked twice.
    """
    document, sequence, kind, accounts, amounts, booked = (
        f"${first + step}" for step in range(PARAMETERS)
    )
    return f"""
insert into entry (document_id, sequence, kind, accounts, amounts, booked_at)
select document_id, sequence, kind, accounts::integer[], amounts::bigint[], booked_at
  from unnest({document}::bigint[], {sequence}::smallint[], {kind}::text[], {accounts}::text[],
              {amounts}::text[], {booked}::timestamptz[])
       as booked (document_id, sequence, kind, accounts, amounts, booked_at)
"""  # noqa: S608 -- only parameter numbers are put into the text


async def trial_balance(db: asyncpg.Connection) -> dict[str, int]:
    """Return each account's balance in cents; the balances sum to zero."""
    return {row["account"]: row["balance_minor"] for row in await db.fetch(TRIAL_BALANCE)}
