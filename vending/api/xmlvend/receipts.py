"""Receipts as tills print them: who stands behind a sale, and its lines to the cent."""

from collections.abc import Iterable
from typing import Final

from vending.api.v1.teller import Teller
from vending.api.xmlvend import visit
from vending.api.xmlvend.visit import SERVER, Visit
from vending.key_data import KeyChange
from vending.meters import directory
from vending.payments.payment import OutcomeKind
from vending.repayments import SERVICE_CHARGE
from vending.selling.sale import Sale
from vending.tariffs.charge import DEBT, ROUNDING
from vending.values import Value
from vending.vendors import floats
from vending.xmlvend.answers import AccountAnswer, VendAnswer, VendKind, head_of
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import MessageId
from vending.xmlvend.receipts import (
    AccountLine,
    AccountLineKind,
    CreditKind,
    CreditLine,
    Meter,
    Organisation,
    Party,
    Receipt,
    Standing,
)

ENERGY: Final = "energy"
"""The receipt line that is the token's own; all the others are lines beside it."""


Sold = VendAnswer | AccountAnswer
"""The answer to a sale that was made: of a token, or of debts."""


class Bought(Value, frozen=True, kw_only=True):
    """What a receipt is made of, whether it was sold or only tried."""

    hidden = frozenset({"token"})

    number: str
    amount_minor: int
    energy_wh: int
    token: str
    tariff: str
    lines: tuple[tuple[str, int], ...]
    change: KeyChange | None = None


async def party(teller: Teller, asked: Visit) -> Party:
    """Return who stands behind a sale, and what the vendor can still sell for."""
    held = await floats.find(teller.reads, asked.vendor_id)
    return Party(
        standing=Standing(available_minor=held.available_minor),
        utility=Organisation(name=teller.config.utility.name, address=""),
        vendor=Organisation(name=asked.caller.vendor.name, address=""),
    )


async def of_sale(
    teller: Teller, asked: Visit, sale: Sale, *, message: MessageId, title: str = ""
) -> Sold:
    """Return the answer to a sale: but for the vendor's credit, the same each time it is asked."""
    outcome = sale.outcome
    sender = Sender(soap=asked.sender.soap, message_id=message, credential=None)
    meter = visit.shown(await visit.record(teller, outcome.meter_number or ""))
    if outcome.kind is OutcomeKind.ACCOUNT_CREDITED:
        return AccountAnswer(
            head=head_of(sender, server=SERVER, at=outcome.decided_at, title=title),
            party=await party(teller, asked),
            receipt=await _of_debts(teller, sale),
            meter=meter,
        )
    bought = Bought(
        number=str(sale.payment_id),
        amount_minor=sale.amount_minor,
        energy_wh=outcome.energy_wh or 0,
        token=outcome.token or "",
        tariff=tariff(outcome.tariff, outcome.tariff_category),
        lines=outcome.lines,
        change=outcome.key_change,
    )
    return VendAnswer(
        kind=VendKind.CREDIT,
        head=head_of(sender, server=SERVER, at=outcome.decided_at, title=title),
        party=await party(teller, asked),
        receipt=receipt(bought, meter),
    )


async def _of_debts(teller: Teller, sale: Sale) -> Receipt:
    """Return the receipt of debts that were paid, with what is owed of each kind now."""
    outcome = sale.outcome
    number = outcome.meter_number or ""
    owed: dict[str, int] = {}
    for debt in (await directory.debts(teller.reads, [number])).get(number, ()):
        owed[debt.kind] = owed.get(debt.kind, 0) + debt.balance_minor
    lines = []
    for code, minor in outcome.lines:
        kind = code.removeprefix(DEBT)
        charged = kind == SERVICE_CHARGE
        line = AccountLine(
            kind=AccountLineKind.SERVICE_CHARGE if charged else AccountLineKind.DEBT,
            amount_minor=minor,
            text=kind,
            tariff=tariff(outcome.tariff, None),
            # The schema has no place for what stays owed of a service charge.
            balance_minor=None if charged else owed.get(kind, 0),
        )
        lines.append(line)
    return Receipt(
        number=str(sale.payment_id), lines=tuple(lines), tendered_minor=sale.amount_minor
    )


def tariff(code: str | None, category: str | None) -> str:
    """Return the name of a tariff and of the customer's band in it."""
    return " ".join(filter(None, (code, category)))


def receipt(bought: Bought, meter: Meter) -> Receipt:
    """Return a receipt whose lines, with what was rounded, sum to what was paid."""
    energy_minor = sum(minor for code, minor in bought.lines if code == ENERGY)
    rounded = [minor for code, minor in bought.lines if code == ROUNDING]
    credit = CreditLine(
        kind=CreditKind.SALE,
        amount_minor=energy_minor,
        energy_wh=bought.energy_wh,
        token=bought.token,
        meter=meter,
        tariff=bought.tariff,
        key_change=visit.shown_change(bought.change, meter) if bought.change else None,
    )
    return Receipt(
        number=bought.number,
        lines=(credit, *_beside(bought.lines, tariff=bought.tariff)),
        tendered_minor=bought.amount_minor,
        rounded_minor=sum(rounded) if rounded else None,
    )


def _beside(lines: Iterable[tuple[str, int]], *, tariff: str) -> Iterable[AccountLine]:
    for code, minor in lines:
        if code in (ENERGY, ROUNDING):
            continue
        debt = code.startswith(DEBT)
        yield AccountLine(
            kind=AccountLineKind.DEBT if debt else AccountLineKind.SERVICE_CHARGE,
            amount_minor=minor,
            text=code.removeprefix(DEBT),
            tariff=tariff,
        )
