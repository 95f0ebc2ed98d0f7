"""Check the library against a file of known answers: ``python -m sts_core.vectors FILE.json``.

The file has two lists, ``published`` and ``computed``, of entries with ``id``, ``kind``, ``inputs``
and ``expected``. Every expected fact must be reproduced; a token is also decoded again. An entry of
an unknown kind, or with an expected fact that cannot be computed, counts as failed.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import sts_core
from sts_core import DecoderKey, KeyRing, Reading, StsError, VendingKey, _native

CURRENCY_UNITS = 100_000
"""Wire units of one unit of currency."""

RND_OF_COMPLIANCE_TESTS = 5


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


def known_reading(token: str, key: DecoderKey | None) -> tuple[dict[str, Any], Reading]:
    """Decode a token again, into the facts that entries expect."""
    reading = sts_core.decode(token, key)
    facts: dict[str, Any] = {
        "token": token,
        "token66": int(token),
        "token_class": reading.token_class,
        "subclass": reading.subclass,
    }
    if reading.block is not None:
        facts |= {"block": reading.block, "crc": reading.block & 0xFFFF}
        facts["field44"] = reading.content
    for name in ("tid", "rnd", "s_and_e", "control"):
        if getattr(reading, name) is not None:
            facts[name] = getattr(reading, name)
    if reading.field16 is not None:
        facts |= {"field16": reading.field16, "amount_field": reading.field16}
    return facts, reading


CLASS_OF_KIND = {"credit": 0, "currency": 0, "currency_credit": 0, "credit_from_decoder_key": 0}
SUBCLASS_OF_KIND = {
    "credit": 0,
    "currency": 4,
    "currency_credit": 4,
    "mpl": 0,
    "register": 1,
    "rate": 2,
    "pad": 5,
    "mppul": 6,
    "wmf": 7,
    "extended": 10,
}
MANAGEMENT_OF_SUBCLASS = {
    0: "maximum_power_limit",
    1: "clear_credit",
    2: "tariff_rate",
    5: "clear_tamper",
    6: "phase_power_unbalance_limit",
    7: "water_meter_factor",
}
CURRENCY_SUBCLASSES = range(4, 8)
EXTENDED_SUBCLASS = 10
FLAG_INDEX = 63


def register_subclass(kind: str, facts: Facts) -> int:
    """Return the subclass given, else the one that the kind or payload means."""
    payload = str(facts.values.get("payload", kind))
    return facts.number("subclass", default=SUBCLASS_OF_KIND.get(payload, 0))


def issue_credit(key: DecoderKey, facts: Facts, subclass: int, tid: int) -> str:
    """Issue a token of class 0."""
    rnd = facts.number("rnd", default=RND_OF_COMPLIANCE_TESTS)
    if "field16" in facts or "amount_field" in facts:
        value = facts.bits("field16", "amount_field")
        nibble = facts.number("s_and_e", default=rnd)
        return key.register_token(
            token_class=0, subclass=subclass, rnd=nibble, tid=tid, value=value
        ).digits
    money = subclass in CURRENCY_SUBCLASSES
    amount = currency(facts) if money else tenths(facts)
    if amount == 0:
        # Nobody vends nothing, but the code of zero is defined.
        nibble = 0 if money else rnd
        return key.register_token(
            token_class=0, subclass=subclass, rnd=nibble, tid=tid, value=0
        ).digits
    if money:
        return key.currency(subclass=subclass, amount=amount, tid=tid).digits
    return key.credit(subclass=subclass, amount=amount, tid=tid, rnd=rnd).digits


def issue_management(key: DecoderKey, facts: Facts, subclass: int, tid: int) -> str:
    """Issue a token of class 2 of the register family."""
    rnd = facts.number("rnd", default=RND_OF_COMPLIANCE_TESTS)
    if "field16" in facts:
        value = facts.bits("field16")
    elif subclass == EXTENDED_SUBCLASS:
        return issue_extended(key, facts, tid=tid, rnd=rnd)
    else:
        value = facts.number("value", default=0)
        kind = MANAGEMENT_OF_SUBCLASS.get(subclass)
        known_register = subclass != 1 or value <= 7 or value == 0xFFFF  # noqa: PLR2004
        if kind is not None and known_register and not (kind == "clear_tamper" and value):
            return key.management(kind=kind, value=value, tid=tid, rnd=rnd).digits
    return key.register_token(
        token_class=2, subclass=subclass, rnd=rnd, tid=tid, value=value
    ).digits


def issue_extended(key: DecoderKey, facts: Facts, *, tid: int, rnd: int) -> str:
    """Issue a token of the extended set."""
    index = facts.number("index", default=FLAG_INDEX)
    if "flag" in facts or "flag_index" in facts:
        value = facts.number("flag", "flag_index") << 1 | facts.number("flag_value")
    else:
        value = facts.number("value10", "value")
    if index == FLAG_INDEX:
        return key.management(
            kind="flag", index=value >> 1, value=value & 1, tid=tid, rnd=rnd
        ).digits
    return key.management(kind="extended", index=index, value=value, tid=tid, rnd=rnd).digits


def register_token(kind: str, facts: Facts) -> dict[str, Any]:
    """Compute a token of the register family."""
    key = decoder_key(facts)
    token_class = facts.number("token_class", default=CLASS_OF_KIND.get(kind, 2))
    subclass = register_subclass(kind, facts)
    tid = identifier(facts)
    issue = issue_credit if token_class == 0 else issue_management
    token = issue(key, facts, subclass, tid)
    known, reading = known_reading(token, key)
    if (reading.token_class, reading.subclass, reading.tid) != (token_class, subclass, tid):
        raise Mismatch("the token decodes to something else")
    return known | {"decoder_key": key}


def class1(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute a meter test."""
    subclass = facts.number("subclass", default=0)
    names = ("manufacturer_code_value", "manufacturer_code", "mfr8", "mfr16", "mfr")
    code = facts.number(*names, default=0)
    if any(name in facts for name in ("test", "test_number")):
        test = facts.number("test", "test_number")
        control = sts_core.meter_test_control(test, subclass=subclass)
    else:
        control = facts.bits("control", "control36", "control28")
    token = sts_core.meter_test(control=control, manufacturer_code=code, subclass=subclass).digits
    known, reading = known_reading(token, None)
    if (reading.control, reading.manufacturer_code) != (control, code):
        raise Mismatch("the token decodes to something else")
    return known


def key_sides(facts: Facts) -> tuple[Facts, Facts]:
    """Split the facts of a key change into those of the old key and those of the new."""
    shared = {k: v for k, v in facts.values.items() if k not in {"old", "new"}}
    old = {k: v for k, v in shared.items() if not k.startswith(("new_", "old_"))}
    old |= {k.removeprefix("old_"): v for k, v in shared.items() if k.startswith("old_")}
    old |= facts.values.get("old") or {}
    new = old | {k.removeprefix("new_"): v for k, v in shared.items() if k.startswith("new_")}
    if "decoder_key" in old and "new_decoder_key" not in shared:
        new.pop("decoder_key", None)
    new |= facts.values.get("new") or {}
    return Facts(old), Facts(new)


def key_change(kind: str, facts: Facts) -> dict[str, Any]:
    """Compute a set of key-change tokens, and enter it into a virtual meter in reverse."""
    old, new = key_sides(facts)
    old_key, new_key = decoder_key(old), decoder_key(new)
    rollover = base_date(old, "base_date") != base_date(new, "base_date")
    if "rollover" in facts and bool(facts.number("rollover")) != rollover:
        raise Mismatch("the rollover bit does not follow from the base dates")
    usual = 4 if algorithm(old) == 11 else 3 if kind == "kct_triplet" else 2  # noqa: PLR2004
    tokens = old_key.key_change(
        new_key,
        sgc=new.text("sgc").zfill(6),
        krn=new.number("krn", default=1),
        ti=new.number("ti", default=1),
        key_type=new.number("key_type", "kt", default=2),
        ken=new.number("ken", default=255),
        rollover=rollover,
        tokens=facts.number("number_of_tokens", "tokens", default=usual),
    )
    sections = sorted(sts_core.decode(token, old_key).section or 0 for token in tokens)
    if sections != list(range(1, len(tokens) + 1)):
        raise Mismatch("the tokens decode to other sections")
    return {
        "decoder_key": old_key,
        "old_decoder_key": old_key,
        "new_decoder_key": new_key,
        "tokens": tokens,
        "rollover": int(rollover),
        "number_of_tokens": len(tokens),
    }


def key_change_section(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute one section of a key change from its content."""
    key = decoder_key(facts)
    token_class = facts.number("token_class", default=2)
    subclass, content = facts.number("subclass"), facts.bits("field44", "content")
    token = key.content_token(token_class=token_class, subclass=subclass, content=content).digits
    known, reading = known_reading(token, key)
    if (reading.token_class, reading.subclass) != (token_class, subclass):
        raise Mismatch("the token decodes to something else")
    block = _native.clear_block(token_class=token_class, subclass=subclass, content=content)
    return known | {"decoder_key": key, "block": block, "crc": block & 0xFFFF}


def derived(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute a decoder key."""
    return {"decoder_key": derived_key(facts)}


def block_of(facts: Facts, cipher: Callable[..., bytes], **options: bool) -> dict[str, Any]:
    """Encrypt one block, and back."""
    key = facts.octets("key", "decoder_key")
    if "plaintext" not in facts and "block" not in facts:
        secret = facts.octets("ciphertext")
        return {"plaintext": int.from_bytes(cipher(key=key, block=secret, decrypt=True, **options))}
    clear = facts.octets("plaintext", "block")
    secret = cipher(key=key, block=clear, **options)
    if cipher(key=key, block=secret, decrypt=True, **options) != clear:
        raise Mismatch("the block does not decrypt to itself")
    number_ = int.from_bytes(secret)
    return {"ciphertext": number_, "cipher_block": number_}


def ea07_block(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute EA07 on one block."""
    return block_of(facts, _native.sta)


def misty1_block(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute EA11 on one block."""
    return block_of(facts, _native.misty1)


def ea07_sample_tables(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute EA07 with the tables printed in the standard, up to the twenty digits."""
    known = block_of(facts, _native.sta, sample=True)
    block = known["cipher_block"]
    token_class = facts.number("token_class", default=0)
    token66 = (block >> 27 & 3) << 64 | block & ~(3 << 27) | token_class << 27
    return known | {"token66": token66, "token": f"{token66:020}"}


def crc(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute the check of bytes."""
    data = facts.octets("bytes", "data")
    return {"crc": _native.crc(data), "crc_c": _native.crc_c(data)}


def amount_field(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute the code of an amount."""
    amount = facts.number("value", "watts", default=-1)
    amount = tenths(facts) if amount < 0 else amount
    field, encoded = _native.amount_field(amount)
    if _native.amount_of_field(field) != encoded or encoded < amount:
        raise Mismatch("the code is worth less than was asked for")
    return {"field16": field, "amount_field": field, "encoded_tenths": encoded}


def currency_field(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute the code of an amount of money."""
    amount = currency(facts)
    s_and_e, field, encoded = _native.currency_field(amount)
    if _native.currency_of_field(s_and_e, field) != encoded or encoded < amount:
        raise Mismatch("the code is worth less than was asked for")
    return {"s_and_e": s_and_e, "amount_field": field, "field16": field}


def tid(_kind: str, facts: Facts) -> dict[str, Any]:
    """Compute a token identifier."""
    return {"tid": identifier(facts)}


def drn_luhn(_kind: str, facts: Facts) -> dict[str, Any]:
    """Check a meter's number."""
    text = facts.text("drn", "meter_pan", "pan", "iain")
    try:
        sts_core.parse_meter(text)
    except StsError:
        return {"valid": False}
    front = text[:-1]
    return {"valid": True, "check_digit": int(luhn(front))}


def decode_reject(_kind: str, facts: Facts) -> dict[str, Any]:
    """Decode a token that must be refused."""
    key = decoder_key(facts) if "decoder_key" in facts or "vending_key" in facts else None
    reading = sts_core.decode(facts.text("token"), key)
    return {"token_class": reading.token_class, "subclass": reading.subclass, "tid": reading.tid}


COMPUTE: dict[str, Callable[[str, Facts], dict[str, Any]]] = {
    "key": derived,
    **dict.fromkeys(
        (
            "credit",
            "credit_from_decoder_key",
            "currency",
            "currency_credit",
            "extended",
            "management",
            "mpl",
            "mppul",
            "pad",
            "rate",
            "register",
            "wmf",
        ),
        register_token,
    ),
    "class1": class1,
    "class1_sub2": class1,
    "key_change": key_change,
    "kct": key_change,
    "kct_triplet": key_change,
    "key_change_section": key_change_section,
    "ea07_block": ea07_block,
    "ea07_sample_tables": ea07_sample_tables,
    "misty1": misty1_block,
    "misty1_block": misty1_block,
    "crc": crc,
    "amount_field": amount_field,
    "currency_field": currency_field,
    "tid": tid,
    "drn_luhn": drn_luhn,
    "decode_reject": decode_reject,
}

HEXADECIMAL = frozenset(
    {
        "amount_field",
        "block",
        "cipher_block",
        "ciphertext",
        "control",
        "crc",
        "crc_c",
        "field16",
        "field44",
        "plaintext",
        "token66",
    }
)
REFUSALS = ("reject", "refuse", "refused", "refusal", "error")
CODE_OF_WORD = {
    "format": "token_malformed",
    "out_of_range_66_bits": "token_out_of_range",
    "crc": "crc_mismatch",
    "expired": "key_expired",
}


def agrees(name: str, wanted: Any, got: Any) -> bool:
    """Compare one expected fact with what was computed."""
    if isinstance(got, DecoderKey):
        return got.is_key(bytes.fromhex(str(wanted).removeprefix("0x")))
    if name == "token":
        return digits(wanted) == got
    if name == "tokens":
        return [digits(token) for token in wanted] == got
    if name in HEXADECIMAL:
        return bits(wanted) == got
    if isinstance(wanted, bool):
        return bool(got) is wanted
    return number(wanted) == got


def ring_refuses(kind: str, facts: Facts) -> None:
    """Sell through a key ring, whose rules about keys refuse what arithmetic alone would make."""
    if kind in {"key_change", "kct", "kct_triplet"}:
        old, new = key_sides(facts)
    elif "vending_key" in facts and COMPUTE[kind] is register_token:
        old = new = facts
    else:
        return
    ring = KeyRing()
    for side in (old, new):
        name = key_name(side)
        ring.load(
            **{part: name[part] for part in ("sgc", "krn", "key_type", "base_date")},
            dkga=derivation(side),
            ken=side.number("ken", default=255),
            key=side.octets("vending_key"),
        )
    name, target = key_name(old), key_name(new)
    meter_key = {part: name[part] for part in ("meter", "ea", "sgc", "krn", "ti")}
    if old is not new:
        ring.issue_key_change(
            **meter_key,
            key_type=name["key_type"],
            **{f"new_{part}": target[part] for part in ("sgc", "krn", "ti", "key_type")},
            at=instant(facts.text("issue_time_utc", "issue_time")),
        )
        return
    moment, rnd = identifier(facts), facts.number("rnd", default=RND_OF_COMPLIANCE_TESTS)
    if facts.number("token_class", default=CLASS_OF_KIND.get(kind, 2)) != 0:
        ring.issue_management(**meter_key, tid=moment, rnd=rnd, kind="clear_tamper")
        return
    subclass = register_subclass(kind, facts)
    ring.issue_credit((*meter_key.values(), subclass, tenths(facts), moment, rnd))


def check_refusal(kind: str, facts: Facts, wanted: Any) -> list[str]:
    """Compare an expected refusal with what happens."""
    try:
        ring_refuses(kind, facts)
        COMPUTE[kind](kind, facts)
    except StsError as refusal:
        word = str(wanted).lower().replace(" ", "_").replace("-", "_")
        code = CODE_OF_WORD.get(word, word)
        if wanted is True or code == refusal.code or code in refusal.code:
            return []
        return [f"refused with {refusal.code}, expected {wanted}"]
    return [f"accepted, expected a refusal: {wanted}"]


def complaints(entry: Mapping[str, Any]) -> list[str]:
    """List what is wrong with one entry; nothing when it is reproduced."""
    kind, facts = str(entry.get("kind")), Facts(entry.get("inputs") or {})
    expected: Mapping[str, Any] = entry.get("expected") or {}
    if kind not in COMPUTE:
        return [f"unknown kind {kind}"]
    if not expected:
        return ["expects nothing"]
    try:
        for word in REFUSALS:
            if word in expected:
                return check_refusal(kind, facts, expected[word])
        computed = COMPUTE[kind](kind, facts)
        return [
            f"{name} differs" if name in computed else f"cannot compute {name}"
            for name, wanted in expected.items()
            if name not in computed or not agrees(name, wanted, computed[name])
        ]
    except (Mismatch, StsError) as refusal:
        return [str(refusal)]
    except (ArithmeticError, KeyError, TypeError, ValueError) as fault:
        return [f"cannot be read: {type(fault).__name__}: {fault}"]


def main(arguments: list[str]) -> int:
    """Run the files named, print what fails and the totals, return the exit status."""
    if not arguments:
        sys.stderr.write("usage: python -m sts_core.vectors FILE.json ...\n")
        return 2
    passed = failed = 0
    for path in arguments:
        content = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal)
        for entry in [*content.get("published", ()), *content.get("computed", ())]:
            found = complaints(entry)
            if found:
                failed += 1
                sys.stdout.write(f"{entry.get('id')} ({entry.get('kind')}): {'; '.join(found)}\n")
            else:
                passed += 1
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
