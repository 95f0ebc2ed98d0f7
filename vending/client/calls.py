"""What can be asked: each call as bytes to send, and as the values its answers are read as."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from vending.client.values import (
    BatchList,
    BatchTotals,
    Commission,
    Deposit,
    DepositList,
    DisputedSale,
    Float,
    Meter,
    PendingSale,
    Quote,
    Sale,
    Statement,
    WithdrawnSale,
)

T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One call. `answers` are the statuses that are no refusal, and what each is read as.

    `repeatable` says that the same call twice does no more than once, so that a lost answer may be
    asked for again. `held` says that the server may wait with the answer.
    """

    method: str
    path: str
    answers: dict[int, Any]
    body: bytes = b""
    repeatable: bool = True
    held: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be sold (NewSale)."""

    reference: str
    meter: str | None = None
    quote: str | None = None
    amount_minor: int | None = None
    energy_wh: int | None = None
    outlet: str = "-"
    till: str = "-"
    confirm: bool = False

    def fits(self, sale: Sale) -> bool:
        """Return whether a sale is plainly this order's; where it is not plain, say no."""
        return (
            self.meter == sale.meter
            and self.amount_minor == sale.amount_minor
            and (self.outlet, self.till) == (sale.outlet, sale.till)
        )


def look_up(meter: str) -> Call[Meter]:
    """Ask for a meter."""
    return Call(method="GET", path=f"/v1/meters/{_part(meter)}", answers={200: Meter})


def make_quote(meter: str, *, amount_minor: int | None, energy_wh: int | None) -> Call[Quote]:
    """Ask for a price; a second one beside it does no harm."""
    body = _json(meter=meter, amount_minor=amount_minor, energy_wh=energy_wh)
    return Call(method="POST", path="/v1/quotes", body=body, answers={201: Quote})


def find_quote(name: str) -> Call[Quote]:
    """Ask for a quote."""
    return Call(method="GET", path=f"/v1/quotes/{_part(name)}", answers={200: Quote})


def sell(order: Order) -> Call[Sale | PendingSale]:
    """Ask for a sale, or again for the same."""
    answers = {201: Sale, 200: Sale, 202: PendingSale}
    body = msgspec.json.encode(order)
    return Call(method="POST", path="/v1/sales", body=body, answers=answers, held=True)


def find_sale(reference: str, *, bar: bool = False) -> Call[Sale | PendingSale]:
    """Ask what became of a sale; `bar` shuts its reference if nothing is known of it."""
    path = f"/v1/sales/{_part(reference)}" + ("?bar=true" if bar else "")
    return Call(method="GET", path=path, answers={200: Sale, 202: PendingSale}, held=bar)


def reprint(reference: str) -> Call[Sale]:
    """Ask for a copy; one that is lost on its way is counted too."""
    path = f"/v1/sales/{_part(reference)}/reprint"
    return Call(method="POST", path=path, answers={200: Sale})


def reverse(reference: str, *, reason: str) -> Call[WithdrawnSale | DisputedSale]:
    """Ask for a sale to be undone; there is one dispute about a sale, however often asked."""
    path = f"/v1/sales/{_part(reference)}/reversal"
    answers = {200: WithdrawnSale, 202: DisputedSale}
    return Call(method="POST", path=path, body=_json(reason=reason), answers=answers, held=True)


def read_float() -> Call[Float]:
    """Ask for the float."""
    return Call(method="GET", path="/v1/float", answers={200: Float})


def read_statement(
    *, since: datetime | None, until: datetime | None, cursor: str | None, limit: int
) -> Call[Statement]:
    """Ask for a page of the statement."""
    path = "/v1/statement" + _query(since=since, until=until, cursor=cursor, limit=limit)
    return Call(method="GET", path=path, answers={200: Statement})


def list_deposits(*, cursor: str | None, limit: int) -> Call[DepositList]:
    """Ask for a page of deposits."""
    path = "/v1/deposits" + _query(cursor=cursor, limit=limit)
    return Call(method="GET", path=path, answers={200: DepositList})


def propose_deposit(
    *, bank: str, bank_reference: str, amount_minor: int, note: str
) -> Call[Deposit]:
    """Tell of a slip; the same one again is answered with the first."""
    body = _json(bank=bank, bank_reference=bank_reference, amount_minor=amount_minor, note=note)
    answers = {201: Deposit, 200: Deposit}
    return Call(method="POST", path="/v1/deposits", body=body, answers=answers)


def find_deposit(name: str) -> Call[Deposit]:
    """Ask for a deposit."""
    return Call(method="GET", path=f"/v1/deposits/{_part(name)}", answers={200: Deposit})


def list_batches(*, cursor: str | None, limit: int) -> Call[BatchList]:
    """Ask for a page of shifts."""
    path = "/v1/batches" + _query(cursor=cursor, limit=limit)
    return Call(method="GET", path=path, answers={200: BatchList})


def open_batch(*, outlet: str, till: str, clerk: str) -> Call[BatchTotals]:
    """Open a shift: the second time it is open already, and that is a refusal."""
    body = _json(outlet=outlet, till=till, clerk=clerk)
    return Call(
        method="POST", path="/v1/batches", body=body, answers={201: BatchTotals}, repeatable=False
    )


def find_batch(name: str) -> Call[BatchTotals]:
    """Ask for a shift."""
    return Call(method="GET", path=f"/v1/batches/{_part(name)}", answers={200: BatchTotals})


def close_batch(name: str) -> Call[BatchTotals]:
    """Close a shift; one that is closed is answered again."""
    path = f"/v1/batches/{_part(name)}/close"
    return Call(method="POST", path=path, answers={200: BatchTotals})


def read_commission(*, since: datetime | None, until: datetime | None) -> Call[Commission]:
    """Ask for rates and earnings."""
    path = "/v1/commission" + _query(since=since, until=until)
    return Call(method="GET", path=path, answers={200: Commission})


def _part(text: str) -> str:
    # A name of dots alone would be taken for a step in the path.
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _query(**members: datetime | str | int | None) -> str:
    given = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in members.items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""


def _json(**members: object) -> bytes:
    return msgspec.json.encode(
        {name: value for name, value in members.items() if value is not None}
    )
