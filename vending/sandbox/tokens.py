"""The sandbox's tokens: made by the STS core under a key that is public, so no meter takes them.

Twenty digits with a right check sum for meters that do not exist. Which digits a sale gets follows
from its vendor, its reference and its facts alone: so they are the same on every server and after
every start, whatever the sandbox has forgotten.
"""

import functools
import hashlib
from datetime import datetime
from typing import Final

from vending.key_data import KeyChange
from vending.meters.key_changes import key_of, under
from vending.meters.meter import KEY_TYPE_UNIQUE, Meter
from vending.quantities import WH_PER_TENTH
from vending.tokens.identifiers import TID_MAX
from vending.tokens.issuer import CoreIssuer, Order, Token
from vending.tokens.keys import Description, ring_of
from vending.values import replace

SGC: Final = "999001"
KRN: Final = 1
TID_BASE: Final = 14
KEN_NEVER: Final = 255

PUBLIC_KEY: Final = bytes.fromhex("5374696d612773207075626c69632064656d6f20")
"""A vending key for DKGA04. It protects nothing: it stands here."""

KEY: Final = Description(
    sgc=SGC, krn=KRN, key_type=KEY_TYPE_UNIQUE, dkga="04", base_date=str(TID_BASE), ken=KEN_NEVER
)

_MINUTES_A_DAY: Final = 1440
_RESERVED_MINUTE: Final = 1


def issued(meter: Meter, energy_wh: int, *, seed: bytes) -> Token:
    """Return the token of a sale that `seed` names: the same for the same. Raises TokenRefused."""
    drawn = hashlib.sha256(seed).digest()
    tid = int.from_bytes(drawn[:3]) % (TID_MAX - 1) + 1
    if tid % _MINUTES_A_DAY == _RESERVED_MINUTE:
        tid += 1
    order = Order(meter=meter, energy_tenths=energy_wh // WH_PER_TENTH, tid=tid, rnd=drawn[3] & 0xF)
    (made,) = _issuer().issue([order])
    if not isinstance(made, Token):
        raise made
    return made


def rekeyed(meter: Meter, *, number: int, at: datetime) -> tuple[KeyChange, Meter]:
    """Return the codes that take a meter to the next tariff index, and the meter there.

    Under an order's `number`; the codes are the same each time. Raises TokenRefused.
    """
    old = key_of(meter)
    new = replace(old, ti=old.ti + 1)
    codes = _issuer().change_key(meter, new, at=at)
    return KeyChange(order_id=number, old=old, new=new, codes=codes), under(meter, new)


@functools.cache
def _issuer() -> CoreIssuer:
    return CoreIssuer(ring_of(KEY, bytearray(PUBLIC_KEY)))
