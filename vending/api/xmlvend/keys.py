"""Key changes at a till: the codes that bring a meter from one key to another, once a message."""

import asyncio
import re
from typing import Final, Protocol, cast

from vending.api.v1.teller import Teller
from vending.api.xmlvend import receipts, visit
from vending.api.xmlvend.refusals import (
    KeyMeterUnknown,
    MeterCardNeeded,
    MeterDataInsufficient,
    MeterDataInvalid,
)
from vending.api.xmlvend.visit import SERVER, Visit
from vending.claims import Claim
from vending.meters.meter import MeterUnknown
from vending.payments.outcomes import Outcome
from vending.payments.payment import PayerKind, Payment, PaymentNotice
from vending.selling.sale import SalePending
from vending.tokens import key_requests
from vending.tokens.key_requests import KeyAsking, KeyName, KeysAsked, KeysMade
from vending.values import replace
from vending.vendors.vendor import NO_TILL, PRODUCT, operator_of
from vending.xmlvend.answers import EngineeringAnswer, KeyUpdateAnswer, head_of
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import MessageId
from vending.xmlvend.requests import (
    Engineering,
    EngineeringKind,
    KeyData,
    MeterCard,
    MeterData,
    MeterIdentity,
    MeterNumber,
    UpdateMeterKey,
)

WAIT_SECONDS: Final = 20.0
"""As long as a sale is waited for."""

_GROUP: Final = re.compile(r"[0-9]{6}")
_REVISION: Final = re.compile(r"0?[1-9]")
_INDEX: Final = re.compile(r"[0-9]{1,2}")
_ALGORITHM: Final = re.compile(r"[0-9]{1,2}")

_CARD: Final = re.compile(
    r";?[0-9]+=[0-9]{4}[0-9]{2}(?P<ea>[0-9]{2})(?P<sgc>[0-9]{6})(?P<ti>[0-9]{2})(?P<krn>[0-9])\??"
)
"""A card's second track: MeterPAN, date of expiry, technology, algorithm, group, index, revision
(IEC 62055-41, 6.1.2)."""

KeysTold = KeyUpdateAnswer | EngineeringAnswer
"""The answer to a request for the codes of a key change."""


class Maker(Protocol):
    """What makes the codes; see `vending.sequencer.Sequencer`."""

    async def issue(self, claim: Claim) -> Outcome:
        """Make them."""
        ...


async def update(teller: Teller, asked: Visit, request: UpdateMeterKey) -> KeysTold:
    """Bring a meter from the key on its card, or read off it, to the one on record.

    The record stays. Raises MeterCardNeeded, MeterDataInsufficient, MeterDataInvalid,
    KeyMeterUnknown, KeySame, KeyMissing, KeyExpired and SalePending.
    """
    algorithm, key = _told(request.meter)
    number = visit.number_of(request.meter)
    try:
        record = await visit.record(teller, number)
    except MeterUnknown:
        raise KeyMeterUnknown from None
    if algorithm and not (_ALGORITHM.fullmatch(algorithm) and int(algorithm) == record.ea):
        # What the meter ciphers with is in its hardware: no codes change it.
        raise MeterDataInvalid(field="at")
    return await _make(teller, asked, request.meter, KeyAsking.UPDATE, old=_name(key))


async def change(teller: Teller, asked: Visit, request: Engineering) -> KeysTold:
    """Bring a meter from one key to another; it is on record under one of the two.

    Leaving the recorded one, the record goes with it. Raises as `update` does, MeterUnknown,
    KeyNotOnRecord, BaseDateEarlier and KeyChangeWaits.
    """
    if request.from_key is None or request.to_key is None:
        raise MeterDataInsufficient(field="kctData")
    old, new = _name(request.from_key), _name(request.to_key)
    return await _make(teller, asked, request.meter, KeyAsking.CHANGE, old=old, new=new)


async def under(teller: Teller, asked: Visit, message: MessageId) -> KeysTold | None:
    """Return the answer that a message was given, if it asked for a key change and got one."""
    made = await key_requests.find(teller.reads, (operator_of(asked.vendor_id), message.reference))
    return None if made is None else await _answer(teller, asked, made, message=message)


async def _make(
    teller: Teller,
    asked: Visit,
    meter: MeterIdentity,
    kind: KeyAsking,
    *,
    old: KeyName,
    new: KeyName | None = None,
) -> KeysTold:
    message, number = asked.sender.message_id, visit.number_of(meter)
    who = f"{asked.vendor_id} by {asked.caller.credential}"
    notice = PaymentNotice(
        operator=operator_of(asked.vendor_id),
        transaction_id=message.reference,
        short_code=NO_TILL,
        account_reference=number,
        amount_minor=0,
        paid_at=asked.now,
        payer="",
        payer_kind=PayerKind.ABSENT,
        raw=b"",
    )
    payment = Payment(
        payment_id=teller.numbers.next(), notice=notice, product=PRODUCT, received_at=asked.now
    )
    wanted = KeysAsked(kind=kind, old=old, new=new, asked_by=who)
    claim = Claim(payment=payment, reference=number, stored=False, special=wanted)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await cast(Maker, teller.sequencer).issue(claim)
    except TimeoutError:
        # It goes on, and an advice finds it.
        raise SalePending(reference=message.reference, retry_after_seconds=1) from None
    answer = await under(teller, asked, message)
    if answer is None:
        raise AssertionError(message.reference)  # it is committed before it is answered
    return answer


async def _answer(teller: Teller, asked: Visit, made: KeysMade, *, message: MessageId) -> KeysTold:
    """Return the answer to a request: but for the vendor's credit, the same each time."""
    sender = Sender(soap=asked.sender.soap, message_id=message, credential=None)
    head = head_of(sender, server=SERVER, at=made.issued_at)
    recorded = visit.shown(await visit.record(teller, made.meter_number))
    # The record may have moved on since.
    meter = replace(recorded, key=visit.told_key(made.change.new))
    told = visit.shown_change(made.change, meter)
    party = await receipts.party(teller, asked)
    if made.kind is KeyAsking.UPDATE:
        return KeyUpdateAnswer(head=head, party=party, key_change=told)
    return EngineeringAnswer(
        kind=EngineeringKind.KEY_CHANGE, head=head, party=party, meter=meter, key_change=told
    )


def _told(meter: MeterIdentity) -> tuple[str, KeyData]:
    """Return the algorithm and the key that a till read; no algorithm is an empty text."""
    if isinstance(meter, MeterNumber):
        raise MeterCardNeeded
    if isinstance(meter, MeterData):
        key = KeyData(
            supply_group=meter.supply_group,
            key_revision=meter.key_revision,
            tariff_index=meter.tariff_index,
        )
        return meter.algorithm, key
    return _of_card(meter)


def _of_card(card: MeterCard) -> tuple[str, KeyData]:
    found = _CARD.fullmatch(card.track2)
    if found is None:
        raise MeterDataInvalid(field="track2Data")
    key = KeyData(supply_group=found["sgc"], key_revision=found["krn"], tariff_index=found["ti"])
    return found["ea"], key


def _name(key: KeyData) -> KeyName:
    """Return a key's name. Raises MeterDataInsufficient and MeterDataInvalid."""
    told = {"sgc": key.supply_group, "krn": key.key_revision, "ti": key.tariff_index}
    for (field, text), form in zip(told.items(), (_GROUP, _REVISION, _INDEX), strict=True):
        if not text:
            raise MeterDataInsufficient(field=field)
        if not form.fullmatch(text):
            raise MeterDataInvalid(field=field)
    return key.supply_group, int(key.key_revision), int(key.tariff_index)
