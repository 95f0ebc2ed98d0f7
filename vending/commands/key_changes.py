"""`vending meters change-keys`: order key changes, see those that wait, take them back."""

import csv
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.payments import COMMAND_NODE
from vending.commands.surroundings import By, ConfigFile, console
from vending.errors import Rejected
from vending.key_data import KeyData
from vending.meters.meter import MeterNumberMalformed, parse_meter_number
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.tokens import key_orders
from vending.tokens.key_orders import OpenOrder, Ordered, Wanted
from vending.tokens.keys import KeyStore

COLUMNS = frozenset({"meter_number", "sgc", "krn", "ti"})

SHOWN_MAX = 20
"""Refused meters that the terminal shows; all of them are in the file beside the list."""

Note = Annotated[str, Parameter(help="Why, for whoever asks later.")]


class KeyChangeListMalformed(Rejected):
    """The list of meters cannot be read.

    It is CSV with a header: meter_number, and sgc, krn, ti where they differ from meter to meter.
    `line` and `fault` say where it is wrong; nothing was ordered.
    """

    code = "key_change_list_malformed"


def change_keys(
    *meters: str,
    file: Path | None = None,
    sgc: str | None = None,
    krn: int | None = None,
    ti: int | None = None,
    by: By,
    note: Note,
    config: ConfigFile = None,
) -> None:
    """Order key changes: the codes go out with each meter's next sale, above its token.

    What is not named stays as the meter has it. The vending key that meters are to change to must
    be in the key store, as must the one they have.

    Parameters
    ----------
    meters
        Meter numbers, of 11, 13 or 18 digits.
    file
        A list of meters instead (CSV): meter_number and, where they differ, sgc, krn, ti.
    sgc
        The supply group to change to.
    krn
        The key revision to change to.
    ti
        The tariff index to change to.

    """
    given = Wanted(meter_number="", sgc=sgc, krn=krn, ti=ti)
    wanted = [_wanted({"meter_number": one}, given, line=0) for one in meters]
    if file is not None:
        wanted += _read(file, given)
    read = surroundings.settings(config)
    held = KeyStore(Path(read.keys.store)).descriptions()

    async def work(db: Connection) -> Ordered:
        return await key_orders.order(
            db, wanted, held=held, numbers=Numbers(system_clock, node=COMMAND_NODE), who=by,
            note=note, now=system_clock(),
        )  # fmt: skip

    _tell(surroundings.on_database(read, work), file)


def key_changes(*, most: int = 100, config: ConfigFile = None) -> None:
    """List the key changes that wait for their meter's next sale, oldest first.

    Parameters
    ----------
    most
        How many to show.

    """

    async def work(db: Connection) -> list[OpenOrder]:
        return await key_orders.open_ones(db, most=most)

    waiting = surroundings.on_database(config, work)
    if not waiting:
        console.print("no key change waits")
        return
    table = Table("meter", "from", "to", "ordered (UTC)", "by")
    for one in waiting:
        table.add_row(
            one.meter_number, _name(one.change.old), _name(one.change.new),
            f"{one.ordered_at:%Y-%m-%d %H:%M:%S}", escape(one.ordered_by),
        )  # fmt: skip
    surroundings.show(table)


def withdraw_key_changes(*meters: str, by: By, note: Note, config: ConfigFile = None) -> None:
    """Take back key changes that were ordered and have not gone out with a sale.

    Parameters
    ----------
    meters
        Meter numbers, of 11, 13 or 18 digits.

    """
    numbers = [parse_meter_number(one) for one in meters]

    async def work(db: Connection) -> list[str]:
        return await key_orders.withdraw(db, numbers, who=by, note=note, now=system_clock())

    taken = surroundings.on_database(config, work)
    for number in numbers:
        console.print(f"{number}: {'withdrawn' if number in taken else 'no key change was due'}")


def _read(file: Path, given: Wanted) -> list[Wanted]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="more")
            names = set(rows.fieldnames or ())
            if "meter_number" not in names or not names <= COLUMNS:
                raise KeyChangeListMalformed(line=1, fault="header")
            return [_wanted(row, given, line=rows.line_num) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise KeyChangeListMalformed(line=0, fault=type(fault).__name__) from None


def _wanted(row: dict[str, str], given: Wanted, *, line: int) -> Wanted:
    """Return a meter and its key; what its own row does not say is as `given`."""
    try:
        krn, ti = row.get("krn") or given.krn, row.get("ti") or given.ti
        wanted = Wanted(
            meter_number=parse_meter_number(row["meter_number"]),
            sgc=row.get("sgc") or given.sgc,
            krn=None if krn is None else int(krn),
            ti=None if ti is None else int(ti),
        )
    except MeterNumberMalformed:
        if not line:
            raise
        raise KeyChangeListMalformed(line=line, fault="meter_number") from None
    except (ValueError, TypeError):
        raise KeyChangeListMalformed(line=line, fault="krn or ti") from None
    if "more" in row or (wanted.ti is not None and not 0 <= wanted.ti <= 99):  # noqa: PLR2004
        raise KeyChangeListMalformed(line=line, fault="columns" if "more" in row else "ti")
    return wanted


def _tell(ordered: Ordered, file: Path | None) -> None:
    console.print(
        f"{len(ordered.taken)} meters change their key with their next sale, "
        f"{len(ordered.refused)} refused",
        soft_wrap=True,
    )
    if not ordered.refused:
        return
    table = Table("meter", "refused because")
    for number, reason in ordered.refused[:SHOWN_MAX]:
        table.add_row(number, reason)
    surroundings.show(table)
    if file is not None:
        refused = file.with_name(file.name + ".refused.csv")
        with refused.open("w", encoding="utf-8", newline="") as lines:
            rows = csv.writer(lines)
            rows.writerow(("meter_number", "reason"))
            rows.writerows(ordered.refused)
        console.print(f"refused meters and why: {refused}", soft_wrap=True)


def _name(key: KeyData) -> str:
    return f"{key.sgc} krn {key.krn} ti {key.ti:02d}"
