"""What rows are called outside: text with a prefix, for such numbers are too long for many."""

import re
from typing import Final

from vending.errors import VendingError

DEPOSIT: Final = "dep_"
BATCH: Final = "bat_"
ENDPOINT: Final = "ep_"
EVENT: Final = "evt_"
QUOTE: Final = "qt_"
DISPUTE: Final = "dsp_"

NUMBER_MAX: Final = 2**63 - 1

_DIGITS = re.compile(r"[0-9]{1,19}")


def name(prefix: str, number: int) -> str:
    """Return what a row is called outside."""
    return f"{prefix}{number}"


def number(prefix: str, text: str, *, unknown: type[VendingError]) -> int:
    """Return the number behind a name; raise `unknown` for what was never one of ours."""
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or not _DIGITS.fullmatch(digits) or int(digits) > NUMBER_MAX:
        raise unknown
    return int(digits)
