"""What the sandbox remembers: in memory, the latest of each vendor, until the server stops."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from vending.errors import Refused
from vending.selling.disputes import Dispute
from vending.selling.quotes import Quoted
from vending.selling.sale import Sale

SALES_MAX = 1_000
"""References remembered of a vendor: days of a developer's work, and two megabytes."""

QUOTES_MAX = 1_000


@dataclass(slots=True)
class Kept:
    """What is known of a reference: a sale, the last refusal, or that it is barred."""

    sale: Sale | None = None
    ready_at: datetime | None = None
    """When a slow sale is made; None once it is."""
    refused: Refused | None = None
    barred: bool = False
    tried: bool = False
    """Whether it was asked for while everything was down."""
    dispute: Dispute | None = None


@dataclass(slots=True)
class World:
    """One vendor's sandbox."""

    sales: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    quotes: OrderedDict[int, Quoted] = field(default_factory=OrderedDict)

    def keep(self, reference: str) -> Kept:
        """Return what is known of a reference, to be written to; the oldest is forgotten for it."""
        kept = self.sales.get(reference)
        if kept is None:
            kept = self.sales[reference] = Kept()
            if len(self.sales) > SALES_MAX:
                self.sales.popitem(last=False)
        return kept

    def promise(self, quoted: Quoted) -> None:
        """Remember a quote; the oldest is forgotten for it."""
        self.quotes[quoted.quote_id] = quoted
        if len(self.quotes) > QUOTES_MAX:
            self.quotes.popitem(last=False)


class Worlds:
    """The worlds of all vendors: one for each that the register knows, which is tens."""

    def __init__(self) -> None:
        self._worlds: dict[str, World] = {}

    def of(self, vendor_id: str) -> World:
        """Return a vendor's world, which nobody else sees."""
        return self._worlds.setdefault(vendor_id, World())
