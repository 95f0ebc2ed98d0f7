"""Deposits as two people make them."""

from itertools import count

from tests.conftest import SettableClock
from vending.postgres.pool import Connection
from vending.vendors import deposits
from vending.vendors.deposits import Deposit, Slip

_numbers = count(1)


def a_slip(vendor_id: str = "acme", **facts: object) -> Slip:
    """Return what is said of a deposit of KSh 10 000."""
    given: dict[str, object] = {
        "vendor_id": vendor_id,
        "bank": "kcb",
        "bank_reference": f"FT{next(_numbers):06d}",
        "amount_minor": 1_000_000,
    }
    return Slip(**(given | facts))  # type: ignore[arg-type]


async def a_deposit(
    db: Connection, clock: SettableClock, vendor_id: str = "acme", **facts: object
) -> Deposit:
    """Propose a deposit and confirm it, as two people."""
    number = 10_000 + next(_numbers)
    await deposits.propose(
        db, a_slip(vendor_id, **facts), deposit_id=number, who="Jane", now=clock()
    )
    return await deposits.confirm(
        db, number, entry_id=lambda: 20_000 + next(_numbers), who="Otieno", now=clock()
    )
