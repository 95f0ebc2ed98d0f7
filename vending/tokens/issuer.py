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

from vending.errors import Inconsistent, Refused
from vending.key_data import KeyData
from vending.meters.meter import KEY_TYPE_UNIQUE, Meter
from vending.quantities import WH_PER_TENTH
from vending.tokens.special import SpecialKind
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


class TokenMisread(Inconsistent):
    """A special token does not decode to what was asked for.

    Nothing of it was written. The rules of the server and of the STS core disagree.
    """

    code = "token_misread"


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


class SpecialOrder(Value, frozen=True, kw_only=True):
    """One special token to make; `value` counts as its kind does. A meter test has no meter."""

    kind: SpecialKind
    value: int
    meter: Meter | None = None
    tid: int | None = None
    rnd: int = 0


class Digits(Value, frozen=True):
    """A special token's twenty digits, and the value that they really carry."""

    hidden = frozenset({"digits"})

    digits: str
    value: int


class Issuer(Protocol):
    """Makes tokens: credit that was paid for, and special ones."""

    def require_issuable(self, meter: Meter, *, tid: int) -> None:
        """Raise KeyMissing, KeyUnfit or KeyExpired when no token can be made for the meter."""
        ...

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        """Return one token or one refusal an order, in order."""
        ...

    def special(self, order: SpecialOrder) -> Digits | TokenRefused:
        """Return a special token, proved by decoding it, or a refusal. Raises TokenMisread."""
        ...

    def key_data(self, *, sgc: str, krn: int, ti: int) -> KeyData:
        """Return a key with its base date and expiry number. Raises KeyMissing."""
        ...

    def change_key(self, meter: Meter, new: KeyData, *, at: datetime) -> tuple[str, ...]:
        """Return the codes that move a meter from the key it has to another, in order.

        Raises KeyMissing, KeyUnfit, and TokenRefused when the core makes no such change.
        """
        ...


class _Held(Value, frozen=True, kw_only=True):
    """What every sale asks of a vending key: copied, because the core makes it anew each time.

    The type of every key that is held is KEY_TYPE_UNIQUE.
    """

    tid_base: int
    ken: int


class CoreIssuer:
    """The STS core in this process, with keys that never leave it."""

    def __init__(self, ring: sts_core.KeyRing) -> None:
        self._ring = ring
        entries = ring.keys()
        self._keys = {
            (key.sgc, key.krn): _Held(ken=key.ken, tid_base=int(key.base_date))
            for key in entries
            if key.key_type == KEY_TYPE_UNIQUE
        }

    def require_issuable(self, meter: Meter, *, tid: int) -> None:
        """Raise KeyMissing, KeyUnfit or KeyExpired when no token can be made for the meter."""
        key = self._keys.get((meter.sgc, meter.krn))
        if key is None:
            raise KeyMissing(sgc=meter.sgc, krn=meter.krn)
        if key.tid_base != meter.tid_base or meter.key_type != KEY_TYPE_UNIQUE:
            raise KeyUnfit(meter_number=meter.meter_number, sgc=meter.sgc, krn=meter.krn)
        block = tid >> _KEN_SHIFT
        if block > key.ken or block > meter.ken:
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

    def key_data(self, *, sgc: str, krn: int, ti: int) -> KeyData:
        """Return a key with its base date and expiry number. Raises KeyMissing."""
        held = self._keys.get((sgc, krn))
        if held is None:
            raise KeyMissing(sgc=sgc, krn=krn)
        return KeyData(sgc=sgc, krn=krn, ti=ti, tid_base=held.tid_base, ken=held.ken)

    def change_key(self, meter: Meter, new: KeyData, *, at: datetime) -> tuple[str, ...]:
        """Return the codes that move a meter from the key it has to another, in order.

        They are made of the two keys alone, so asking again gives the same digits. Raises
        KeyMissing, KeyUnfit, and TokenRefused when the core makes no such change.
        """
        held = self._keys.get((new.sgc, new.krn))
        if held is None:
            raise KeyMissing(sgc=new.sgc, krn=new.krn)
        if (held.tid_base, held.ken) != (new.tid_base, new.ken):
            raise KeyUnfit(meter_number=meter.meter_number, sgc=new.sgc, krn=new.krn)
        try:
            made = self._ring.issue_key_change(
                meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti,
                new_sgc=new.sgc, new_krn=new.krn, new_ti=new.ti, at=at, key_type=meter.key_type,
            )  # fmt: skip
        except sts_core.StsError as fault:
            raise TokenRefused(meter_number=meter.meter_number, rule=fault.code) from None
        return tuple(made.tokens)

    def special(self, order: SpecialOrder) -> Digits | TokenRefused:
        """Return a special token, proved by decoding it, or a refusal. Raises TokenMisread."""
        meter, tid = order.meter, order.tid
        try:
            if meter is None or tid is None:
                return _test(order)
            if order.kind.free:
                credit = Order(
                    meter=meter, energy_tenths=order.value // WH_PER_TENTH, tid=tid, rnd=order.rnd
                )
                issued = self._ring.issue_credit(_asked(credit))
            else:
                issued = self._ring.issue_management(
                    meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn,
                    ti=meter.ti, tid=tid, rnd=order.rnd, kind=_MANAGED[order.kind][1],
                    value=order.value,
                )  # fmt: skip
            key = self._ring.decoder_key(
                meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti
            )
            reading = sts_core.decode(issued.digits, key)
        except sts_core.StsError as fault:
            return TokenRefused(rule=fault.code)
        if _read(reading, order.kind) != (_class_of(order.kind), tid, issued.amount):
            raise TokenMisread(kind=order.kind.value)
        if order.kind.free:
            return Digits(issued.digits, issued.amount * WH_PER_TENTH)
        return Digits(issued.digits, issued.amount)


_MANAGED = {
    SpecialKind.POWER_LIMIT: (0, "maximum_power_limit"),
    SpecialKind.CLEAR_CREDIT: (1, "clear_credit"),
    SpecialKind.CLEAR_TAMPER: (5, "clear_tamper"),
    SpecialKind.PHASE_UNBALANCE: (6, "phase_power_unbalance_limit"),
    SpecialKind.WATER_FACTOR: (7, "water_meter_factor"),
}
"""The subclass of each class 2 token, and what the core calls it (IEC 62055-41, 6.2.5)."""

_AMOUNTS = (SpecialKind.POWER_LIMIT, SpecialKind.PHASE_UNBALANCE)
"""Whose sixteen bits are an amount code and not the value itself (6.3.6)."""

_MANTISSA_BITS = 14
_OFFSETS = (0, 16_384, 180_224, 1_818_624)
"""Where each exponent of an amount code begins (6.3.6)."""


def _class_of(kind: SpecialKind) -> tuple[int, int]:
    return (0, ELECTRICITY) if kind.free else (2, _MANAGED[kind][0])


def _read(
    reading: sts_core.Reading, kind: SpecialKind
) -> tuple[tuple[int, int], int | None, int | None]:
    """Return a token's class with its subclass, its identifier and its value."""
    value = reading.amount if kind.free else reading.field16
    if kind in _AMOUNTS and value is not None:
        exponent, mantissa = value >> _MANTISSA_BITS, value % (1 << _MANTISSA_BITS)
        value = _OFFSETS[exponent] + mantissa * 10**exponent
    return (reading.token_class, reading.subclass), reading.tid, value


def _test(order: SpecialOrder) -> Digits:
    """Return a meter test of any make (IEC 62055-41, 6.2.3); raises StsError, TokenMisread."""
    control = sts_core.meter_test_control(order.value)
    digits = sts_core.meter_test(control=control).digits
    reading = sts_core.decode(digits)
    if (reading.token_class, reading.control) != (1, control):
        raise TokenMisread(kind=order.kind.value)
    return Digits(digits, order.value)


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
