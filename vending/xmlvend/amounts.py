"""Decimal text to whole minor units and watt-hours, exactly, and back."""

import re
from typing import Final

from vending.values import Value
from vending.xmlvend.errors import Reason, XmlvendMalformed

_DECIMAL: Final = re.compile(r"\+?([0-9]{1,12})(?:\.([0-9]{0,12}))?\Z")
"""Twelve digits of money before the point are more than any till has sold; gateways print up to
eight after it, most of them zeros."""

_KILO_DECIMALS: Final = 3
"""A kilowatt-hour has a thousand watt-hours, a kilowatt a thousand watts."""

ENERGY_UNIT: Final = "kWh"
POWER_UNIT: Final = "kW"


class Currency(Value, frozen=True, kw_only=True):
    """The utility's money: how it is written, what else it is called, and its decimals.

    `symbol` is what answers carry. `aliases` are other symbols that clients may send for it, in
    any case; a request without a symbol is taken to mean it, as one in another currency is not.
    """

    symbol: str
    aliases: frozenset[str] = frozenset()
    decimals: int = 2

    def minor_of(self, value: str, symbol: str, *, at: str) -> int:
        """Return an amount in minor units; raises XmlvendMalformed, naming `at`."""
        written = symbol.strip().casefold()
        if written and written not in {name.casefold() for name in (self.symbol, *self.aliases)}:
            raise XmlvendMalformed(reason=Reason.CURRENCY, at=at)
        return _whole(value, decimals=self.decimals, at=at)

    def text_of(self, minor: int) -> str:
        """Return minor units as decimal text: 5000 → "50.00"."""
        return _text(minor, decimals=self.decimals)


def energy_of(value: str, unit: str, *, at: str) -> int:
    """Return kilowatt-hours as watt-hours; raises XmlvendMalformed, naming `at`.

    A missing unit is kilowatt-hours: the resource has no other.
    """
    if unit.strip().lower() not in ("", ENERGY_UNIT.lower()):
        raise XmlvendMalformed(reason=Reason.VALUE, at=at)
    return _whole(value, decimals=_KILO_DECIMALS, at=at)


def power_of(value: str, unit: str, *, at: str) -> int:
    """Return kilowatts as watts; raises XmlvendMalformed, naming `at`."""
    if unit.strip().lower() not in ("", POWER_UNIT.lower()):
        raise XmlvendMalformed(reason=Reason.VALUE, at=at)
    return _whole(value, decimals=_KILO_DECIMALS, at=at)


def thousandths_text(whole: int) -> str:
    """Return watt-hours as kilowatt-hours (watts as kilowatts): one decimal, or what they need."""
    text = _text(whole, decimals=_KILO_DECIMALS)
    shorter = text.rstrip("0")
    return shorter + "0" if shorter.endswith(".") else shorter


def _whole(value: str, *, decimals: int, at: str) -> int:
    found = _DECIMAL.match(value.strip())
    if found is None:
        raise XmlvendMalformed(reason=Reason.VALUE, at=at)
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise XmlvendMalformed(reason=Reason.DECIMALS, at=at)
    return int(found[1] + fraction.ljust(decimals, "0"))


def _text(whole: int, *, decimals: int) -> str:
    sign = "-" if whole < 0 else ""
    digits = str(abs(whole)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits
