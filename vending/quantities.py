"""Whole numbers of the smallest unit: money in cents, energy in watt-hours, time in months.

Money is an ``int`` of minor units (KES cents), named ``..._minor``. Energy is an ``int`` of
watt-hours, named ``..._wh``; a token carries tenths of a kilowatt-hour, named ``..._tenths``,
so one tenth is 100 Wh. A month is an ``int`` such as 202611, in the utility's own time zone.
No float comes near any of them.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

WH_PER_TENTH = 100
"""Watt-hours in the token's smallest step, 0.1 kWh."""

TENTHS_MAX = 18_201_624
"""The largest credit one token can carry, in tenths (IEC 62055-41 amount code, exponent 3)."""

_RANGES = ((0, 1), (16_384, 10), (180_224, 100), (1_818_624, 1_000))
"""Offset and step, in tenths, of each exponent of the token's amount code."""

_MANTISSA_MAX = 2**14 - 1

# Written out once: a receipt writes three sums, and padding by a format costs more than the rest.
_CENTS = tuple(f"{cents:02d}" for cents in range(100))


def tenths_carried(tenths: int) -> int:
    """Return the amount a token carries when `tenths` are asked for: never less.

    The 16-bit amount code of IEC 62055-41 steps by 1, 10, 100 or 1000 tenths as amounts grow, and
    rounds up in the customer's favour. Raises ValueError below one tenth or above `TENTHS_MAX`.
    """
    if tenths >= 1:
        for offset, step in _RANGES:
            mantissa = max(0, -((offset - tenths) // step))
            if mantissa <= _MANTISSA_MAX:
                return offset + mantissa * step
    raise ValueError(tenths)


def month_of(at: datetime, zone: ZoneInfo) -> int:
    """Return the calendar month of an instant in a time zone, as yyyymm."""
    local = at.astimezone(zone)
    return local.year * 100 + local.month


def months_between(earlier: int, later: int) -> int:
    """Return how many months lie between two yyyymm months; 0 for the same month."""
    return (later // 100 - earlier // 100) * 12 + later % 100 - earlier % 100


def money_text(minor: int) -> str:
    """Return cents as people write them: 50000 → "500.00", 50 → "0.50"."""
    if minor < 0:
        return "-" + money_text(-minor)
    return f"{minor // 100}.{_CENTS[minor % 100]}"


def energy_text(energy_wh: int) -> str:
    """Return watt-hours as kilowatt-hours with one decimal, the step a token carries."""
    return f"{energy_wh // 1000}.{energy_wh % 1000 // 100}"
