"""What selling to vendors is, whoever does it: the counter for money, the sandbox for play."""

from typing import Protocol

from vending.selling.disputes import Dispute
from vending.selling.prices import LookUp
from vending.selling.quotes import Quoted
from vending.selling.sale import Pending, Sale, SaleAsked, Withdrawn


class Selling(Protocol):
    """What vendors can ask about meters and sales; `vending.selling.counter.Counter` says more."""

    async def look_up(self, meter: str) -> LookUp:
        """Return what a vendor may know of a meter."""
        ...

    async def quote(
        self,
        vendor_id: str,
        meter: str,
        *,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
    ) -> Quoted:
        """Promise what a meter gets for a sum, or the smallest sum for at least some energy."""
        ...

    async def quoted(self, vendor_id: str, quote_id: int) -> Quoted:
        """Return a vendor's quote, expired or not."""
        ...

    async def sell(self, asked: SaleAsked, *, wait_seconds: float) -> Sale | Pending:
        """Make a sale, or return the one there is; after so many seconds it is pending."""
        ...

    async def find(self, vendor_id: str, reference: str) -> Sale | Pending:
        """Return what became of a sale."""
        ...

    async def settle(
        self, vendor_id: str, reference: str, *, wait_seconds: float
    ) -> Sale | Pending:
        """Return the sale under a reference, or bar that for ever."""
        ...

    async def reverse(
        self, vendor_id: str, reference: str, *, reason: str, who: str, wait_seconds: float
    ) -> Withdrawn | Dispute:
        """Withdraw a sale that is not made yet, or open a dispute about one that is."""
        ...

    async def reprint(self, vendor_id: str, reference: str, *, who: str) -> Sale:
        """Return a sale once more, as a copy that is counted."""
        ...
