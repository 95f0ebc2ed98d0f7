"""What the server answers, as typed values: money in cents, energy in watt-hours, aware instants.

Each has the members of the schema it is named beside in docs/reference/openapi.json. A member that
a later server adds is ignored.
"""

from datetime import datetime

import msgspec

from vending.client.problems import MoneyState


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a receipt; the lines sum to the amount, to the cent."""

    code: str
    amount_minor: int


class Arrears(msgspec.Struct, frozen=True, kw_only=True):
    """One debt of a meter that purchases pay off."""

    kind: str
    balance_minor: int


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """A meter before a sale (MeterSeen); `why_not` is the code a sale would be refused with."""

    meter: str
    can_vend: bool
    why_not: str | None
    name: str | None
    minimum_minor: int | None
    maximum_minor: int | None
    currency: str
    kwh_minor: int | None
    arrears_minor: int
    arrears: list[Arrears]
    free_wh: int | None
    tariff: str
    tariff_version: str | None
    tariff_category: str | None
    as_of: datetime


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A price that stands until `expires_at` (Quote); sell by `quote` and it costs just that."""

    quote: str
    meter: str
    amount_minor: int
    currency: str
    energy_wh: int
    lines: list[ReceiptLine]
    tariff: str
    tariff_version: str
    tariff_category: str
    quoted_at: datetime
    expires_at: datetime


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that was made (MadeSale): `token` is what is typed at the meter.

    `key_change_codes`, nearly always none, are typed before it, in their order.
    `copies` is how many were printed again, `copy` which of them this is; 0 is the receipt.
    No meter takes the token of a `sandbox`.
    """

    reference: str
    status: str
    money_state: MoneyState
    meter: str
    outlet: str
    till: str
    amount_minor: int
    currency: str
    energy_wh: int
    token: str
    lines: list[ReceiptLine]
    tariff: str
    tariff_version: str
    tariff_category: str
    sold_at: datetime
    copies: int
    copy: int
    sandbox: bool = False
    key_change_codes: list[str] = []

    def __repr__(self) -> str:
        """Show which sale it is, and not the token: whoever reads it has the energy."""
        return (
            f"Sale(reference={self.reference!r}, meter={self.meter!r}, "
            f"amount_minor={self.amount_minor}, energy_wh={self.energy_wh}, token=...)"
        )


class PendingSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that is being made (PendingSale): ask again by its reference."""

    reference: str
    status: str
    money_state: MoneyState


class WithdrawnSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that was not made and never will be (WithdrawnSale)."""

    reference: str
    status: str
    money_state: MoneyState


class DisputedSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale whose token is out, so that a person of the utility decides (DisputedSale)."""

    reference: str
    status: str
    money_state: MoneyState
    dispute: str
    reason: str
    opened_at: datetime
    resolution: str | None


class Float(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid in and not sold yet (Float); below zero it is owed."""

    balance_minor: int
    credit_limit_minor: int
    available_minor: int
    currency: str
    as_of: datetime
    warning_minor: int = 0


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of the float (StatementLine); negative is out of it."""

    kind: str
    amount_minor: int
    booked_at: datetime
    reference: str
    point_of_sale: str
    meter: str
    settled: bool


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a statement (Statement): keep the last one's `next` for another day."""

    lines: list[StatementLine]
    next: str | None
    more: bool

    def rows(self) -> list[StatementLine]:
        """Return what is on the page."""
        return self.lines

    def following(self) -> str | None:
        """Return the cursor of a page that is there already."""
        return self.next if self.more else None


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit as it stands (Deposit); it counts once it is confirmed."""

    deposit: str
    bank: str
    bank_reference: str
    amount_minor: int
    note: str
    status: str
    proposed_at: datetime
    settled_at: datetime | None


class DepositList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deposits (DepositList)."""

    deposits: list[Deposit]
    next: str | None

    def rows(self) -> list[Deposit]:
        """Return what is on the page."""
        return self.deposits

    def following(self) -> str | None:
        """Return the cursor of the next page."""
        return self.next


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A shift of an outlet or a till (Batch), open while `closed_at` is None."""

    batch: str
    outlet: str
    till: str
    clerk: str
    opened_at: datetime
    closed_at: datetime | None


class BatchTotals(Batch, frozen=True, kw_only=True):
    """A shift with what the ledger says of its time (BatchTotals)."""

    sales: int
    amount_minor: int


class BatchList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of shifts (BatchList)."""

    batches: list[Batch]
    next: str | None

    def rows(self) -> list[Batch]:
        """Return what is on the page."""
        return self.batches

    def following(self) -> str | None:
        """Return the cursor of the next page."""
        return self.next


class CommissionBand(msgspec.Struct, frozen=True, kw_only=True):
    """What is earned from a tender on (CommissionBand): millionths of it, and fixed cents."""

    from_minor: int
    rate_ppm: int
    fixed_minor: int


class CommissionRates(msgspec.Struct, frozen=True, kw_only=True):
    """A rate table (CommissionRates)."""

    product: str
    effective_from: datetime
    bands: list[CommissionBand]


class Commission(msgspec.Struct, frozen=True, kw_only=True):
    """All rate tables, and what was earned in a time (Commission)."""

    rates: list[CommissionRates]
    since: datetime
    until: datetime
    earned_minor: int
    currency: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint (Endpoint): where events are told; no `event_types` means every one."""

    endpoint: str
    url: str
    description: str
    event_types: list[str]
    schemes: list[str]
    state: str
    disabled_reason: str | None
    disabled_at: datetime | None
    failures: int
    failing_since: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    public_keys: list[str]


class VerifyingKey(msgspec.Struct, frozen=True, kw_only=True):
    """What events are told from others' with (VerifyingKey): give its `key` to `verify`."""

    scheme: str
    key: str

    def __repr__(self) -> str:
        return f"VerifyingKey({self.scheme!r}, ...)"


class KeyedEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint with its new `keys` (KeyedEndpoint): store them, they are never shown again."""

    keys: list[VerifyingKey]


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    """All endpoints (EndpointList)."""

    endpoints: list[Endpoint]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How the telling of an event stands (Delivery): waiting, delivered or given up."""

    event: str
    event_type: str
    occurred_at: datetime
    state: str
    attempts: int
    next_attempt_at: datetime | None
    settled_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_failure: str | None


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries (DeliveryList)."""

    deliveries: list[Delivery]
    next: str | None

    def rows(self) -> list[Delivery]:
        """Return what is on the page."""
        return self.deliveries

    def following(self) -> str | None:
        """Return the cursor of the next page."""
        return self.next


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to tell an event (Attempt)."""

    attempt: int
    at: datetime
    milliseconds: int
    status: int | None
    failure: str | None
    answer: str | None


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """Every try of an event (AttemptList)."""

    attempts: list[Attempt]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are sent again (Replayed)."""

    count: int
    next: str | None


class SentTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test event on its way (SentTest)."""

    event: str
    endpoint: str
