"""Ordering key changes in tests, and the meter that judges what came of it."""

from datetime import datetime

import sts_core

from tests.builders import SGC
from tests.offices import a_ring
from vending.clock import system_clock
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.tokens import key_orders
from vending.tokens.key_orders import Wanted
from vending.tokens.keys import Description

HELD = Description(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255)


async def to_index(db: Connection, meter_number: str, ti: int, *, now: datetime) -> None:
    """Order that a meter's tariff index, and so its key, changes with its next sale."""
    ordered = await key_orders.order(
        db, [Wanted(meter_number=meter_number, ti=ti)], held=[HELD],
        numbers=Numbers(system_clock, node=9), who="Achieng", note="a new index", now=now,
    )  # fmt: skip
    assert ordered.taken == [meter_number]


def takes(meter_number: str, *digits: str, ti: int = 1) -> list[str]:
    """Return what a meter that still has its first key makes of digits, keyed in in order."""
    judge = sts_core.VirtualMeter.commission(
        a_ring(), meter=meter_number, ea=7, sgc=SGC, krn=1, ti=ti
    )
    return [judge.enter(one).result for one in digits]
