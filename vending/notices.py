"""Which messages a decided payment sends, and to whom.

A receipt goes to the phones registered to the meter, and to the payer's own when the operator
shows it in clear and it is another. A payer shown as a hash or masked is never guessed at: the
token can be read back by USSD or at the help desk.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from vending.config import Utility
from vending.meters.meter import Meter
from vending.numbering import Numbers
from vending.outbox.message import Message, MessageKind
from vending.payments.payment import PayerKind, Payment
from vending.sms import wording as words
from vending.sms.gsm7 import REMEMBERED
from vending.tariffs.quote import Quote

REGISTERED_PHONES_MAX = 2
"""Phones of a meter that get its receipts: the household's, not a mailing list."""

ENERGY = "energy"
"""Receipt lines that buy units begin with this word; the others are shown as one sum."""

_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{9,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What the utility's messages have in common."""

    utility_name: str
    currency_symbol: str
    help_line: str
    time_zone: ZoneInfo


def wording_of(utility: Utility) -> Wording:
    """Return the wording that the settings ask for."""
    return Wording(
        utility_name=utility.name,
        currency_symbol=utility.currency_symbol,
        help_line=utility.help_line,
        time_zone=ZoneInfo(utility.time_zone),
    )


def phones_of(payment: Payment, meter: Meter | None) -> list[str]:
    """Return the numbers (E.164) that hear about a payment, none when we know nobody's."""
    phones = list(meter.phones[:REGISTERED_PHONES_MAX]) if meter else []
    if payment.notice.payer_kind is PayerKind.CLEAR:
        payer = "+" + payment.notice.payer.removeprefix("+")
        if payer not in phones and _INTERNATIONAL.fullmatch(payer):
            phones.append(payer)
    return phones


def receipts(
    payment: Payment,
    meter: Meter,
    bill: Quote,
    *,
    digits: str,
    codes: tuple[str, ...] = (),
    wording: Wording,
    numbers: Numbers,
    now: datetime,
) -> list[Message]:
    """Return the receipt of a sale for each phone that hears about it.

    `codes` are those of a key change, to key in before the token.
    """
    phones = phones_of(payment, meter)
    if not phones:
        return []
    energy_minor = 0
    for line in bill.lines:
        # Whether the word is there at all is the quicker question, and mostly answered with no.
        if ENERGY in line.code and line.code.startswith(ENERGY):
            energy_minor += line.amount_minor
    text = words.receipt(
        meter.language,
        meter_number=meter.meter_number,
        digits=digits,
        codes=codes,
        local_time=_local(now, wording.time_zone),
        energy_wh=bill.energy_wh,
        tender_minor=bill.tender_minor,
        energy_minor=energy_minor,
        other_minor=bill.tender_minor - energy_minor,
        currency_symbol=wording.currency_symbol,
        utility_name=wording.utility_name,
    )
    return [
        Message(
            message_id=numbers.next(now),
            payment_id=payment.payment_id,
            kind=MessageKind.RECEIPT,
            recipient=phone,
            body=text,
            due_at=now,
        )
        for phone in phones
    ]


@lru_cache(maxsize=REMEMBERED)
def _local(now: datetime, zone: ZoneInfo) -> datetime:
    # All receipts of a batch have the same instant.
    return now.astimezone(zone)


def apologies(
    payment: Payment,
    meter: Meter | None,
    *,
    reason: str,
    wording: Wording,
    numbers: Numbers,
    now: datetime,
) -> list[Message]:
    """Return the word that a payment bought nothing, for each phone that hears about it."""
    phones = phones_of(payment, meter)
    if not phones:
        return []
    text = words.refund_due(
        meter.language if meter else words.LANGUAGES[0],
        reason=reason,
        receipt_number=payment.notice.transaction_id,
        tender_minor=payment.notice.amount_minor,
        currency_symbol=wording.currency_symbol,
        help_line=wording.help_line,
        utility_name=wording.utility_name,
    )
    return [
        Message(
            message_id=numbers.next(),
            payment_id=payment.payment_id,
            kind=MessageKind.REFUND_DUE,
            recipient=phone,
            body=text,
            due_at=now,
        )
        for phone in phones
    ]
