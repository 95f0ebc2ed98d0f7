"""A vendor, its float, and whoever signs for it."""

from collections.abc import Callable
from itertools import count

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import accounts, deposits
from vending.vendors.deposits import Deposit, Slip
from vending.vendors.seals import Seals
from vending.vendors.vendor import Vendor

SECRET = "a secret of thirty-two characters"

_numbers = count(1)

NextNumber = Callable[[], int]


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


@pytest.fixture
def seals() -> Seals:
    return Seals(SECRET)


@pytest.fixture
async def app(database: Database) -> Connection:
    """Connect as the server's own role, which may do no more than it was granted."""
    return await pool.connect(database.dsn)


@pytest.fixture
async def acme(app: Connection, clock: SettableClock) -> Vendor:
    return await accounts.add(app, "acme", name="Acme Airtime", who="Jane", now=clock())
