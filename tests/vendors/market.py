"""A market: a lane that vends on a real database, and vendors who sell on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.builders import a_payment
from tests.test_pipeline import Diary
from tests.vendors.deposited import a_deposit
from tests.yard import Lane, Yard
from vending.ledger.journal import trial_balance
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.postgres.pool import Connection
from vending.vendors import floats

KSH = 100
PRICE = 500 * KSH
"""What `a_payment` pays."""


class Market:
    """A lane that vends, and vendors who sell on it."""

    def __init__(self, yard: Yard, lane: Lane, diary: Diary, app: Connection) -> None:
        self.yard = yard
        self.lane = lane
        self.diary = diary
        self.app = app

    async def sells(self, meter: str, *, vendor_id: str = "acme", **facts: object) -> Outcome:
        return await self.lane.sequencer.sell(a_sale(meter, vendor_id=vendor_id, **facts))

    async def deposit(self, minor: int, vendor_id: str = "acme") -> None:
        await a_deposit(self.app, self.yard.clock, vendor_id, amount_minor=minor)

    async def balance(self, vendor_id: str = "acme") -> int:
        """Return a float's balance, which is the ledger's."""
        found = (await floats.find(self.app, vendor_id)).balance_minor
        assert -(await trial_balance(self.app)).get(f"float:{vendor_id}", 0) == found
        return found

    async def tokens(self) -> int:
        count: int = await self.yard.db.fetchval("select count(token) from outcome")
        return count

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold what is being written, by a lock on the lease that it must move."""
        async with self.yard.db.transaction():
            await self.yard.db.execute("select from sequencer_lease for update")
            yield


def a_sale(meter: str, *, vendor_id: str = "acme", **facts: object) -> Payment:
    """Return a direct sale of KSh 500 at an outlet, its reference new unless it is given."""
    given = {"operator": f"vendor:{vendor_id}", "short_code": "Kisumu-1"} | facts
    return a_payment(account_reference=meter, **given)  # type: ignore[arg-type]
