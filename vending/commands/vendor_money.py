"""`vending vendors deposit|limit|warning|commission|statement`: vendors' money with us."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import cyclopts
from rich.markup import escape
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.payments import COMMAND_NODE
from vending.commands.surroundings import By, ConfigFile, console
from vending.errors import Rejected
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.quantities import money_text
from vending.vendors import accounts, commission, deposits, floats, statements
from vending.vendors.commission import Band, RateTable
from vending.vendors.deposits import Deposit, Slip
from vending.vendors.floats import Float
from vending.vendors.statements import Line
from vending.vendors.vendor import PRODUCT

deposit = cyclopts.App(name="deposit", help="Money vendors paid in: proposed, then confirmed.")
commission_rates = cyclopts.App(name="commission", help="What vendors earn on their sales.")


_MONEY = re.compile(r"(\d{1,13})(?:\.(\d{2}))?", re.ASCII)
_BAND = re.compile(
    r"(?P<start>[\d.]+):(?P<percent>\d{1,3})(?:\.(?P<parts>\d{1,4}))?(?:\+(?P<fixed>[\d.]+))?",
    re.ASCII,
)
_PARTS = 4
"""Decimals of a percentage: a millionth of the tender is the finest rate."""


class SumMalformed(Rejected):
    """A sum of money is written as 1500 or 1500.00, without a sign or thousands marks."""

    code = "sum_malformed"


class BandMalformed(Rejected):
    """A band of commission is written as FROM:PERCENT or FROM:PERCENT+FIXED.

    0:2 is two percent of every sale; 1000:1.5+5.00 is one and a half percent and five shillings
    of sales from 1000.00 on.
    """

    code = "band_malformed"


class DayMalformed(Rejected):
    """A day is written as 2026-11-22."""

    code = "day_malformed"


@deposit.command
def propose(
    vendor: str,
    bank: str,
    reference: str,
    amount: str,
    *,
    by: By,
    note: str = "",
    config: ConfigFile = None,
) -> None:
    """Write down that a vendor paid in; it counts when another person has confirmed it.

    Parameters
    ----------
    vendor
        The vendor's id.
    bank
        Which account of ours it came to: a short name, such as kcb.
    reference
        The bank's own reference; the same one never counts twice.
    amount
        How much, such as 250000.00.
    note
        For whoever checks it.

    """
    slip = Slip(
        vendor_id=vendor, bank=bank, bank_reference=reference, amount_minor=sum_of(amount),
        note=note,
    )  # fmt: skip
    number = Numbers(system_clock, node=COMMAND_NODE).next()

    async def work(db: Connection) -> Deposit:
        return await deposits.propose(db, slip, deposit_id=number, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"deposit {number} is proposed; another person confirms it", soft_wrap=True)


@deposit.command
def confirm(number: int, *, by: By, config: ConfigFile = None) -> None:
    """Let a deposit count, after a look at the bank's own statement.

    Parameters
    ----------
    number
        The deposit's number, as the list shows it.

    """
    entries = Numbers(system_clock, node=COMMAND_NODE)

    async def work(db: Connection) -> tuple[Deposit, Float]:
        done = await deposits.confirm(db, number, entry_id=entries.next, who=by, now=system_clock())
        return done, await floats.find(db, done.vendor_id)

    done, held = surroundings.on_database(config, work)
    console.print(
        f"{money_text(done.amount_minor)} is in the float of {done.vendor_id}, "
        f"which is {money_text(held.balance_minor)} now",
        soft_wrap=True,
    )


@deposit.command
def reject(number: int, *, by: By, note: str, config: ConfigFile = None) -> None:
    """Say that a deposit does not count; its bank reference may be proposed again.

    Parameters
    ----------
    number
        The deposit's number, as the list shows it.
    note
        Why, for whoever asks later.

    """

    async def work(db: Connection) -> None:
        await deposits.reject(db, number, note=note, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"deposit {number} is rejected")


@deposit.command(name="list")
def list_deposits(vendor: str = "", *, most: int = 50, config: ConfigFile = None) -> None:
    """List a vendor's deposits, newest first, or those of all vendors that wait to be checked.

    Parameters
    ----------
    vendor
        The vendor's id; none: what waits.
    most
        How many to show.

    """

    async def work(db: Connection) -> list[Deposit]:
        if not vendor:
            return await deposits.waiting(db, most=most)
        await accounts.find(db, vendor)
        return await deposits.of_vendor(db, vendor, most=most)

    found = surroundings.on_database(config, work)
    if not found:
        console.print("no deposit waits" if not vendor else f"{vendor} has paid nothing in")
        return
    table = Table("number", "vendor", "bank", "reference")
    table.add_column("amount", justify="right")
    for heading in ("status", "proposed by", "at (UTC)", "settled by", "note"):
        table.add_column(heading)
    for one in found:
        table.add_row(
            str(one.deposit_id), one.vendor_id, one.bank, escape(one.bank_reference),
            money_text(one.amount_minor), one.status.value, escape(one.proposed_by),
            f"{one.proposed_at:%Y-%m-%d %H:%M}", escape(one.settled_by or ""), escape(one.note),
        )  # fmt: skip
    surroundings.show(table)


def limit(vendor: str, amount: str, *, by: By, note: str, config: ConfigFile = None) -> None:
    """Say how far below nothing a vendor's float may go.

    Parameters
    ----------
    vendor
        The vendor's id.
    amount
        How far, such as 50000.00; 0: no credit.
    note
        Why, for whoever asks later.

    """
    minor = sum_of(amount)

    async def work(db: Connection) -> Float:
        await floats.set_limit(db, vendor, limit_minor=minor, note=note, who=by, now=system_clock())
        return await floats.find(db, vendor)

    held = surroundings.on_database(config, work)
    console.print(f"{vendor} can sell for {money_text(held.available_minor)} now")


def warning(vendor: str, amount: str, *, by: By, note: str, config: ConfigFile = None) -> None:
    """Say below what a vendor is told that its float is low: its webhooks hear `float.low`.

    Parameters
    ----------
    vendor
        The vendor's id.
    amount
        Of what it can still sell for, such as 50000.00; 0: it is not told.
    note
        Why, for whoever asks later.

    """
    minor = sum_of(amount)

    async def work(db: Connection) -> Float:
        await floats.set_warning(
            db, vendor, warning_minor=minor, note=note, who=by, now=system_clock()
        )
        return await floats.find(db, vendor)

    held = surroundings.on_database(config, work)
    told = f"is told below {money_text(minor)}" if minor else "is not told"
    console.print(
        f"{vendor} {told}; it can sell for {money_text(held.available_minor)} now", soft_wrap=True
    )


def statement(vendor: str, *, most: int = 50, config: ConfigFile = None) -> None:
    """Show the latest movements of a vendor's float, as the ledger has them.

    Parameters
    ----------
    vendor
        The vendor's id.
    most
        How many to show.

    """

    async def work(db: Connection) -> tuple[list[Line], Float]:
        held = await floats.find(db, vendor)
        return await statements.latest(db, vendor, most=most), held

    lines, held = surroundings.on_database(config, work)
    table = Table("booked (UTC)", "kind", "reference", "point of sale", "meter")
    for heading in ("in", "out"):
        table.add_column(heading, justify="right")
    for one in lines:
        moved = money_text(abs(one.amount_minor))
        table.add_row(
            f"{one.booked_at:%Y-%m-%d %H:%M:%S}", one.kind, escape(one.reference),
            escape(one.point_of_sale), escape(one.meter),
            *((moved, "") if one.amount_minor > 0 else ("", moved)),
        )  # fmt: skip
    surroundings.show(table)
    console.print(
        f"float {money_text(held.balance_minor)}, credit limit "
        f"{money_text(held.credit_limit_minor)}, available {money_text(held.available_minor)}",
        soft_wrap=True,
    )


@commission_rates.command(name="set")
def set_(
    vendor: str,
    *bands: str,
    product: str = PRODUCT,
    since: str = "",
    by: By,
    config: ConfigFile = None,
) -> None:
    """Set what a vendor earns from a day on; the rates before it stand until then.

    Parameters
    ----------
    vendor
        The vendor's id.
    bands
        FROM:PERCENT or FROM:PERCENT+FIXED, such as 0:2 and 1000:1.5+5.00.
    product
        What is sold.
    since
        The first day, in the utility's time zone, such as 2026-12-01; tomorrow unless given.

    """
    read = surroundings.settings(config)
    table, begins = [band_of(text) for text in bands], _day(since, read.utility.time_zone)

    async def work(db: Connection) -> RateTable:
        return await commission.add(
            db, vendor, product=product, effective_from=begins, bands=table, who=by,
            now=system_clock(),
        )  # fmt: skip

    surroundings.on_database(read, work)
    console.print(f"{vendor} earns by these rates from {begins:%Y-%m-%d %H:%M %Z} on")


@commission_rates.command(name="list")
def list_rates(vendor: str, *, config: ConfigFile = None) -> None:
    """List a vendor's rates, oldest first.

    Parameters
    ----------
    vendor
        The vendor's id.

    """

    async def work(db: Connection) -> list[RateTable]:
        await accounts.find(db, vendor)
        return await commission.read(db, [vendor])

    found = surroundings.on_database(config, work)
    if not found:
        console.print(f"{vendor} earns no commission")
        return
    table = Table("product", "from (UTC)")
    for heading in ("sales from", "percent", "and"):
        table.add_column(heading, justify="right")
    for rates in found:
        for band in rates.bands:
            table.add_row(
                rates.product, f"{rates.effective_from:%Y-%m-%d %H:%M}",
                money_text(band.from_minor), _percent_text(band.rate_ppm),
                money_text(band.fixed_minor),
            )  # fmt: skip
    surroundings.show(table)


def sum_of(text: str) -> int:
    """Return a sum of money in cents. Raises SumMalformed."""
    found = _MONEY.fullmatch(text)
    if not found:
        raise SumMalformed(given=text[:32])
    return int(found[1]) * 100 + int(found[2] or 0)


def band_of(text: str) -> Band:
    """Return a band as it is written on the command line. Raises BandMalformed, SumMalformed."""
    found = _BAND.fullmatch(text)
    if not found:
        raise BandMalformed(given=text[:32])
    parts = int((found["parts"] or "").ljust(_PARTS, "0"))
    return Band(
        from_minor=sum_of(found["start"]),
        rate_ppm=int(found["percent"]) * 10**_PARTS + parts,
        fixed_minor=sum_of(found["fixed"] or "0"),
    )


def _percent_text(rate_ppm: int) -> str:
    return f"{rate_ppm // 10**_PARTS}.{rate_ppm % 10**_PARTS:04d}".rstrip("0").rstrip(".")


def _day(text: str, zone: str) -> datetime:
    """Return the first instant of a day in a time zone; tomorrow's for no text."""
    today = system_clock().astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    try:
        day = datetime.strptime(text, "%Y-%m-%d") if text else today + timedelta(days=1)  # noqa: DTZ007 -- its zone is put on below
    except ValueError:
        raise DayMalformed(given=text[:32]) from None
    return day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=ZoneInfo(zone))
