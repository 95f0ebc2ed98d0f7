"""`vending vendors`: take vendors on, see how they stand, suspend them and let them sell again."""

from datetime import datetime
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from vending import audit_log
from vending.clock import system_clock
from vending.commands import surroundings, vendor_disputes, vendor_keys, vendor_money
from vending.commands.surroundings import By, ConfigFile, console
from vending.postgres.pool import Connection
from vending.quantities import money_text
from vending.vendors import accounts, credentials, floats
from vending.vendors.credentials import Credential
from vending.vendors.floats import Float
from vending.vendors.vendor import Vendor

app = cyclopts.App(name="vendors", help="Third parties who sell: who they are, and their money.")
app.command(vendor_keys.app)
app.command(vendor_disputes.app)
app.command(vendor_money.deposit)
app.command(vendor_money.commission_rates)
app.command(vendor_money.limit)
app.command(vendor_money.warning)
app.command(vendor_money.statement)

Note = Annotated[str, Parameter(help="Why, for whoever asks later.")]


@app.command
def add(
    vendor: str,
    *,
    name: str,
    address: list[str] | None = None,
    by: By,
    config: ConfigFile = None,
) -> None:
    """Take a vendor on, with an empty float and no credit.

    Parameters
    ----------
    vendor
        Its id for ever: 2 to 31 small letters, digits and hyphens, a letter first.
    name
        What people call it.
    address
        An address or network it may call from; once for each. None: from anywhere.

    """

    async def work(db: Connection) -> Vendor:
        return await accounts.add(
            db, vendor, name=name, addresses=address or (), who=by, now=system_clock()
        )

    added = surroundings.on_database(config, work)
    console.print(f"{added.vendor_id} is taken on, and may call from {_places(added.addresses)}")


@app.command(name="list")
def list_(*, config: ConfigFile = None) -> None:
    """List all vendors with what they can still sell for."""

    async def work(db: Connection) -> tuple[list[Vendor], dict[str, Float], list[Credential]]:
        return await accounts.every(db), await floats.every(db), await credentials.every(db)

    vendors, held, known = surroundings.on_database(config, work)
    if not vendors:
        console.print("there are no vendors")
        return
    table = Table("vendor", "name", "status")
    for heading in ("float", "credit limit", "available", "credentials"):
        table.add_column(heading, justify="right")
    for one in vendors:
        its = held[one.vendor_id]
        working = sum(
            known_one.vendor_id == one.vendor_id and known_one.revoked_at is None
            for known_one in known
        )
        table.add_row(
            one.vendor_id, escape(one.name), one.status.value, money_text(its.balance_minor),
            money_text(its.credit_limit_minor), money_text(its.available_minor), str(working),
        )  # fmt: skip
    surroundings.show(table)


@app.command
def show(vendor: str, *, most: int = 10, config: ConfigFile = None) -> None:
    """Show how a vendor stands, and what was last done about it.

    Parameters
    ----------
    vendor
        Its id.
    most
        How many acts to show.

    """

    async def work(db: Connection) -> tuple[Vendor, Float, list[audit_log.Act]]:
        acts = await audit_log.of_subject(db, accounts.subject(vendor), most=most)
        return await accounts.find(db, vendor), await floats.find(db, vendor), acts

    found, held, acts = surroundings.on_database(config, work)
    table = Table(show_header=False)
    for name, value in {
        "vendor": found.vendor_id,
        "name": escape(found.name),
        "status": found.status.value,
        "may call from": _places(found.addresses),
        "float": money_text(held.balance_minor),
        "credit limit": money_text(held.credit_limit_minor),
        "available": money_text(held.available_minor),
        "warning below": money_text(held.warning_minor) if held.warning_minor else "never",
        "since": _instant(found.created_at),
    }.items():
        table.add_row(name, value)
    surroundings.show(table)
    log = Table("act", "at (UTC)", "who", "what")
    log.add_column("facts", overflow="fold")
    for act in acts:
        log.add_row(str(act.number), _instant(act.at), escape(act.who), act.what, escape(act.facts))
    surroundings.show(log)


@app.command
def suspend(vendor: str, *, by: By, note: Note, config: ConfigFile = None) -> None:
    """Stop a vendor from selling; every server knows it within five seconds.

    Parameters
    ----------
    vendor
        Its id.

    """

    async def work(db: Connection) -> None:
        await accounts.suspend(db, vendor, note=note, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"{vendor} is suspended")


@app.command
def resume(vendor: str, *, by: By, note: Note, config: ConfigFile = None) -> None:
    """Let a suspended vendor sell again.

    Parameters
    ----------
    vendor
        Its id.

    """

    async def work(db: Connection) -> None:
        await accounts.resume(db, vendor, note=note, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"{vendor} may sell")


@app.command
def addresses(vendor: str, *places: str, by: By, config: ConfigFile = None) -> None:
    """Say where a vendor may call from.

    Parameters
    ----------
    vendor
        Its id.
    places
        Addresses or networks, all of them. None: from anywhere.

    """

    async def work(db: Connection) -> tuple[str, ...]:
        return await accounts.set_addresses(db, vendor, places, who=by, now=system_clock())

    console.print(f"{vendor} may call from {_places(surroundings.on_database(config, work))}")


def _places(texts: tuple[str, ...]) -> str:
    return ", ".join(texts) or "anywhere"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
