"""What a meter is: its number with check digits, its record, and what the next vend must know.

A meter's number is its decoder reference number (DRN) of 11 or 13 digits, the last of which is a
Luhn check digit. The 18-digit MeterPAN printed on some cards is the DRN behind an issuer number
and before a second check digit (IEC 62055-41, 6.1.2; STS test case CTSA17).
"""

import re
from datetime import datetime
from typing import Literal

from vending.errors import Refused
from vending.meters.check_digits import LENGTHS, luhn_digit, luhn_holds
from vending.values import Value

MeterStatus = Literal["active", "blocked", "removed"]
DebtMode = Literal["percent", "fixed", "all"]

KEY_TYPE_UNIQUE = 2
"""The decoder unique key, which every credit token is made under (IEC 62055-41, table 32)."""

_ISSUER_OF_11 = "600727"
_ISSUER_OF_13 = "0000"
_PAN_DIGITS = 18
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015]+")


class MeterNumberMalformed(Refused):
    """This is not a meter number.

    `reason` is one of: empty, not_digits, length, check_digit, pan_check_digit, pan_issuer. The
    text itself is left out, because people type phone numbers and tokens there too.
    """

    code = "meter_number_malformed"


class MeterUnknown(Refused):
    """No meter has this number here.

    Check the number on the meter; the utility imports the meter if it is new.
    """

    code = "meter_unknown"


class MeterBlocked(Refused):
    """The meter is blocked and may not be sold to.

    The customer must ask the utility, which blocked it; `vending meters unblock` lets it buy again.
    """

    code = "meter_blocked"


class MeterRemoved(Refused):
    """The meter has been taken out of service.

    The customer has another meter by now; its number is the one to pay for.
    """

    code = "meter_removed"


def parse_meter_number(text: str) -> str:
    """Return the DRN (11 or 13 digits) in what a person or a file gave as a meter number.

    Spaces and hyphens are dropped. An 18-digit MeterPAN is taken too, when both its check digits
    hold. Raises MeterNumberMalformed with the reason.
    """
    digits = text if text.isdigit() else _SEPARATORS.sub("", text)
    if not digits:
        raise MeterNumberMalformed(reason="empty")
    if not (digits.isascii() and digits.isdigit()):
        raise MeterNumberMalformed(reason="not_digits")
    if len(digits) == _PAN_DIGITS:
        digits = _drn_of_pan(digits)
    elif len(digits) not in LENGTHS:
        raise MeterNumberMalformed(reason="length", length=len(digits))
    if not luhn_holds(digits.encode("ascii")):
        raise MeterNumberMalformed(reason="check_digit")
    return digits


def _drn_of_pan(pan: str) -> str:
    if pan.startswith(_ISSUER_OF_11):
        drn = pan[6:17]
    elif pan.startswith(_ISSUER_OF_13):
        drn = pan[4:17]
    else:
        raise MeterNumberMalformed(reason="pan_issuer")
    if not luhn_holds(pan.encode("ascii")):
        raise MeterNumberMalformed(reason="pan_check_digit")
    return drn


def meter_pan(meter_number: str) -> str:
    """Return the 18-digit MeterPAN of a DRN of 11 or 13 digits."""
    issuer = _ISSUER_OF_11 if len(meter_number) == 11 else _ISSUER_OF_13  # noqa: PLR2004
    return issuer + meter_number + luhn_digit(issuer + meter_number)


class Meter(Value, frozen=True, kw_only=True):
    """One meter's record: everything but what a vend changes.

    `sgc` supply group code, `krn` key revision number, `ti` tariff index, `ea` encryption
    algorithm (7 or 11), `tct` token carrier type, `tid_base` base date of token identifiers (93,
    14 or 35) and `ken` key expiry number are the meter's key data: they follow the physical meter
    and change only by key-change tokens. `tariff` and `tariff_category` say what is charged.
    `phones` (E.164) may read this meter's tokens back; `language` is that of its messages.
    `key_change_due` says that a key change was ordered and goes with the next sale; only a vend
    reads it.
    """

    hidden = frozenset({"phones"})

    meter_number: str
    sgc: str
    krn: int
    key_type: int = KEY_TYPE_UNIQUE
    ti: int
    ea: int
    tct: int
    tid_base: int
    ken: int
    tariff: str
    tariff_category: str
    status: MeterStatus = "active"
    phones: tuple[str, ...] = ()
    language: str = "en"
    region: str = ""
    key_change_due: bool = False


class MeterState(Value, frozen=True, kw_only=True):
    """What the next vend of a meter must know, and will change.

    `last_tid` is the last token identifier used, in minutes since the base date; 0 means none.
    `month` (yyyymm, 0 never) is the month `month_energy_wh` was sold in; `history_wh` is the
    energy of one, two and three months before it. `fees_paid_through` is the last month whose
    monthly fees are paid. `open_debts` counts the debts with a balance: 0 saves reading them.
    """

    meter_number: str
    tid_base: int
    last_tid: int = 0
    month: int = 0
    month_energy_wh: int = 0
    history_wh: tuple[int, int, int] = (0, 0, 0)
    fees_paid_through: int = 0
    open_debts: int = 0


class DebtRecord(Value, frozen=True, kw_only=True):
    """One debt of a meter and how a purchase pays it off; the lowest `priority` goes first.

    `mode` percent takes `rate_ppm` millionths of the tender, fixed takes `amount_minor` a
    purchase, all takes everything until `balance_minor` is gone.
    """

    meter_number: str
    debt_id: int
    kind: str
    priority: int
    mode: DebtMode
    rate_ppm: int
    amount_minor: int
    balance_minor: int
    reason: str
    opened_at: datetime


def require_active(meter: Meter) -> None:
    """Raise MeterBlocked or MeterRemoved unless the meter may be sold to."""
    if meter.status == "blocked":
        raise MeterBlocked(meter_number=meter.meter_number)
    if meter.status == "removed":
        raise MeterRemoved(meter_number=meter.meter_number)
