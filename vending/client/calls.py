"""What can be asked: each call as bytes to send, and as the values its answers are read as."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from vending.client.values import (
    AttemptList,
    BatchList,
    BatchTotals,
    Commission,
    DeliveryList,
    Deposit,
    DepositList,
    DisputedSale,
    Endpoint,
    EndpointList,
    Float,
    KeyedEndpoint,
    Meter,
    PendingSale,
    Quote,
    Replayed,
    Sale,
    SentTest,
    Statement,
    WithdrawnSale,
)

T_co = TypeVar("T_co", covariant=True)


class Call(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """One call. `answers` are the statuses that are no refusal, and what each is read as (or None).

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


def list_endpoints() -> Call[EndpointList]:
    """Ask for all webhook endpoints."""
    return Call(method="GET", path="/v1/webhooks", answers={200: EndpointList})


def add_endpoint(
    url: str, *, description: str, event_types: Sequence[str], schemes: Sequence[str]
) -> Call[KeyedEndpoint]:
    """Make an endpoint; made twice it would be told twice."""
    body = _json(url=url, description=description, event_types=event_types, schemes=schemes)
    return Call(
        method="POST", path="/v1/webhooks", body=body, answers={201: KeyedEndpoint},
        repeatable=False,
    )  # fmt: skip


def find_endpoint(name: str) -> Call[Endpoint]:
    """Ask for an endpoint."""
    return Call(method="GET", path=_endpoint(name), answers={200: Endpoint})


def change_endpoint(
    name: str,
    *,
    url: str | None,
    description: str | None,
    event_types: Sequence[str] | None,
    enabled: bool | None,
) -> Call[Endpoint]:
    """Change what is given of an endpoint."""
    body = _json(url=url, description=description, event_types=event_types, enabled=enabled)
    return Call(method="PATCH", path=_endpoint(name), body=body, answers={200: Endpoint})


def rotate_endpoint(
    name: str, *, schemes: Sequence[str] | None, overlap_seconds: int
) -> Call[KeyedEndpoint]:
    """Replace an endpoint's keys; the new ones are told in one answer only."""
    body = _json(schemes=schemes, overlap_seconds=overlap_seconds)
    path = _endpoint(name) + "/rotation"
    return Call(method="POST", path=path, body=body, answers={200: KeyedEndpoint}, repeatable=False)


def remove_endpoint(name: str) -> Call[None]:
    """Delete an endpoint, or find it deleted: perhaps by an earlier try of this very call."""
    return Call(method="DELETE", path=_endpoint(name), answers={204: None, 404: None})


def list_deliveries(
    name: str, *, state: str | None, cursor: str | None, limit: int
) -> Call[DeliveryList]:
    """Ask for a page of the deliveries to an endpoint."""
    path = _endpoint(name) + "/deliveries" + _query(state=state, cursor=cursor, limit=limit)
    return Call(method="GET", path=path, answers={200: DeliveryList})


def list_attempts(name: str, event: str) -> Call[AttemptList]:
    """Ask for every try of an event at an endpoint."""
    path = f"{_endpoint(name)}/deliveries/{_part(event)}"
    return Call(method="GET", path=path, answers={200: AttemptList})


def replay_event(name: str, event: str) -> Call[Replayed]:
    """Have an event sent again; events come at least once in any case."""
    path = f"{_endpoint(name)}/deliveries/{_part(event)}/replay"
    return Call(method="POST", path=path, answers={202: Replayed})


def replay(
    name: str, *, since: datetime, until: datetime, delivered: bool, cursor: str | None
) -> Call[Replayed]:
    """Have the events of a time sent again, a portion of them."""
    body = _json(since=since, until=until, delivered=delivered, cursor=cursor)
    path = _endpoint(name) + "/replay"
    return Call(method="POST", path=path, body=body, answers={202: Replayed})


def send_test(name: str) -> Call[SentTest]:
    """Have an event sent that tells nothing; two do no harm."""
    return Call(method="POST", path=_endpoint(name) + "/test", answers={202: SentTest})


def _endpoint(name: str) -> str:
    return f"/v1/webhooks/{_part(name)}"


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
