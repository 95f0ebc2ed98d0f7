"""The shapes that answers share: heads, parties, meters, tokens, lines, in the schema's order."""

from datetime import UTC, datetime
from typing import Final

from vending.xmlvend.amounts import ENERGY_UNIT, POWER_UNIT, Currency, thousandths_text
from vending.xmlvend.answers import Head
from vending.xmlvend.document import Node, node, optional
from vending.xmlvend.identity import Device, DeviceKind, MessageId
from vending.xmlvend.receipts import (
    AccountLine,
    CreditLine,
    Customer,
    KeyChange,
    Meter,
    Organisation,
    Party,
    Receipt,
)
from vending.xmlvend.requests import KeyData

SECTIONS: Final = ("set1stMeterKey", "set2ndMeterKey", "set3rdMeterKey", "set4thMeterKey")
"""The tokens of a key change, in order. XMLVend knew two; STS has sets of three and four too."""

_SECTIONS_MIN: Final = 2
"""A key never fits in one token."""


def instant(at: datetime) -> str:
    """Return an instant as xs:dateTime in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def money(name: str, minor: int, currency: Currency) -> Node:
    """Return an amount: decimal text and the currency's symbol."""
    return node(name, value=currency.text_of(minor), symbol=currency.symbol)


def optional_money(name: str, minor: int | None, currency: Currency) -> Node | None:
    """Return an amount, or None where there is none."""
    return None if minor is None else money(name, minor, currency)


def energy(name: str, energy_wh: int) -> Node:
    """Return an energy in kilowatt-hours."""
    return node(name, value=thousandths_text(energy_wh), siUnit=ENERGY_UNIT)


def power(name: str, power_w: int) -> Node:
    """Return a power in kilowatts."""
    return node(name, value=thousandths_text(power_w), siUnit=POWER_UNIT)


def head(told: Head) -> tuple[Node | None, ...]:
    """Return what every answer begins with."""
    return (
        _device("b:clientID", told.message_id.client),
        _device("b:serverID", told.server),
        _device("b:terminalID", told.message_id.terminal),
        message("b:reqMsgID", told.message_id),
        node("b:respDateTime", text=instant(told.at)),
        optional("b:dispHeader", told.title),
        optional("b:operatorMsg", told.operator_text),
        optional("b:custMsg", told.customer_text),
    )


def message(name: str, message_id: MessageId) -> Node:
    """Return a message's date-time and number, as they came."""
    return node(name, dateTime=message_id.stamp, uniqueNumber=message_id.number)


def _device(name: str, device: Device) -> Node:
    if device.kind is DeviceKind.EAN:
        return node(name, kind="b:EANDeviceID", ean=device.text)
    return node(name, kind="b:GenericDeviceID", id=device.text)


def party(told: Party, currency: Currency) -> tuple[Node | None, ...]:
    """Return who stands behind a sale."""
    batches = told.standing.batches
    return (
        node(
            "b:clientStatus",
            money("b:availCredit", told.standing.available_minor, currency),
            None
            if batches is None
            else node(
                "b:batchStatus",
                banking=_open(open_=batches.banking),
                sales=_open(open_=batches.sales),
                shift=_open(open_=batches.shift),
            ),
        ),
        _utility(told.utility),
        _vendor(told.vendor),
        None if told.customer is None else customer("b:custVendDetail", told.customer),
    )


def _open(*, open_: bool) -> str:
    return "open" if open_ else "closed"


def _utility(told: Organisation) -> Node:
    return _named("b:utility", name=told.name, address=told.address, taxRef=told.tax_reference)


def _vendor(told: Organisation | None) -> Node | None:
    return None if told is None else _named("b:vendor", name=told.name, address=told.address)


def _named(name_: str, **attributes: str) -> Node:
    """Return an element whose attributes the schema asks for, be they empty."""
    return Node(name=name_, kind="", attributes=attributes, children=(), text="")


def customer(name: str, told: Customer) -> Node:
    """Return a customer's details; name and address are there even when empty."""
    days = told.days_since_purchase
    optional_ones = {
        "contactNo": told.contact,
        "accNo": told.account,
        "locRef": told.location,
        "daysLastPurchase": "" if days is None else str(days),
    }
    given = {key: value for key, value in optional_ones.items() if value}
    return _named(name, name=told.name, address=told.address, **given)


def meter(name: str, told: Meter) -> Node:
    """Return a meter's number, key, tariff index and type."""
    return node(
        name,
        node("b:meterType", at=told.algorithm, tt=told.technology),
        msno=told.number,
        sgc=told.key.supply_group,
        krn=told.key.key_revision,
        ti=told.key.tariff_index,
    )


def token(name: str, digits: str) -> Node:
    """Return a twenty-digit token."""
    return node(name, node("b:stsCipher", text=digits), kind="b:STS1Token")


def receipt(name: str, told: Receipt, currency: Currency, *more: Node | None) -> Node:
    """Return a receipt: its lines in order, what was rounded, tendered and given back."""
    lines = [
        _credit(line, told.number, currency)
        if isinstance(line, CreditLine)
        else _account(line, told.number, currency)
        for line in told.lines
    ]
    transactions = node(
        "r:transactions",
        *lines,
        optional_money("r:lessRound", told.rounded_minor, currency),
        money("r:tenderAmt", told.tendered_minor, currency),
        optional_money("r:change", told.change_minor, currency),
    )
    return node(name, transactions, *more, receiptNo=told.number)


def _credit(line: CreditLine, number: str, currency: Currency) -> Node:
    return node(
        "r:tx",
        money("r:amt", line.amount_minor, currency),
        None
        if line.vat_minor is None
        else node(
            "r:tax",
            money("b:amt", line.vat_minor, currency),
            kind="b:VAT",
            rate=line.vat_rate or "0",
        ),
        node(
            "r:creditTokenIssue",
            *issue(line.text, line.meter, token("b:token", line.token)),
            energy("b:units", line.energy_wh),
            node("b:resource", kind="b:Electricity"),
            kind=f"b:{line.kind.value}",
        ),
        None if line.key_change is None else key_change("r:kcTokenIssue", line.key_change),
        node("r:tariff", node("b:name", text=line.tariff)),
        kind="r:CreditVendTx",
        receiptNo=number,
    )


def _account(line: AccountLine, number: str, currency: Currency) -> Node:
    return node(
        "r:tx",
        money("r:amt", line.amount_minor, currency),
        node("r:accDesc", text=line.text),
        optional("r:accNo", line.account),
        node("r:tariff", node("b:name", text=line.tariff)),
        optional_money("r:balance", line.balance_minor, currency),
        kind=f"r:{line.kind.value}",
        receiptNo=number,
    )


def issue(text: str, of: Meter, issued: Node) -> tuple[Node, ...]:
    """Return what begins every token for one meter: its words, its meter, itself."""
    return (node("b:desc", text=text), meter("b:meterDetail", of), issued)


def key_change(name: str, told: KeyChange) -> Node:
    """Return a key change: its tokens in the order they are entered, and from which key to which.

    Raises ValueError for fewer tokens than two or more than four: there is no such key change.
    """
    if not _SECTIONS_MIN <= len(told.tokens) <= len(SECTIONS):
        raise ValueError(f"a key change of {len(told.tokens)} tokens")
    sections = [
        node(f"b:{section}", node("b:stsCipher", text=digits))
        for section, digits in zip(SECTIONS, told.tokens, strict=False)
    ]
    return node(
        name,
        *issue(told.text, told.meter, node("b:token", *sections, kind="b:KCToken")),
        node(
            "b:kctData",
            **_key("from", told.from_key),
            **_key("to", told.to_key),
        ),
    )


def _key(side: str, key: KeyData) -> dict[str, str]:
    return {
        f"{side}SGC": key.supply_group,
        f"{side}KRN": key.key_revision,
        f"{side}TI": key.tariff_index,
    }
