"""Tokens without money: free units, and those that set, test or read out a meter."""

import re
from typing import Final

from vending.api.v1.teller import Teller
from vending.api.xmlvend import receipts, visit
from vending.api.xmlvend.places import place
from vending.api.xmlvend.visit import SERVER, Visit
from vending.selling.specials import Wanted
from vending.tokens.special import SpecialKind, SpecialToken
from vending.xmlvend.answers import (
    EngineeringAnswer,
    Head,
    MeterTestAnswer,
    VendAnswer,
    VendKind,
    head_of,
)
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import MessageId
from vending.xmlvend.receipts import CreditKind, CreditLine, Receipt
from vending.xmlvend.requests import (
    Engineering,
    EngineeringKind,
    FreeKind,
    FreeVend,
    MeterTest,
    MeterTestKind,
)

WAIT_SECONDS: Final = 20.0
"""As long as a sale is waited for."""

REGISTER: Final = 0
"""Which credit a till clears: that of electricity, the only resource there is here."""

ANY_TYPE: Final = ("07", "02")
"""The type of meter that an answer names where the till named none: a test is for any."""

_TYPE: Final = re.compile("[0-9]{2}")

ENGINEERING: Final = {
    EngineeringKind.SET_POWER_LIMIT: SpecialKind.POWER_LIMIT,
    EngineeringKind.SET_PHASE_UNBALANCE: SpecialKind.PHASE_UNBALANCE,
    EngineeringKind.CLEAR_CREDIT: SpecialKind.CLEAR_CREDIT,
    EngineeringKind.CLEAR_TAMPER: SpecialKind.CLEAR_TAMPER,
}
"""The tokens for one meter that are made. There is no token for a default credit."""

TESTS: Final = {
    MeterTestKind.TEST_ALL: 0,
    MeterTestKind.TEST_BREAKER: 1,
    MeterTestKind.TEST_DISPLAY: 2,
    MeterTestKind.SHOW_TOTAL: 3,
    MeterTestKind.SHOW_KEY_REVISION: 4,
    MeterTestKind.SHOW_TARIFF_INDEX: 5,
    MeterTestKind.SHOW_POWER_LIMIT: 7,
    MeterTestKind.SHOW_TAMPER: 8,
    MeterTestKind.SHOW_POWER: 9,
    MeterTestKind.SHOW_VERSION: 10,
    MeterTestKind.SHOW_PHASE_UNBALANCE: 11,
}
"""The number of each test (IEC 62055-41, table 27)."""

_ENGINEERED: Final = {made: kind for kind, made in ENGINEERING.items()}
_TESTED: Final = {number: kind for kind, number in TESTS.items()}
_POWERS: Final = (SpecialKind.POWER_LIMIT, SpecialKind.PHASE_UNBALANCE)

_FREE: Final = {
    FreeKind.BASIC: SpecialKind.FREE_BASIC,
    FreeKind.ISSUE: SpecialKind.FREE_ISSUE,
}
_ISSUED: Final = {
    SpecialKind.FREE_BASIC: (VendKind.FREE_BASIC, CreditKind.FREE_BASIC, "Free basic units"),
    SpecialKind.FREE_ISSUE: (VendKind.FREE_ISSUE, CreditKind.FREE_ISSUE, "Free units"),
}
_TEXTS: Final = {
    SpecialKind.POWER_LIMIT: "Power limit",
    SpecialKind.PHASE_UNBALANCE: "Phase unbalance limit",
    SpecialKind.CLEAR_CREDIT: "Credit cleared",
    SpecialKind.CLEAR_TAMPER: "Tamper state cleared",
    SpecialKind.METER_TEST: "Meter test",
}

Given = VendAnswer | EngineeringAnswer | MeterTestAnswer
"""The answer to a request for a token without money."""


async def free(teller: Teller, asked: Visit, request: FreeVend) -> Given:
    """Give a meter the free units that are due to it, once; the same message gets the same.

    Raises FreeUnitsNone, DailyCapReached, what stands against the meter, and SalePending.
    """
    return await _give(teller, asked, _FREE[request.kind], visit.number_of(request.meter), None)


async def engineer(teller: Teller, asked: Visit, request: Engineering) -> Given:
    """Make a token that sets a meter. Raises DailyCapReached, SpecialMalformed, SalePending."""
    kind = ENGINEERING[request.kind]
    value = request.power_w or 0
    if kind is SpecialKind.CLEAR_CREDIT:
        value = REGISTER
    return await _give(teller, asked, kind, visit.number_of(request.meter), value)


async def test(teller: Teller, asked: Visit, request: MeterTest) -> Given:
    """Make a token that tests any meter. Raises DailyCapReached, SalePending."""
    named = request.algorithm, request.technology
    named = named if all(map(_TYPE.fullmatch, named)) else ANY_TYPE
    kind = SpecialKind.METER_TEST
    return await _give(teller, asked, kind, None, TESTS[request.kind], meter_type=named)


async def answer(
    teller: Teller,
    asked: Visit,
    token: SpecialToken,
    *,
    message: MessageId,
    meter_type: tuple[str, str] = ANY_TYPE,
) -> Given:
    """Return the answer to a request that got a token: the same each time it is asked."""
    sender = Sender(soap=asked.sender.soap, message_id=message, credential=None)
    head = head_of(sender, server=SERVER, at=token.decided_at)
    if token.kind is SpecialKind.METER_TEST:
        return MeterTestAnswer(
            kind=_TESTED[token.value],
            head=head,
            algorithm=meter_type[0],
            technology=meter_type[1],
            token=token.token,
            text=_TEXTS[token.kind],
        )
    if token.kind.free:
        return await _receipt(teller, asked, token, head)
    return EngineeringAnswer(
        kind=_ENGINEERED[token.kind],
        head=head,
        party=await receipts.party(teller, asked),
        meter=visit.shown(await visit.record(teller, token.meter_number or "")),
        token=token.token,
        text=_TEXTS[token.kind],
        power_w=token.value if token.kind in _POWERS else None,
    )


async def _receipt(teller: Teller, asked: Visit, token: SpecialToken, head: Head) -> VendAnswer:
    """Return the receipt of free units: a credit for nothing."""
    kind, credit, text = _ISSUED[token.kind]
    meter = await visit.record(teller, token.meter_number or "")
    line = CreditLine(
        kind=credit,
        amount_minor=0,
        energy_wh=token.energy_wh,
        token=token.token,
        meter=visit.shown(meter),
        tariff=receipts.tariff(meter.tariff, meter.tariff_category),
        text=text,
    )
    return VendAnswer(
        kind=kind,
        head=head,
        party=await receipts.party(teller, asked),
        receipt=Receipt(number=str(token.special_id), lines=(line,), tendered_minor=0),
    )


async def _give(
    teller: Teller,
    asked: Visit,
    kind: SpecialKind,
    meter: str | None,
    value: int | None,
    *,
    meter_type: tuple[str, str] = ANY_TYPE,
) -> Given:
    message = asked.sender.message_id
    wanted = Wanted(
        vendor_id=asked.vendor_id,
        reference=message.reference,
        point_of_sale=place(message),
        kind=kind,
        meter=meter,
        value=value,
        who=f"{asked.vendor_id} by {asked.caller.credential}",
    )
    token = await teller.specials.issue(wanted, wait_seconds=WAIT_SECONDS)
    return await answer(teller, asked, token, message=message, meter_type=meter_type)
