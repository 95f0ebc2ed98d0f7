"""A message that was read and whose sender is known: what every handler is given."""

from datetime import datetime
from typing import Final

from vending.api.v1.teller import Teller
from vending.key_data import KeyChange, KeyData
from vending.meters import directory
from vending.meters.key_changes import key_of
from vending.meters.meter import Meter as MeterRecord
from vending.meters.meter import MeterUnknown, parse_meter_number
from vending.values import Value
from vending.vendors.register import Caller
from vending.xmlvend.answers import Head, head_of
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import Device, DeviceKind
from vending.xmlvend.receipts import KeyChange as ToldChange
from vending.xmlvend.receipts import Meter
from vending.xmlvend.requests import KeyData as ToldKey
from vending.xmlvend.requests import MeterCard, MeterIdentity

SERVER: Final = Device(kind=DeviceKind.GENERIC, text="stima")
"""What the server calls itself in every answer: it is the same utility, whichever process."""


class Visit(Value, frozen=True, kw_only=True):
    """Which vendor asks, in which message, and when."""

    caller: Caller
    sender: Sender
    now: datetime

    @property
    def vendor_id(self) -> str:
        """The vendor's id."""
        return self.caller.vendor_id

    def head(self, *, title: str = "", operator_text: str = "") -> Head:
        """Return the head of an answer that is made now."""
        return head_of(
            self.sender, server=SERVER, at=self.now, title=title, operator_text=operator_text
        )


def number_of(meter: MeterIdentity) -> str:
    """Return a meter's number, whichever way it was named. Raises MeterNumberMalformed.

    A card's second track begins with the MeterPAN and has "=" behind it (IEC 62055-41, 6.1.2).
    """
    if isinstance(meter, MeterCard):
        return parse_meter_number(meter.track2.lstrip(";").partition("=")[0])
    return parse_meter_number(meter.number)


async def record(teller: Teller, number: str) -> MeterRecord:
    """Return a meter's record. Raises MeterUnknown."""
    found = await directory.find(teller.reads, [number])
    if number not in found:
        raise MeterUnknown
    return found[number]


def shown(meter: MeterRecord) -> Meter:
    """Return a meter as tills see it."""
    return Meter(
        number=meter.meter_number,
        key=told_key(key_of(meter)),
        algorithm=f"{meter.ea:02d}",
        technology=f"{meter.tct:02d}",
    )


def told_key(key: KeyData) -> ToldKey:
    """Return a meter's key as tills see it."""
    return ToldKey(supply_group=key.sgc, key_revision=str(key.krn), tariff_index=f"{key.ti:02d}")


def shown_change(change: KeyChange, meter: Meter) -> ToldChange:
    """Return the codes of a key change as tills print them."""
    return ToldChange(
        meter=meter, tokens=change.codes, from_key=told_key(change.old), to_key=told_key(change.new)
    )
