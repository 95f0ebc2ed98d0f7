"""The journal: entries as columns for the vend's one statement, and the trial balance."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry
from vending.postgres.columns import number_array, numbers, side_by_side, text_array, texts

PARAMETERS = 6
"""How many parameters `insert_entries` takes."""

# Sums every posting there is; a report, not for the hot path.
TRIAL_BALANCE = """
select account, sum(amount_minor)::bigint as balance_minor
  from posting group by account order by account
"""


def columns(entries: Sequence[Entry], chart: Chart, *, booked_at: datetime) -> tuple[object, ...]:
    """Return entries booked at one instant as the parameters of `insert_entries`.

    Accounts and amounts are PostgreSQL array literals, since unnest takes no ragged arrays.
    """
    literals = [chart.literals(entry.postings) for entry in entries]
    return (
        numbers([entry.document_id for entry in entries]),
        numbers([entry.sequence for entry in entries]),
        texts([entry.kind for entry in entries]),
        texts([accounts for accounts, _ in literals]),
        texts([amounts for _, amounts in literals]),
        booked_at,
    )


def insert_entries(first: int) -> str:
    """Return the insert of a batch of entries, its parameters numbered from `first`.

    The primary key stops one movement of a document's money from being booked twice.
    """
    booked = side_by_side(
        {
            "document_id": number_array(first, "bigint"),
            "sequence": number_array(first + 1, "smallint"),
            "kind": text_array(first + 2),
            "accounts": text_array(first + 3),
            "amounts": text_array(first + 4),
        }
    )
    return f"""
insert into entry (document_id, sequence, kind, accounts, amounts, booked_at)
select document_id, sequence, kind, accounts::integer[], amounts::bigint[],
       ${first + 5}::timestamptz
  from {booked} as booked
"""  # noqa: S608 -- only parameter numbers are put into the text


async def trial_balance(db: asyncpg.Connection) -> dict[str, int]:
    """Return each account's balance in cents; the balances sum to zero."""
    return {row["account"]: row["balance_minor"] for row in await db.fetch(TRIAL_BALANCE)}
