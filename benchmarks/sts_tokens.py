"""Tokens a second through Python on one core: ``python benchmarks/sts_tokens.py [--check]``.

Derive and issue, issue with a ready key, and decode; single calls and batches of 4096 meters; EA07
and EA11 under DKGA04. Each figure is the best of many short rounds. With ``--check`` the exit
status tells whether a floor was missed.
"""

import sys
from collections.abc import Callable
from time import perf_counter

import sts_core
from sts_core import CreditOrder, DecoderKey, IssuedToken, KeyRing

BATCH = 4096
ROUNDS = 60
DERIVE_FLOOR = 0.5e6
READY_FLOOR = 1.25e6


def rate(items: int, work: Callable[[], object]) -> float:
    """Return the best rate of work that handles so many items each time."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return items / best


def ring() -> KeyRing:
    """Hold one key of 160 bits."""
    keys = KeyRing()
    keys.load(
        sgc="201457",
        krn=1,
        key_type=2,
        dkga="04",
        base_date="14",
        ken=255,
        key=bytearray(b"\x5a" * 20),
    )
    return keys


def orders(ea: int) -> list[CreditOrder]:
    """Order credit for as many meters as a batch has."""
    fronts = (f"{1_234_567_890 + number * 7919:010}" for number in range(BATCH))
    return [
        CreditOrder(
            meter=front + str(sts_core.drn_check_digit(front)),
            ea=ea,
            sgc="201457",
            krn=1,
            ti=1,
            subclass=0,
            amount=number * 37 % 90_000 + 1,
            tid=6_000_000 + number,
            rnd=5,
        )
        for number, front in enumerate(fronts)
    ]


def decoder_key(keys: KeyRing, order: CreditOrder) -> DecoderKey:
    """Derive the key of an order's meter."""
    return keys.decoder_key(
        meter=order.meter, ea=order.ea, sgc=order.sgc, krn=order.krn, ti=order.ti
    )


def works(keys: KeyRing, ea: int) -> list[tuple[str, Callable[[], object], float]]:
    """Name what is measured, with its floor."""
    batch = orders(ea)
    decoder_keys = [decoder_key(keys, order) for order in batch]
    ready = [
        (key, order.subclass, order.amount, order.tid, order.rnd)
        for key, order in zip(decoder_keys, batch, strict=True)
    ]
    issued = [made for made in keys.issue_credits(batch) if isinstance(made, IssuedToken)]
    typed = [(key, made.digits) for key, made in zip(decoder_keys, issued, strict=True)]

    def with_digits() -> list[str]:
        made = keys.issue_credits(batch)
        return [token.digits for token in made if isinstance(token, IssuedToken)]

    return [
        ("derive and issue, batch", lambda: keys.issue_credits(batch), DERIVE_FLOOR),
        ("the same with its digits", with_digits, DERIVE_FLOOR),
        ("issue, ready key, batch", lambda: sts_core.issue_with_keys(ready), READY_FLOOR),
        ("decode, ready key, batch", lambda: sts_core.decode_batch(typed), 0),
        ("derive and issue, single", lambda: [keys.issue_credit(order) for order in batch], 0),
        ("decode, single", lambda: [sts_core.decode(text, key) for key, text in typed], 0),
    ]


def main() -> int:
    """Measure, print a table, and compare with the floors."""
    keys, slow = ring(), False
    for ea in (7, 11):
        for name, work, floor in works(keys, ea):
            measured = rate(BATCH, work)
            missed = measured < floor
            slow = slow or missed
            print(f"EA{ea:02} {name:<28}{measured:>12,.0f} /s{' below its floor' * missed}")
    return 1 if slow and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
