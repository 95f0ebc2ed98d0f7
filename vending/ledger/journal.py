"""The journal: entries as columns for the vend's one statement, and the trial balance."""

from collections.abc import Sequence

import asyncpg

from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry

# Sums every posting there is; a report, not for the hot path.
TRIAL_BALANCE = """
select account, sum(amount_minor)::bigint as balance_minor
  from posting group by account order by account
"""


def columns(entries: Sequence[Entry], chart: Chart) -> tuple[list[object], ...]:
    """Return entries as the columns (document, sequence, kind, accounts, amounts) for unnest.

    Accounts and amounts are PostgreSQL array literals, since unnest takes no ragged arrays.
    """
    number = chart.number
    return (
        [entry.document_id for entry in entries],
        [entry.sequence for entry in entries],
        [entry.kind for entry in entries],
        [
            "{" + ",".join([str(number(posting.account)) for posting in entry.postings]) + "}"
            for entry in entries
        ],
        [
            "{" + ",".join([str(posting.amount_minor) for posting in entry.postings]) + "}"
            for entry in entries
        ],
    )


async def trial_balance(db: asyncpg.Connection) -> dict[str, int]:
    """Return each account's balance in cents; the balances sum to zero."""
    return {row["account"]: row["balance_minor"] for row in await db.fetch(TRIAL_BALANCE)}
