"""`vending vendors disputes`: sales that vendors want undone although their tokens are out."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import By, ConfigFile, console
from vending.postgres.pool import Connection
from vending.quantities import money_text
from vending.selling import disputes
from vending.selling.disputes import Dispute

app = cyclopts.App(name="disputes", help="Sales that vendors want undone: a person decides.")

Resolution = Annotated[str, Parameter(help="What was decided, and why.")]


@app.command(name="list")
def list_(*, most: int = 100, config: ConfigFile = None) -> None:
    """List the disputes that wait for a person, oldest first.

    Parameters
    ----------
    most
        How many to show.

    """

    async def work(db: Connection) -> list[Dispute]:
        return await disputes.unsettled(db, most=most)

    open_ones = surroundings.on_database(config, work)
    if not open_ones:
        console.print("no dispute waits")
        return
    table = Table("dispute", "since (UTC)", "vendor", "reference", "meter")
    table.add_column("amount", justify="right")
    table.add_column("reason", overflow="fold")
    for one in open_ones:
        table.add_row(
            str(one.dispute_id), f"{one.opened_at:%Y-%m-%d %H:%M:%S}", one.vendor_id,
            escape(one.reference), one.meter_number, money_text(one.amount_minor),
            escape(one.reason),
        )  # fmt: skip
    surroundings.show(table)


@app.command
def settle(dispute: int, *, by: By, resolution: Resolution, config: ConfigFile = None) -> None:
    """Write down what was decided about a dispute; the vendor is told when it asks again.

    No money moves by this: pay what is due back as a deposit.

    Parameters
    ----------
    dispute
        Its number.

    """

    async def work(db: Connection) -> Dispute:
        return await disputes.settle(db, dispute, resolution=resolution, who=by, now=system_clock())

    settled = surroundings.on_database(config, work)
    console.print(f"the dispute about {escape(settled.reference)} is settled")
