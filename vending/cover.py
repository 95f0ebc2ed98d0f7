"""What covers the sales of vendors in a batch: their floats, as read and as they run down.

The float is a row that deposits move as well, at any time. So a batch writes by how much it moves
each one, not what is left, and the table's own check refuses it when the money has gone meanwhile;
then the whole batch is decided again. What the batch in flight draws is taken off what was read,
unless the row already names that batch as its last.
"""

from collections.abc import Iterable, Mapping

from vending.claims import Claim
from vending.in_flight import InFlight
from vending.ledger.entry import Posting
from vending.payments.payment import Payment
from vending.postgres.pool import Session
from vending.vendors import commission, floats
from vending.vendors.commission import Rates
from vending.vendors.floats import FloatInsufficient
from vending.vendors.vendor import VendorSuspended, vendor_of


class Cover:
    """How much each vendor of a batch may still sell for; `drawn` is what the batch takes.

    `told` are the vendors that want to hear of their sales, `suspended` those that may not sell:
    they may have been let in before they were.
    """

    def __init__(
        self,
        available: Mapping[str, int],
        rates: Rates,
        told: frozenset[str] = frozenset(),
        suspended: frozenset[str] = frozenset(),
    ) -> None:
        self._available = available
        self._rates = rates
        self._suspended = suspended
        self.told = told
        self.drawn: dict[str, int] = {}

    def afresh(self) -> "Cover":
        """Return the cover as it was read, before any sale."""
        return Cover(self._available, self._rates, self.told, self._suspended)

    def require(self, payment: Payment) -> None:
        """Raise VendorSuspended or FloatInsufficient unless a payment's vendor may make it."""
        vendor_id = vendor_of(payment.notice.operator)
        if vendor_id is not None:
            if vendor_id in self._suspended:
                raise VendorSuspended(vendor_id=vendor_id)
            left = self._available.get(vendor_id, 0) - self.drawn.get(vendor_id, 0)
            if payment.notice.amount_minor > left:
                raise FloatInsufficient(vendor_id=vendor_id)

    def draw(self, payment: Payment) -> None:
        """Take a sale off its vendor's float."""
        vendor_id = vendor_of(payment.notice.operator)
        if vendor_id is not None:
            drawn = self.drawn.get(vendor_id, 0)
            self.drawn[vendor_id] = drawn + payment.notice.amount_minor

    def commission(self, payment: Payment) -> tuple[Posting, ...]:
        """Return what a vendor's sale earns it, as postings; nothing for anybody else's."""
        vendor_id = vendor_of(payment.notice.operator)
        if vendor_id is None:
            return ()
        return self._rates.postings(
            vendor_id,
            payment.product,
            tender_minor=payment.notice.amount_minor,
            at=payment.received_at,
        )


async def read(db: Session, claims: Iterable[Claim], *, in_flight: InFlight) -> Cover:
    """Return the cover of a batch: nothing is read when no vendor sells in it."""
    vendors = {vendor_of(one.payment.notice.operator) for one in claims} - {None}
    if not vendors:
        return Cover({}, Rates())
    ids = sorted(filter(None, vendors))
    found = await floats.read(db, ids)
    rates = Rates(await commission.read(db, ids))
    available = {}
    for vendor_id, held in found.items():
        seen = held.last_batch == in_flight.batch
        flying = 0 if seen else in_flight.drawn.get(vendor_id, 0)
        available[vendor_id] = held.available_minor - flying
    told = frozenset(vendor_id for vendor_id, held in found.items() if held.told)
    suspended = frozenset(vendor_id for vendor_id, held in found.items() if held.suspended)
    return Cover(available, rates, told, suspended)
