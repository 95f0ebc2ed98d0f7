"""What can be done with a client, written once for both: `Client` returns, `AsyncClient` awaits."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from vending.client import calls, steps
from vending.client.both import Pages, listing, method
from vending.client.calls import Call, Order
from vending.client.delivery import Terms
from vending.client.patience import Patience
from vending.client.steps import Story
from vending.client.values import (
    Attempt,
    Batch,
    BatchTotals,
    Commission,
    Delivery,
    Deposit,
    DisputedSale,
    Endpoint,
    Float,
    KeyedEndpoint,
    Meter,
    Quote,
    Sale,
    Statement,
    StatementLine,
    WithdrawnSale,
)

T = TypeVar("T")

PAGE = 200
OVERLAP_SECONDS = 86_400


class Methods:
    """Every operation of the vendors' API. Each raises a `NotDone` that says why not."""

    _terms: Terms

    @method
    def look_up(self, meter: str) -> Story[Meter]:
        """Return whether a meter can be sold to, whose it is, and at what price."""
        return self._do(calls.look_up(meter))

    @method
    def quote(
        self, meter: str, *, amount_minor: int | None = None, energy_wh: int | None = None
    ) -> Story[Quote]:
        """Return the exact receipt for a sum or a number of units; it stands for minutes."""
        return self._do(calls.make_quote(meter, amount_minor=amount_minor, energy_wh=energy_wh))

    @method
    def find_quote(self, name: str) -> Story[Quote]:
        """Return a quote that was made before, by its `quote`."""
        return self._do(calls.find_quote(name))

    @method
    def sell(  # noqa: PLR0913 -- the members of a sale
        self,
        reference: str,
        *,
        meter: str | None = None,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
        quote: str | None = None,
        outlet: str = "-",
        till: str = "-",
        confirm: bool = False,
        patience: Patience | None = None,
    ) -> Story[Sale]:
        """Sell a sum, a number of units or a quote, under your own reference; return the token.

        Store the reference before you call; to cancel the call takes nothing back. The same
        reference is the same sale for ever, so calling again with the same facts is always safe; it
        never sells twice. Raises Refused when nothing was sold, OutcomeUnknown when patience ran
        out before anybody could tell.
        """
        order = Order(
            reference=reference, meter=meter, quote=quote, amount_minor=amount_minor,
            energy_wh=energy_wh, outlet=outlet, till=till, confirm=confirm,
        )  # fmt: skip
        return steps.sold(order, self._terms.pace(patience))

    @method
    def find(self, reference: str, *, patience: Patience | None = None) -> Story[Sale]:
        """Return the truth about a sale; Refused with `sale_unknown` where nothing is known."""
        return self._truth(reference, bar=False, patience=patience)

    @method
    def settle(self, reference: str, *, patience: Patience | None = None) -> Story[Sale]:
        """Return a sale, or see to it that there is none: then Refused, `reference_barred`."""
        return self._truth(reference, bar=True, patience=patience)

    @method
    def reprint(self, reference: str) -> Story[Sale]:
        """Return the same digits again; print COPY and `copy` on it."""
        return self._do(calls.reprint(reference))

    @method
    def reverse(self, reference: str, *, reason: str) -> Story[WithdrawnSale | DisputedSale]:
        """Withdraw a sale that is not made; about one that is, open a dispute."""
        return self._do(calls.reverse(reference, reason=reason))

    @method
    def read_float(self) -> Story[Float]:
        """Return what can still be sold for."""
        return self._do(calls.read_float())

    @listing
    def statement(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Pages[StatementLine]:
        """Give every movement of the float, oldest first, page after page."""
        return lambda cursor: calls.read_statement(
            since=since, until=until, cursor=cursor, limit=PAGE
        )

    @method
    def statement_page(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Story[Statement]:
        """Return one page; the last one's `next` goes on another day without a gap."""
        return self._do(calls.read_statement(since=since, until=until, cursor=cursor, limit=limit))

    @listing
    def deposits(self) -> Pages[Deposit]:
        """Give every deposit, newest first."""
        return lambda cursor: calls.list_deposits(cursor=cursor, limit=PAGE)

    @method
    def deposit(self, name: str) -> Story[Deposit]:
        """Return one deposit."""
        return self._do(calls.find_deposit(name))

    @method
    def propose_deposit(
        self, *, bank: str, bank_reference: str, amount_minor: int, note: str = ""
    ) -> Story[Deposit]:
        """Say what was paid into the bank; the same slip again is the same deposit."""
        return self._do(
            calls.propose_deposit(
                bank=bank, bank_reference=bank_reference, amount_minor=amount_minor, note=note
            )
        )

    @listing
    def batches(self) -> Pages[Batch]:
        """Give every shift, newest first."""
        return lambda cursor: calls.list_batches(cursor=cursor, limit=PAGE)

    @method
    def batch(self, name: str) -> Story[BatchTotals]:
        """Return one shift with its totals."""
        return self._do(calls.find_batch(name))

    @method
    def open_batch(self, *, outlet: str, till: str = "-", clerk: str = "") -> Story[BatchTotals]:
        """Open a shift. After OutcomeUnknown, look at `batches`."""
        return self._do(calls.open_batch(outlet=outlet, till=till, clerk=clerk))

    @method
    def close_batch(self, name: str) -> Story[BatchTotals]:
        """Close a shift and return its totals; again, if need be."""
        return self._do(calls.close_batch(name))

    @method
    def commission(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Story[Commission]:
        """Return the rates, and what was earned: this month so far unless it is said."""
        return self._do(calls.read_commission(since=since, until=until))

    @method
    def endpoints(self) -> Story[list[Endpoint]]:
        """Return every webhook endpoint, oldest first."""
        return (yield from self._do(calls.list_endpoints())).endpoints

    @method
    def endpoint(self, name: str) -> Story[Endpoint]:
        """Return one webhook endpoint, by its `endpoint`."""
        return self._do(calls.find_endpoint(name))

    @method
    def add_endpoint(
        self,
        url: str,
        *,
        description: str = "",
        event_types: Sequence[str] = (),
        schemes: Sequence[str] = ("v1",),
    ) -> Story[KeyedEndpoint]:
        """Have events told at a URL: those of some types, or all. Store the `keys`.

        They verify deliveries and are never shown again. After OutcomeUnknown, look at `endpoints`.
        """
        return self._do(
            calls.add_endpoint(
                url, description=description, event_types=event_types, schemes=schemes
            )
        )

    @method
    def change_endpoint(
        self,
        name: str,
        *,
        url: str | None = None,
        description: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Story[Endpoint]:
        """Change what is given; `enabled=False` keeps events waiting."""
        return self._do(
            calls.change_endpoint(
                name, url=url, description=description, event_types=event_types, enabled=enabled
            )
        )

    @method
    def rotate_endpoint(
        self,
        name: str,
        *,
        schemes: Sequence[str] | None = None,
        overlap_seconds: int = OVERLAP_SECONDS,
    ) -> Story[KeyedEndpoint]:
        """Replace an endpoint's keys; for as long as the overlap the old ones sign as well.

        After OutcomeUnknown the new keys may be lost: rotate again once the overlap is over.
        """
        return self._do(
            calls.rotate_endpoint(name, schemes=schemes, overlap_seconds=overlap_seconds)
        )

    @method
    def remove_endpoint(self, name: str) -> Story[None]:
        """Delete an endpoint; what waits for it is never sent."""
        yield from self._do(calls.find_endpoint(name))  # a name that is none is refused here
        yield from self._do(calls.remove_endpoint(name))

    @listing
    def deliveries(self, name: str, *, state: str | None = None) -> Pages[Delivery]:
        """Give the deliveries to an endpoint, newest event first: all, or those that stand so."""
        return lambda cursor: calls.list_deliveries(name, state=state, cursor=cursor, limit=PAGE)

    @method
    def attempts(self, name: str, event: str) -> Story[list[Attempt]]:
        """Return every try to tell an event at an endpoint, first to last."""
        return (yield from self._do(calls.list_attempts(name, event))).attempts

    @method
    def replay_event(self, name: str, event: str) -> Story[None]:
        """Have one event told at an endpoint again."""
        yield from self._do(calls.replay_event(name, event))

    @method
    def replay(
        self, name: str, *, since: datetime, until: datetime, delivered: bool = False
    ) -> Story[int]:
        """Have told again what happened from `since` to before `until`; return how many events.

        Those that have arrived are left out unless `delivered`.
        """
        count, cursor = 0, None
        while True:
            asked = calls.replay(name, since=since, until=until, delivered=delivered, cursor=cursor)
            told = yield from self._do(asked)
            count, cursor = count + told.count, told.next
            if cursor is None:
                return count

    @method
    def send_test(self, name: str) -> Story[str]:
        """Have a test event told at an endpoint; return its name, its `webhook-id`."""
        return (yield from self._do(calls.send_test(name))).event

    def _truth(self, reference: str, *, bar: bool, patience: Patience | None) -> Story[Sale]:
        asked = calls.find_sale(reference, bar=bar)
        return steps.told_of(asked, self._terms.pace(patience), reference=reference)

    def _do(self, call: Call[T]) -> Story[T]:
        return steps.done(call, self._terms.pace(None))
