"""Who pays: a population of meters from a file, or the demo's own town.

A test never sends a real phone number: payers are made up and shown masked.
"""

import csv
import random
from pathlib import Path
from typing import NamedTuple

from vending.errors import Rejected
from vending.simulation import seed

CUSTOMERS_MAX = 200_000
"""More than any run needs and little memory; of a larger file a sample is drawn."""

SUMS_MINOR = (50_00, 100_00, 100_00, 200_00, 200_00, 300_00, 500_00, 500_00, 1_000_00, 2_000_00)
"""What people pay at a time, small sums more often."""

_COLUMN = "meter_number"


class MetersUnreadable(Rejected):
    """The file of meters for a load test cannot be read.

    Give a CSV file whose first line names its columns, one of them `meter_number`; with a `status`
    column only active meters are used. The file for `vending meters import` will do.
    """

    code = "meters_unreadable"


class Customer(NamedTuple):
    """Somebody who buys for a meter, and the sums (in cents) they choose from."""

    meter_number: str
    payer: str
    sums_minor: tuple[int, ...]


def of_the_demo() -> list[Customer]:
    """Return the demo town's households; each pays what its tariff lets buy energy."""
    chance = random.Random(seed.HOMES)
    return [
        Customer(
            home.meter_number,
            home.phones[0].removeprefix("+"),
            tuple(seed.amount_minor(home, chance) for _ in range(4)),
        )
        for home in seed.homes()
    ]


def read(path: Path, *, chance: random.Random) -> list[Customer]:
    """Return customers of the meters of a CSV file; raises MetersUnreadable."""
    kept: list[str] = []
    seen = 0
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if _COLUMN not in (rows.fieldnames or ()):
                raise MetersUnreadable(file=str(path), missing=_COLUMN)
            for row in rows:
                if (row.get("status") or "active") != "active" or not row[_COLUMN]:
                    continue
                seen += 1
                if len(kept) < CUSTOMERS_MAX:
                    kept.append(row[_COLUMN])
                elif (place := chance.randrange(seen)) < CUSTOMERS_MAX:
                    kept[place] = row[_COLUMN]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise MetersUnreadable(file=str(path), fault=str(fault)) from fault
    if not kept:
        raise MetersUnreadable(file=str(path), meters=0)
    return [
        Customer(number, f"2547{place % 10**8:08d}", SUMS_MINOR)
        for place, number in enumerate(kept)
    ]
