"""Reading the inputs of a known answer, in whatever form they are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Any

import sts_core
from sts_core import DecoderKey, VendingKey, _native

CURRENCY_UNITS = 100_000
"""Wire units of one unit of currency."""


class Mismatch(Exception):
    """An entry's facts contradict each other or what was computed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The inputs of one entry, read in whatever form they are written."""

    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def first(self, *names: str) -> Any:
        """Return the first of these facts that is given."""
        for name in names:
            if name in self:
                return self.values[name]
        raise Mismatch(f"needs one of {', '.join(names)}")

    def number(self, *names: str, default: int | None = None) -> int:
        """Read a number: an integer, decimal digits, or hexadecimal after 0x."""
        if default is not None and not any(name in self for name in names):
            return default
        return number(self.first(*names))

    def bits(self, *names: str) -> int:
        """Read a number that is written in hexadecimal, with or without 0x."""
        return bits(self.first(*names))

    def text(self, *names: str) -> str:
        """Read text, be it written as text or as a number."""
        return str(self.first(*names))

    def octets(self, *names: str) -> bytes:
        """Read bytes written in hexadecimal."""
        return bytes.fromhex(str(self.first(*names)).removeprefix("0x"))


def number(value: Any) -> int:
    """Read an integer, decimal digits, or hexadecimal after 0x."""
    if isinstance(value, str) and not value.strip().lower().startswith("0x"):
        return int(value, 10)
    return int(value, 16) if isinstance(value, str) else int(value)


def bits(value: Any) -> int:
    """Read hexadecimal with or without 0x, or an integer."""
    return int(value, 16) if isinstance(value, str) else int(value)


def digits(value: Any) -> str:
    """Read a token as twenty digits without spaces."""
    return str(value).replace(" ", "").replace("-", "")


def instant(text: str) -> datetime:
    """Read a time of issue, in UTC unless it says otherwise."""
    at = datetime.fromisoformat(text.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def luhn(text: str) -> str:
    """Return the check digit of ISO/IEC 7812."""
    total = 0
    for place, digit in enumerate(reversed(text)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the rule's own nine
    return str(-total % 10)


def meter(facts: Facts) -> str:
    """Find the meter PAN or DRN, from whichever parts are given."""
    if "meter_pan" in facts or "pan" in facts:
        return facts.text("meter_pan", "pan")
    if "iin" in facts and "iain" in facts:
        front = facts.text("iin") + facts.text("iain")
        return front + luhn(front)
    return facts.text("drn", "iain", "meter")


def algorithm(facts: Facts) -> int:
    """Return the encryption algorithm; seven where none is named."""
    return facts.number("ea", default=7)


def derivation(facts: Facts) -> str:
    """Return the key generation algorithm, else the one that fits the key's length."""
    if "dkga" in facts:
        return f"{facts.number('dkga'):02}"
    lengths = {8: "02", 20: "04"}
    return lengths.get(len(facts.octets("vending_key")), "04")


def base_date(facts: Facts, *names: str) -> str:
    """Return the two digits of the base date, which may be written as a year."""
    return f"{facts.number(*names, default=14) % 100:02}"


def key_name(facts: Facts) -> dict[str, Any]:
    """Gather the facts that, with a vending key, decide a decoder key."""
    return {
        "meter": meter(facts),
        "ea": algorithm(facts),
        "sgc": facts.text("sgc").zfill(6),
        "krn": facts.number("krn", default=1),
        "ti": facts.number("ti", default=1),
        "base_date": base_date(facts, "base_date", "tid_base_date"),
        "key_type": facts.number("key_type", "kt", default=2),
    }


def derived_key(facts: Facts) -> DecoderKey:
    """Derive the decoder key, comparing the intermediate blocks that the entry gives."""
    name = key_name(facts)
    for block, compute in (
        ("pan_block", _native.pan_block),
        ("control_block", _native.control_block),
        ("kdf_data_block", _native.kdf_data),
    ):
        if block in facts and compute(**name) != facts.octets(block):
            raise Mismatch(f"{block} differs")
    return VendingKey(dkga=derivation(facts), key=facts.octets("vending_key")).decoder_key(**name)


def decoder_key(facts: Facts) -> DecoderKey:
    """Take the decoder key as given, derived or both, which must then agree."""
    if "vending_key" not in facts:
        return DecoderKey.for_test(ea=algorithm(facts), key=facts.octets("decoder_key"))
    key = derived_key(facts)
    if "decoder_key" in facts and not key.is_key(facts.octets("decoder_key")):
        raise Mismatch("the given decoder_key is not the derived one")
    return key


def identifier(facts: Facts) -> int:
    """Take the token identifier as given, or from the time of issue."""
    if "tid" in facts:
        return facts.number("tid")
    after = facts.number("after", "last_tid") if "after" in facts or "last_tid" in facts else None
    return sts_core.token_identifier(
        instant(facts.text("issue_time_utc", "issue_time")),
        base_date=base_date(facts, "tid_base_date", "base_date"),
        after=after,
    )


def whole_up(amount: Any, factor: int) -> int:
    """Multiply an exact decimal and round towards plus infinity."""
    return ceil(Fraction(str(amount)) * factor)


def tenths(facts: Facts) -> int:
    """Take an amount of energy, volume or time in tenths."""
    if "amount_tenths" in facts:
        return facts.number("amount_tenths")
    return whole_up(facts.first("amount_units", "amount"), 10)


def currency(facts: Facts) -> int:
    """Take an amount of money in wire units."""
    if "amount_wire" in facts:
        return facts.number("amount_wire")
    return whole_up(facts.first("amount_currency", "amount"), CURRENCY_UNITS)
