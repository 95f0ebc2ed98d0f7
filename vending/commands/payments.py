"""`vending payments`: what happened to a payment, and how a refund due finds its meter."""

import asyncio
from datetime import timedelta
from typing import Annotated

import asyncpg
import cyclopts
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from vending import followups
from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.errors import Rejected
from vending.meters.meter import parse_meter_number
from vending.notices import wording_of
from vending.numbering import Numbers
from vending.quantities import energy_text, money_text

app = cyclopts.App(name="payments", help="Payments and what became of them.")

COMMAND_NODE = 255
"""Commands number their rows as a node of their own, so that they never meet a server's."""

WAIT = timedelta(seconds=15)
"""How long a command waits for the server to carry out what it asked."""

FIND = """
select payment.payment_id, payment.operator, payment.transaction_id, payment.short_code,
       payment.account_reference, payment.amount_minor, payment.paid_at, payment.received_at,
       outcome.kind, outcome.reason, outcome.meter_number, outcome.energy_wh,
       outcome.tariff_version, outcome.tariff_category, outcome.line_codes, outcome.line_amounts,
       outcome.decided_at, quarantine.reason as quarantined
  from payment
  left join outcome on outcome.payment_id = payment.payment_id
  left join quarantine
    on quarantine.payment_id = payment.payment_id and quarantine.resolved_at is null
 where payment.transaction_id = $1
 order by payment.payment_id
"""

REFUNDS_DUE = """
select transaction_id, account_reference, amount_minor, outcome.reason, outcome.decided_at
  from outcome
  join payment on payment.payment_id = outcome.payment_id
 where outcome.kind = 'refund_due'
 order by outcome.decided_at desc
 limit $1
"""

IN_QUARANTINE = """
select received_at, reason, operator, transaction_id, detail
  from quarantine
 where resolved_at is null
 order by received_at desc
 limit $1
"""

REQUEST = """
insert into reassignment (reassignment_id, payment_id, meter_number, person, note, requested_at)
values ($1, $2, $3, $4, $5, $6)
"""

RESULT = "select result from reassignment where reassignment_id = $1 and settled_at is not null"

RELEASE = """
update quarantine set resolved_at = $2, resolved_by = $3
 where payment_id = $1 and resolved_at is null
returning quarantine_id
"""


class PaymentUnknown(Rejected):
    """No payment has this transaction id.

    Check the receipt number; if the payer has it, the operator never told us: ask the operator.
    """

    code = "payment_unknown"


class NothingToReassign(Rejected):
    """Only a payment whose refund is due can be moved to another meter.

    `vending payments show` says what became of this one.
    """

    code = "nothing_to_reassign"


class NothingToRelease(Rejected):
    """This payment is not in quarantine."""

    code = "nothing_to_release"


@app.command
def show(transaction_id: str, *, config: ConfigFile = None) -> None:
    """Show what became of a payment; the token itself is left out.

    Parameters
    ----------
    transaction_id
        The operator's receipt number, as the payer's phone shows it.

    """
    row = surroundings.run(_found(surroundings.settings(config), transaction_id))
    table = Table(show_header=False)
    facts = {
        "operator": row["operator"],
        "paid": f"{money_text(row['amount_minor'])} at {row['paid_at']:%Y-%m-%d %H:%M:%S} UTC",
        "for": row["account_reference"],
        "received": f"{row['received_at']:%Y-%m-%d %H:%M:%S} UTC",
        "outcome": row["kind"] or ("in quarantine" if row["quarantined"] else "waiting"),
    }
    if row["reason"] or row["quarantined"]:
        facts["reason"] = row["reason"] or row["quarantined"]
    if row["energy_wh"]:
        facts["meter"] = row["meter_number"]
        facts["units"] = f"{energy_text(row['energy_wh'])} kWh"
        facts["tariff"] = f"{row['tariff_version']}, {row['tariff_category']}"
        lines = zip(row["line_codes"], row["line_amounts"], strict=True)
        facts |= {f"  {code}": money_text(minor) for code, minor in lines}
    for name, value in facts.items():
        table.add_row(name, value)
    console.print(table)


@app.command
def due(*, most: int = 50, config: ConfigFile = None) -> None:
    """List refunds due, newest first.

    Parameters
    ----------
    most
        How many to show.

    """
    rows = surroundings.run(_rows(surroundings.settings(config), REFUNDS_DUE, most))
    if not rows:
        console.print("no refund is due")
        return
    table = Table("receipt", "paid for", "amount", "reason", "since (UTC)")
    for row in rows:
        table.add_row(
            row["transaction_id"],
            row["account_reference"],
            money_text(row["amount_minor"]),
            row["reason"],
            f"{row['decided_at']:%Y-%m-%d %H:%M:%S}",
        )
    console.print(table)


@app.command
def quarantine(*, most: int = 50, config: ConfigFile = None) -> None:
    """List what waits for a person, newest first: conflicts, what is unreadable, what breaks.

    Parameters
    ----------
    most
        How many to show.

    """
    rows = surroundings.run(_rows(surroundings.settings(config), IN_QUARANTINE, most))
    if not rows:
        console.print("nothing is in quarantine")
        return
    table = Table("since (UTC)", "reason", "operator", "receipt", "detail")
    for row in rows:
        table.add_row(
            f"{row['received_at']:%Y-%m-%d %H:%M:%S}",
            row["reason"],
            row["operator"],
            row["transaction_id"] or "unknown",
            escape(row["detail"]),
        )
    console.print(table)


@app.command
def reassign(
    transaction_id: str,
    meter_number: str,
    *,
    by: Annotated[str, Parameter(help="Who decides this.")],
    note: Annotated[str, Parameter(help="Why, for whoever asks later.")],
    config: ConfigFile = None,
) -> None:
    """Move a refund due to the meter the payer meant; the running server makes the token.

    The purchase is priced at the time of payment. Whether it succeeds, and why not, is printed;
    without a running server the request waits for the next one.
    """
    number = parse_meter_number(meter_number)
    read = surroundings.settings(config)
    result = surroundings.run(_reassign(read, transaction_id, number, by, note))
    console.print(result or "the request is stored and waits for a running server")


@app.command
def release(
    transaction_id: str,
    *,
    by: Annotated[str, Parameter(help="Who decides this.")],
    config: ConfigFile = None,
) -> None:
    """Let a quarantined payment be tried again, after its cause has been mended."""
    surroundings.run(_release(surroundings.settings(config), transaction_id, by))
    console.print("released; the next sweep of a running server tries it again")


@app.command
def resend(transaction_id: str, *, config: ConfigFile = None) -> None:
    """Send a payment's message again: the same digits, marked as a copy; never another token.

    Goes to the phones registered to the meter, and to the payer where the operator shows it.
    """
    count = surroundings.run(_resend(surroundings.settings(config), transaction_id))
    console.print(f"staged for {count} phone(s); a running server sends it")


async def _found(config: Config, transaction_id: str) -> asyncpg.Record:
    async with surroundings.connected(config) as db:
        return await _payment(db, transaction_id)


async def _payment(db: asyncpg.Connection, transaction_id: str) -> asyncpg.Record:
    row = await db.fetchrow(FIND, transaction_id.strip().upper())
    if row is None:
        raise PaymentUnknown(transaction_id=transaction_id)
    return row


async def _rows(config: Config, query: str, most: int) -> list[asyncpg.Record]:
    async with surroundings.connected(config) as db:
        return await db.fetch(query, most)


async def _reassign(
    config: Config, transaction_id: str, meter_number: str, by: str, note: str
) -> str | None:
    async with surroundings.connected(config) as db:
        row = await _payment(db, transaction_id)
        if row["kind"] != "refund_due":
            raise NothingToReassign(transaction_id=transaction_id, outcome=row["kind"])
        number = Numbers(system_clock, node=COMMAND_NODE).next()
        asked_at = system_clock()
        await db.execute(REQUEST, number, row["payment_id"], meter_number, by, note, asked_at)
        while system_clock() < asked_at + WAIT:
            result: str | None = await db.fetchval(RESULT, number)
            if result is not None:
                return result
            await asyncio.sleep(0.2)
        return None


async def _resend(config: Config, transaction_id: str) -> int:
    async with surroundings.connected(config) as db:
        row = await _payment(db, transaction_id)
        staged = await followups.resend(
            db,
            row["payment_id"],
            wording=wording_of(config.utility),
            numbers=Numbers(system_clock, node=COMMAND_NODE),
            now=system_clock(),
        )
        return len(staged)


async def _release(config: Config, transaction_id: str, by: str) -> None:
    async with surroundings.connected(config) as db:
        row = await _payment(db, transaction_id)
        if not await db.fetch(RELEASE, row["payment_id"], system_clock(), by):
            raise NothingToRelease(transaction_id=transaction_id)
