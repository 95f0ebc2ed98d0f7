"""The auditor: every rule, checked over one snapshot of the database, changing nothing."""

from collections.abc import AsyncIterator

import asyncpg

from vending.audit import (
    identifiers,
    key_changes,
    ledger,
    messages,
    payments,
    receipts,
    sales,
    special,
    vendors,
)
from vending.audit.rule import Finding, Rule, Terms

RULES: tuple[Rule, ...] = (
    *payments.RULES,
    *key_changes.SOLD_RULES,
    *ledger.RULES,
    *messages.RULES,
    *key_changes.TOLD_RULES,
    *vendors.RULES,
    *special.GIVEN_RULES,
    *identifiers.RULES,
    *key_changes.KEY_RULES,
    *special.IDENTIFIER_RULES,
    *receipts.RULES,
    *sales.RULES,
    *special.REFERENCE_RULES,
)

FIRST_MAX = 5
"""Violations named for each rule: enough to start looking, few enough to read."""


async def examine(db: asyncpg.Connection, terms: Terms) -> AsyncIterator[Finding]:
    """Check every rule and yield a finding each, in order.

    All rules see the same snapshot, so a server may go on selling meanwhile. Any role that may
    read the tables will do, on a standby as well.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        for rule in RULES:
            yield await _checked(db, rule, terms)


async def _checked(db: asyncpg.Connection, rule: Rule, terms: Terms) -> Finding:
    query = f"""
select count(*) over () as count, violation
  from ({rule.violations}) as violated (violation)
 order by violation limit {FIRST_MAX}
"""  # noqa: S608 -- the rules' own text
    try:
        async with db.transaction():
            rows = await db.fetch(query, *(getattr(terms, name) for name in rule.needs))
    except asyncpg.PostgresError as fault:
        # Not its text, which may quote a row.
        return Finding(rule=rule, count=0, first=(), fault=type(fault).__name__)
    return Finding(
        rule=rule,
        count=rows[0]["count"] if rows else 0,
        first=tuple(row["violation"] for row in rows),
    )
