"""Check the library against a file of known answers: ``python -m sts_core.vectors FILE.json``.

The file has two lists, ``published`` and ``computed``, of entries with ``id``, ``kind``, ``inputs``
and ``expected``. Every expected fact must be reproduced; a token is also decoded again. An entry of
an unknown kind, or with an expected fact that cannot be computed, counts as failed.
"""

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sts_core import DecoderKey, KeyRing, StsError
from sts_core._facts import (
    Facts,
    Mismatch,
    bits,
    derivation,
    digits,
    identifier,
    instant,
    key_name,
    number,
    tenths,
)
from sts_core._known_answers import (
    CLASS_OF_KIND,
    COMPUTE,
    RND_OF_COMPLIANCE_TESTS,
    key_sides,
    register_subclass,
    register_token,
)

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
    if name == "tokens":
        return bool([digits(token) for token in wanted] == got)
    if isinstance(wanted, bool):
        return bool(got) is wanted
    read: Any = digits if name == "token" else bits if name in HEXADECIMAL else number
    return bool(read(wanted) == got)


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
