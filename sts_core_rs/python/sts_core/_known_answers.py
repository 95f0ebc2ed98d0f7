"""Computing known answers, a function for each kind."""

from collections.abc import Callable
from typing import Any

import sts_core
from sts_core import DecoderKey, Reading, StsError, _native
from sts_core._facts import (
    Facts,
    Mismatch,
    algorithm,
    base_date,
    currency,
    decoder_key,
    derived_key,
    identifier,
    luhn,
    tenths,
)

RND_OF_COMPLIANCE_TESTS = 5


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
