"""The books at the end: a rate at which money was lost or sold twice is no rate.

Counts of our own beside the product's audit: what was answered is there, what is there balances.
"""

import asyncio
import os
import sys

from benchmarks import committed
from benchmarks.site import Server, Site

Line = tuple[str, bool, str]
"""What was checked, whether it holds, and the figures."""

UNDECIDED = """
select count(*) as found
  from payment
 where not exists (select from outcome where outcome.payment_id = payment.payment_id)
"""

UNPAID = """
select count(*) as found
  from outcome
 where not exists (select from payment where payment.payment_id = outcome.payment_id)
"""

COUNTS = """
select (select count(*) from payment) as payments,
       (select count(*) from outcome) as outcomes,
       (select count(*) from outcome where kind = 'token_issued') as tokens,
       (select count(*) from message) as messages
"""

# Debits against credits over all, and the entries that do not balance in themselves.
LEDGER = """
select coalesce(sum(total), 0)::bigint as total, count(*) filter (where total <> 0) as unbalanced,
       count(*) as entries, coalesce(min(lines), 0) as fewest
  from (select (select sum(amount) from unnest(amounts) as amount) as total,
               cardinality(amounts) as lines
          from entry) as each
"""

TWICE = """
select count(*) as found
  from (select from outcome where tid is not null
         group by meter_number, tid_base, tid having count(*) > 1) as twice
"""

KNOWN = """
select transaction_id from payment
 where operator = $1 and transaction_id >= $2 and transaction_id < $3
"""


async def check(site: Site, server: Server, *, vends: bool = True) -> list[Line]:
    """Check one server's books; one whose lane was paused must have every payment, undecided."""
    name = server.name
    lines = [await _answered(site, server)]
    counts = (await site.cluster.fetch(COUNTS, database=server.database))[0]
    if not vends:
        nothing = counts["outcomes"] == 0
        told = f"{counts['payments']:,} payments, {counts['outcomes']:,} outcomes"
        return [*lines, (f"{name}: nothing was vended while paused", nothing, told)]
    undecided = await _count(site, server, UNDECIDED)
    unpaid = await _count(site, server, UNPAID)
    lines.append(
        (
            f"{name}: every payment has its one outcome",
            undecided == unpaid == 0 and counts["payments"] == counts["outcomes"],
            (
                f"{counts['payments']:,} payments, {counts['outcomes']:,} outcomes, "
                f"{counts['tokens']:,} of them tokens; {counts['messages']:,} messages"
            ),
        )
    )
    ledger = (await site.cluster.fetch(LEDGER, database=server.database))[0]
    lines.append(
        (
            f"{name}: the ledger sums to zero, entry by entry",
            ledger["total"] == 0 and ledger["unbalanced"] == 0,
            f"{ledger['entries']:,} entries of {ledger['fewest']} lines or more",
        )
    )
    twice = await _count(site, server, TWICE)
    lines.append((f"{name}: no meter got an identifier twice", twice == 0, f"{twice:,} found"))
    return lines


async def audit(server: Server) -> Line:
    """Let the product hold its own rows to its promises."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vending", "audit", "--older-than", "0",
        "--config", str(server.config_file),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "COLUMNS": "200"},
    )  # fmt: skip
    said, _ = await process.communicate()
    last = said.decode().strip().splitlines()[-1:] or [""]
    return f"{server.name}: vending audit", process.returncode == 0, last[0]


async def _answered(site: Site, server: Server) -> Line:
    """Whether every payment that was answered with success is stored."""
    answered = missing = 0
    for shots in (server.confirm, server.sale):
        for prefix, numbers in shots.answered.items():
            rows = await site.cluster.fetch(
                KNOWN, shots.operator, *committed.bounds(prefix), database=server.database
            )
            stored = {committed.number_of(row["transaction_id"], prefix) for row in rows}
            answered += len(numbers)
            missing += len(numbers - stored)
    says = f"{server.name}: everything that was answered is stored"
    return says, missing == 0, f"{answered:,} answered, {missing:,} missing"


async def _count(site: Site, server: Server, query: str) -> int:
    found: int = (await site.cluster.fetch(query, database=server.database))[0]["found"]
    return found
