"""The parts that requests are made of: meters, customers, amounts, heads, read from elements."""

import re
from enum import StrEnum
from typing import Final, TypeVar

from vending.xmlvend.amounts import Currency
from vending.xmlvend.errors import Reason, XmlvendMalformed
from vending.xmlvend.identity import Caller, Credential, Device, DeviceKind, MessageId, Soap
from vending.xmlvend.requests import (
    CustomerBy,
    CustomerIdentity,
    Identity,
    KeyData,
    MeterCard,
    MeterData,
    MeterIdentity,
    MeterNumber,
    PayWith,
    Tender,
)
from vending.xmlvend.tree import Element

TEXT_MAX: Final = 128
"""Characters of a value. The longest the standard has are names and addresses."""

DEVICE_MAX: Final = 64
"""Characters of a client's or terminal's name; an EAN has thirteen."""

_STAMP: Final = re.compile(r"[0-9]{14,17}\Z")
"""yyyymmddhhmmss; some clients add milliseconds."""

_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")
"""The standard asks for a number of up to six digits; some clients count longer."""

_SEQUENCE: Final = re.compile(r"[0-9]{1,9}\Z")
_KEY_FIELDS: Final = ("SGC", "KRN", "TI")

_Kind = TypeVar("_Kind", bound=StrEnum)


def bounded(text: str, *, at: str) -> str:
    """Return a trimmed text that is not longer than any value may be."""
    trimmed = text.strip()
    if len(trimmed) > TEXT_MAX:
        raise XmlvendMalformed(reason=Reason.TOO_LONG, at=at)
    return trimmed


def needed(text: str, *, at: str) -> str:
    """Return a bounded text that is there; raises XmlvendMalformed where it is empty."""
    trimmed = bounded(text, at=at)
    if not trimmed:
        raise XmlvendMalformed(reason=Reason.MISSING, at=at)
    return trimmed


def child_of(element: Element, name: str) -> Element:
    """Return a child that must be there."""
    child = element.child(name)
    if child is None:
        raise XmlvendMalformed(reason=Reason.MISSING, at=name)
    return child


def attribute(element: Element, name: str) -> str:
    """Return a bounded attribute, "" where it is not there."""
    return bounded(element.attributes.get(name, ""), at=f"{element.name}/@{name}")


def needed_attribute(element: Element, name: str) -> str:
    """Return a bounded attribute that must be there."""
    return needed(element.attributes.get(name, ""), at=f"{element.name}/@{name}")


def text_of(element: Element, name: str) -> str:
    """Return the bounded text of a child, "" where it is not there."""
    child = element.child(name)
    return "" if child is None else bounded(child.text, at=name)


def kind_of(element: Element, kinds: type[_Kind]) -> _Kind:
    """Return which of the kinds an element's xsi:type is; raises XmlvendMalformed if none."""
    try:
        return kinds(element.kind)
    except ValueError:
        raise XmlvendMalformed(reason=Reason.TYPE, at=element.name) from None


def caller_of(request: Element, soap: Soap) -> Caller:
    """Return the head of a request: who, where, which message, by what credential."""
    message = child_of(request, "msgID")
    stamp, number = message_name(message)
    return Caller(
        soap=soap,
        message_id=MessageId(
            client=_device(child_of(request, "clientID")),
            terminal=_device(child_of(request, "terminalID")),
            stamp=stamp,
            number=number,
        ),
        credential=_credential(request.child("authCred")),
    )


def message_name(element: Element) -> tuple[str, str]:
    """Return the date-time and number that name a message within its terminal."""
    stamp = needed_attribute(element, "dateTime")
    number = needed_attribute(element, "uniqueNumber")
    if not _STAMP.match(stamp) or not _NUMBER.match(number):
        raise XmlvendMalformed(reason=Reason.VALUE, at=element.name)
    return stamp, number


def _device(element: Element) -> Device:
    """Return a device by whichever of its two names is there, whatever its type says."""
    kind, name = DeviceKind.GENERIC, "id"
    if attribute(element, "ean"):
        kind, name = DeviceKind.EAN, "ean"
    text = needed_attribute(element, name)
    if len(text) > DEVICE_MAX:
        raise XmlvendMalformed(reason=Reason.TOO_LONG, at=element.name)
    return Device(kind=kind, text=text)


def _credential(element: Element | None) -> Credential | None:
    if element is None:
        return None
    return Credential(
        operator=text_of(element, "opName"),
        password=text_of(element, "password"),
        new_password=text_of(element, "newPassword"),
    )


def identity_of(request: Element) -> Identity:
    """Return whom or what `idMethod` means: a meter, or a customer by one of four texts."""
    method = child_of(request, "idMethod")
    customer = method.child("custIdentifier")
    return meter_of(method) if customer is None else _customer(customer)


def meter_of(method: Element) -> MeterIdentity:
    """Return the meter that an `idMethod` names."""
    meter = method.child("meterIdentifier")
    # UpdateMeterKey's idMethod is the meter itself rather than a method that holds one.
    return _meter(method if meter is None else meter)


def _meter(element: Element) -> MeterIdentity:
    card = element.child("track2Data")
    if card is not None:
        return MeterCard(track2=needed(card.text, at="track2Data"))
    track2 = attribute(element, "track2Data")
    if track2 and not attribute(element, "msno"):
        return MeterCard(track2=track2)
    number = needed_attribute(element, "msno")
    if not attribute(element, "sgc"):
        return MeterNumber(number=number)
    kind = element.child("meterType")
    return MeterData(
        number=number,
        supply_group=attribute(element, "sgc"),
        key_revision=attribute(element, "krn"),
        tariff_index=attribute(element, "ti"),
        algorithm="" if kind is None else attribute(kind, "at"),
        technology="" if kind is None else attribute(kind, "tt"),
    )


def _customer(element: Element) -> CustomerIdentity:
    by = kind_of(element, CustomerBy) if element.kind else _inferred(element)
    if by is CustomerBy.ACCOUNT:
        return CustomerIdentity(by=by, text=needed_attribute(element, "accNo"))
    if by is CustomerBy.ID_NUMBER:
        return CustomerIdentity(by=by, text=needed_attribute(element, "idNo"))
    name = "name" if by is CustomerBy.NAME else "address"
    return CustomerIdentity(by=by, text=needed(text_of(element, name), at=name))


def _inferred(element: Element) -> CustomerBy:
    """Return what a customer without a type is searched by: whichever of the four is there."""
    if "accNo" in element.attributes:
        return CustomerBy.ACCOUNT
    if "idNo" in element.attributes:
        return CustomerBy.ID_NUMBER
    if element.child("name") is not None:
        return CustomerBy.NAME
    if element.child("address") is not None:
        return CustomerBy.ADDRESS
    raise XmlvendMalformed(reason=Reason.TYPE, at=element.name)


def amount_of(element: Element, name: str, currency: Currency) -> int:
    """Return the amount a child carries, in minor units of the currency."""
    return _amount(child_of(element, name), currency)


def _amount(element: Element, currency: Currency) -> int:
    return currency.minor_of(
        needed_attribute(element, "value"), attribute(element, "symbol"), at=element.name
    )


def tender_of(request: Element, currency: Currency) -> Tender | None:
    """Return how the customer pays, or None where the till does not say."""
    pay = request.child("payType")
    if pay is None:
        return None
    try:
        by = PayWith(pay.kind)
    except ValueError:
        # A kind of payment invented by a vendor says no less than none at all.
        by = PayWith.UNKNOWN
    for name in ("tenderAmt", "cheqAmt", "cardAmt"):
        amount = pay.child(name)
        if amount is not None and attribute(amount, "value"):
            return Tender(by=by, amount_minor=_amount(amount, currency))
    return Tender(by=by, amount_minor=None)


def key_of(element: Element, side: str) -> KeyData:
    """Return the key data of one side ("from", "to") of a key change."""
    group, revision, index = (needed_attribute(element, side + name) for name in _KEY_FIELDS)
    return KeyData(supply_group=group, key_revision=revision, tariff_index=index)


def sequence_of(request: Element) -> int | None:
    """Return the number of the batch that is asked for, or None for the last one."""
    text = text_of(request, "seqNo")
    if not text:
        return None
    if not _SEQUENCE.match(text):
        raise XmlvendMalformed(reason=Reason.VALUE, at="seqNo")
    return int(text)
