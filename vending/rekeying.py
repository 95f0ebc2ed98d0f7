"""A sale to a meter whose key is to change: its codes first, then its token under the new key.

The codes are made when the order's meter next buys, under the key it has until then, so that
whoever pays keys them in with a token in hand. While they cannot be made, say because the new
vending key is not loaded yet, the meter is sold to under the key it has, and stays due.
"""

from datetime import datetime

from vending.errors import Refused
from vending.key_data import KeyChange
from vending.meters import key_changes
from vending.meters.meter import Meter
from vending.shelf import Shelf
from vending.tokens.issuer import Issuer
from vending.values import replace


def applied(
    meter: Meter, *, meters: Shelf, issuer: Issuer, now: datetime
) -> tuple[Meter, KeyChange | None]:
    """Return a meter that is due under its new key, with the codes that take it there.

    Returns it as it is, and None, when its order was withdrawn, when the order is from another key
    than the meter's, and when the codes cannot be made.
    """
    order = meters.order_of(meter.meter_number)
    if order is None or order.old.name != key_changes.key_of(meter).name:
        return meter, None
    try:
        codes = issuer.change_key(meter, order.new, at=now)
    except Refused:
        return meter, None
    return key_changes.under(meter, order.new), replace(order, codes=codes)
