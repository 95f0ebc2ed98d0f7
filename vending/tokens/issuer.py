"""The issuer: energy for meters becomes tokens. The one caller of the STS core's issuing side.

`Issuer` is a protocol so that nothing above knows which backend answers: today the Rust core in
this process, later a signer process or a security module. Issuing is a pure function of the order
(its identifier and its random nibble are fixed by the caller), so issuing again gives the same
digits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import sts_core

from vending.errors import Refused
from vending.key_data import KeyData
from vending.meters.meter import KEY_TYPE_UNIQUE, Meter
from vending.values import Value

ELECTRICITY = 0
"""Subclass of a class 0 token for electricity in tenths of kWh (IEC 62055-41, 6.2.2)."""

_KEN_SHIFT = 16
"""A key is expired when the identifier's upper eight bits pass its expiry number (6.1.10)."""


class KeyMissing(Refused):
    """No vending key is loaded for the meter's supply group and key revision.

    Load the key with `vending keys add`, restart, and reassign the payment to the same meter.
    """

    code = "key_missing"


class KeyUnfit(Refused):
    """The meter's record and its vending key disagree on base date or key type.

    Correct the meter's record or the key, then reassign the payment to the same meter.
    """

    code = "key_unfit"


class KeyExpired(Refused):
    """The meter's key has passed its expiry number; no credit may be made under it.

    The meter needs a key change; then reassign the payment to it.
    """

    code = "key_expired"


class TokenRefused(Refused):
    """The STS core refused to make the token; `rule` is its own code for the reason.

    docs/reference/errors.md lists the rules; correct the meter's record, then reassign.
    """

    code = "token_refused"


class Order(Value, frozen=True, kw_only=True):
    """One token to make: everything that decides its digits, save the key."""

    meter: Meter
    energy_tenths: int
    tid: int
    rnd: int


class Token(Value, frozen=True):
    """Twenty digits, the energy in tenths they carry, and the identifier within them."""

    hidden = frozenset({"digits"})

    digits: str
    energy_tenths: int
    tid: int


class Issuer(Protocol):
    """Makes credit tokens."""

    def require_issuable(self, meter: Meter, *, tid: int) -> None:
        """Raise KeyMissing, KeyUnfit or KeyExpired when no token can be made for the meter."""
        ...

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        """Return one token or one refusal an order, in order."""
        ...

    def change_key(self, meter: Meter, new: KeyData, *, at: datetime) -> tuple[str, ...]:
        """Return the codes that move a meter from the key it has to another, in order.

        Raises KeyMissing, KeyUnfit, and TokenRefused when the core makes no such change.
        """
        ...


class CoreIssuer:
    """The STS core in this process, with keys that never leave it."""

    def __init__(self, ring: sts_core.KeyRing) -> None:
        self._ring = ring
        entries = ring.keys()
        self._keys = {(key.sgc, key.krn): key for key in entries if key.key_type == KEY_TYPE_UNIQUE}

    def require_issuable(self, meter: Meter, *, tid: int) -> None:
        """Raise KeyMissing, KeyUnfit or KeyExpired when no token can be made for the meter."""
        key = self._keys.get((meter.sgc, meter.krn))
        if key is None:
            raise KeyMissing(sgc=meter.sgc, krn=meter.krn)
        if int(key.base_date) != meter.tid_base or key.key_type != meter.key_type:
            raise KeyUnfit(meter_number=meter.meter_number, sgc=meter.sgc, krn=meter.krn)
        if tid >> _KEN_SHIFT > min(key.ken, meter.ken):
            raise KeyExpired(meter_number=meter.meter_number, sgc=meter.sgc, krn=meter.krn)

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        """Return one token or one refusal an order, in order."""
        issued = self._ring.issue_credits([_asked(order) for order in orders])
        return [
            TokenRefused(meter_number=order.meter.meter_number, rule=one.code)
            if isinstance(one, sts_core.StsError)
            else Token(one.digits, one.amount, order.tid)
            for order, one in zip(orders, issued, strict=True)
        ]

    def change_key(self, meter: Meter, new: KeyData, *, at: datetime) -> tuple[str, ...]:
        """Return the codes that move a meter from the key it has to another, in order.

        They are made of the two keys alone, so asking again gives the same digits. Raises
        KeyMissing, KeyUnfit, and TokenRefused when the core makes no such change.
        """
        held = self._keys.get((new.sgc, new.krn))
        if held is None:
            raise KeyMissing(sgc=new.sgc, krn=new.krn)
        if (int(held.base_date), held.ken) != (new.tid_base, new.ken):
            raise KeyUnfit(meter_number=meter.meter_number, sgc=new.sgc, krn=new.krn)
        try:
            made = self._ring.issue_key_change(
                meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti,
                new_sgc=new.sgc, new_krn=new.krn, new_ti=new.ti, at=at, key_type=meter.key_type,
            )  # fmt: skip
        except sts_core.StsError as fault:
            raise TokenRefused(meter_number=meter.meter_number, rule=fault.code) from None
        return tuple(made.tokens)


def _asked(order: Order) -> tuple[str, int, str, int, int, int, int, int, int]:
    meter = order.meter
    return (
        meter.meter_number,
        meter.ea,
        meter.sgc,
        meter.krn,
        meter.ti,
        ELECTRICITY,
        order.energy_tenths,
        order.tid,
        order.rnd,
    )
