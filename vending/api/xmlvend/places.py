"""Where a message comes from: its client and its terminal, as an outlet and a till are called."""

import hashlib
import re
from typing import Final

from vending.vendors.vendor import point_of_sale
from vending.xmlvend.identity import Device, MessageId

PLACE_LETTERS_MAX: Final = 32
_PLACE: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]")
_DIGEST_LETTERS: Final = 8


def place(message: MessageId) -> str:
    """Return the outlet and till of a message: its client and its terminal."""
    return point_of_sale(_place(message.client), _place(message.terminal))


def outlet_and_till(message: MessageId) -> tuple[str, str]:
    """Return a message's client and terminal as an outlet and a till are called."""
    return _place(message.client), _place(message.terminal)


def _place(device: Device) -> str:
    """Return a device's name, or one like it that no other device has."""
    if _PLACE.fullmatch(device.text):
        return device.text
    plain = _STRANGE.sub("_", device.text)[: PLACE_LETTERS_MAX - _DIGEST_LETTERS - 1]
    return f"{plain}-{hashlib.sha256(device.text.encode()).hexdigest()[:_DIGEST_LETTERS]}"
