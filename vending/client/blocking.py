"""The client that blocks: for tills, scripts and servers with threads."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from vending.client import calls, steps
from vending.client.access import ApiKey, ClientSecret, Purse
from vending.client.calls import Call, Order
from vending.client.delivery import Terms, address
from vending.client.patience import Pace, Patience
from vending.client.problems import NotDone
from vending.client.steps import Authorize, Request, Rest, Story
from vending.client.values import (
    Batch,
    BatchTotals,
    Commission,
    Deposit,
    DisputedSale,
    Float,
    Meter,
    Quote,
    Sale,
    Statement,
    StatementLine,
    WithdrawnSale,
)
from vending.client.wires import Wires

T = TypeVar("T")

PAGE = 200


class Client:
    """Sells for one vendor. May be shared by threads; close it, or use it in a `with`.

    Every method raises a `NotDone` that says why not. `patience` bounds each call as a whole.
    """

    def __init__(
        self,
        url: str,
        access: ApiKey | ClientSecret,
        *,
        patience: Patience | None = None,
        plain: bool = False,
        context: ssl.SSLContext | None = None,
        rest: Callable[[float], None] = time.sleep,
        **steady: Callable[[], float],
    ) -> None:
        """Name a server and a credential; `steady` may name `seconds` and `chance` of Terms."""
        where = address(url, plain=plain)
        self._terms = Terms(url=where, access=access, patience=patience or Patience(), **steady)
        self._wires = Wires(where, context=context)
        self._purse = Purse()
        self._fetching = threading.Lock()
        self._rest = rest

    def __repr__(self) -> str:
        return f"Client({self._terms.url!r}, {self._terms.access!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wires.close()

    def look_up(self, meter: str) -> Meter:
        """Return whether a meter can be sold to, whose it is, and at what price."""
        return self._do(calls.look_up(meter))

    def quote(
        self, meter: str, *, amount_minor: int | None = None, energy_wh: int | None = None
    ) -> Quote:
        """Return the exact receipt for a sum or a number of units; it stands for minutes."""
        return self._do(calls.make_quote(meter, amount_minor=amount_minor, energy_wh=energy_wh))

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
    ) -> Sale:
        """Sell a sum, a number of units or a quote, under your own reference; return the token.

        Store the reference before you call. The same reference is the same sale for ever, so
        calling again with the same facts is always safe; it never sells twice. Raises Refused when
        nothing was sold, OutcomeUnknown when patience ran out before anybody could tell.
        """
        order = Order(
            reference=reference, meter=meter, quote=quote, amount_minor=amount_minor,
            energy_wh=energy_wh, outlet=outlet, till=till, confirm=confirm,
        )  # fmt: skip
        pace = self._terms.pace(patience)
        return self._run(steps.sold(order, pace))

    def find(self, reference: str, *, patience: Patience | None = None) -> Sale:
        """Return the truth about a sale; Refused with `sale_unknown` where nothing is known."""
        return self._truth(reference, bar=False, patience=patience)

    def settle(self, reference: str, *, patience: Patience | None = None) -> Sale:
        """Return a sale, or see to it that there is none: then Refused, `reference_barred`."""
        return self._truth(reference, bar=True, patience=patience)

    def reprint(self, reference: str) -> Sale:
        """Return the same digits again; print COPY and `copy` on it."""
        return self._do(calls.reprint(reference))

    def reverse(self, reference: str, *, reason: str) -> WithdrawnSale | DisputedSale:
        """Withdraw a sale that is not made; about one that is, open a dispute."""
        return self._do(calls.reverse(reference, reason=reason))

    def read_float(self) -> Float:
        """Return what can still be sold for."""
        return self._do(calls.read_float())

    def statement(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[StatementLine]:
        """Give every movement of the float, oldest first, page after page."""
        cursor: str | None = None
        while True:
            page = self.statement_page(since=since, until=until, cursor=cursor, limit=PAGE)
            yield from page.lines
            if not page.more:
                return
            cursor = page.next

    def statement_page(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Statement:
        """Return one page; the last one's `next` goes on another day without a gap."""
        asked = calls.read_statement(since=since, until=until, cursor=cursor, limit=limit)
        return self._do(asked)

    def deposits(self) -> Iterator[Deposit]:
        """Give every deposit, newest first."""
        cursor: str | None = None
        while True:
            page = self._do(calls.list_deposits(cursor=cursor, limit=PAGE))
            yield from page.deposits
            if page.next is None:
                return
            cursor = page.next

    def deposit(self, name: str) -> Deposit:
        """Return one deposit."""
        return self._do(calls.find_deposit(name))

    def propose_deposit(
        self, *, bank: str, bank_reference: str, amount_minor: int, note: str = ""
    ) -> Deposit:
        """Say what was paid into the bank; the same slip again is the same deposit."""
        return self._do(
            calls.propose_deposit(
                bank=bank, bank_reference=bank_reference, amount_minor=amount_minor, note=note
            )
        )

    def batches(self) -> Iterator[Batch]:
        """Give every shift, newest first."""
        cursor: str | None = None
        while True:
            page = self._do(calls.list_batches(cursor=cursor, limit=PAGE))
            yield from page.batches
            if page.next is None:
                return
            cursor = page.next

    def batch(self, name: str) -> BatchTotals:
        """Return one shift with its totals."""
        return self._do(calls.find_batch(name))

    def open_batch(self, *, outlet: str, till: str = "-", clerk: str = "") -> BatchTotals:
        """Open a shift. After OutcomeUnknown, look at `batches`."""
        return self._do(calls.open_batch(outlet=outlet, till=till, clerk=clerk))

    def close_batch(self, name: str) -> BatchTotals:
        """Close a shift and return its totals; again, if need be."""
        return self._do(calls.close_batch(name))

    def commission(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Commission:
        """Return the rates, and what was earned: this month so far unless it is said."""
        return self._do(calls.read_commission(since=since, until=until))

    def _truth(self, reference: str, *, bar: bool, patience: Patience | None) -> Sale:
        pace = self._terms.pace(patience)
        asked = calls.find_sale(reference, bar=bar)
        return self._run(steps.told_of(asked, pace, reference=reference))

    def _do(self, call: Call[T]) -> T:
        return self._run(steps.done(call, self._terms.pace(None)))

    def _run(self, story: Story[T]) -> T:
        came: Any = None
        try:
            while True:
                step = story.send(came)
                match step:
                    case Request():
                        came = self._wires.send(step, at=self._terms.seconds())
                    case Authorize():
                        came = self._bearer(step)
                    case Rest():
                        came = None
                        self._rest(step.seconds)
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    def _bearer(self, step: Authorize) -> str | NotDone:
        access = self._terms.access
        if isinstance(access, ApiKey):
            return access.bearer
        with self._fetching:
            held = self._purse.good(at=self._terms.seconds(), stale=step.stale)
            return held or self._fetched(access, step.pace)

    def _fetched(self, access: ClientSecret, pace: Pace) -> str | NotDone:
        try:
            granted = self._run(steps.fetched(access, pace))
        except NotDone as fault:
            return fault
        return self._purse.put(granted, at=self._terms.seconds())
