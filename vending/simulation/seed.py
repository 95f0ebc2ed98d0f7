"""The demo utility: a thousand homes with a meter and a phone each, and made-up vending keys.

Homes are always the same, so that documents can name them; keys are made afresh for every data
directory and are for play only. What is seeded reaches the server through its own doors: a CSV
for `vending meters import` and keys for the key store.
"""

import csv
import random
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HOMES = 1000
MADE_AT = datetime(2024, 1, 1, tzinfo=UTC)
"""When the demo's meters left the factory: they take no token older than that."""

KEN_NEVER = 255
_SHUFFLE = 888_880
_TCT_KEYPAD = 2
_KRN = 1

CSV_COLUMNS = (
    "meter_number", "sgc", "krn", "ti", "ea", "tct", "tid_base", "ken",
    "tariff", "tariff_category", "status", "phones", "language", "region",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyGroup:
    """A supply group of the demo and the algorithm of its meters."""

    sgc: str
    ea: int
    drn_digits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoKey:
    """A vending key made for one data directory. It protects nothing: anybody may make another."""

    sgc: str
    krn: int
    key_type: int
    dkga: str
    base_date: str
    ken: int
    key_bytes: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A household: its meter as the utility knows it, and its phones (E.164)."""

    meter_number: str
    sgc: str
    krn: int
    ti: int
    ea: int
    tct: int
    tid_base: int
    ken: int
    tariff: str
    tariff_category: str
    phones: tuple[str, ...] = field(repr=False)
    language: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """A part of the demo utility: its share of the homes, in hundredths, and their tariff.

    People there pay between `least_minor` and `most_minor` at a time.
    """

    region: str
    share: int
    tariff: str
    tariff_category: str
    language: str
    least_minor: int
    most_minor: int


NEIGHBOURHOODS = (
    Neighbourhood(
        region="Nairobi", share=50, tariff="KE-DC", tariff_category="DC", language="en",
        least_minor=50_00, most_minor=3_000_00,
    ),
    Neighbourhood(
        region="Mombasa", share=20, tariff="KE-DC", tariff_category="SC", language="sw",
        least_minor=100_00, most_minor=8_000_00,
    ),
    Neighbourhood(
        region="Kisumu", share=20, tariff="THREE-STEP", tariff_category="HOUSE", language="sw",
        least_minor=50_00, most_minor=3_000_00,
    ),
    # Across the border: Uganda's published tariff, whose monthly fee wants larger payments.
    Neighbourhood(
        region="Busia", share=10, tariff="UG-10.1", tariff_category="DOMESTIC", language="en",
        least_minor=6_000_00, most_minor=60_000_00,
    ),
)  # fmt: skip
"""Where the demo's homes are, and by which of its three tariffs they buy."""

GROUPS = (
    SupplyGroup(sgc="600401", ea=7, drn_digits=11),
    SupplyGroup(sgc="600402", ea=11, drn_digits=11),
    SupplyGroup(sgc="600403", ea=11, drn_digits=13),
)
"""EA07 and EA11 meters, the latter with short and with long numbers."""

VENDING_KEY_BYTES = 20
"""Length of a vending key for DKGA04: 160 bits."""


def luhn_digit(digits: str) -> str:
    """Return the digit that completes a number so that its Luhn sum is a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def demo_keys() -> tuple[DemoKey, ...]:
    """Make a vending key for each supply group, from the system's own randomness."""
    return tuple(
        DemoKey(
            sgc=group.sgc,
            krn=_KRN,
            key_type=2,
            dkga="04",
            base_date="14",
            ken=KEN_NEVER,
            key_bytes=secrets.token_bytes(VENDING_KEY_BYTES),
        )
        for group in GROUPS
    )


def homes(count: int = HOMES) -> tuple[Home, ...]:
    """Return the homes of the demo, the same ones every time."""
    chance = random.Random(_SHUFFLE)
    numbers = _numbers(chance, count)
    return tuple(_home(chance, place, numbers[place]) for place in range(count))


def amount_minor(home: Home, chance: random.Random) -> int:
    """Return what somebody living there pays this time, in cents: whole shillings."""
    where = next(one for one in NEIGHBOURHOODS if one.region == home.region)
    return chance.randrange(where.least_minor, where.most_minor + 1, 100)


def write_csv(path: Path, street: tuple[Home, ...]) -> None:
    """Write homes the way `vending meters import` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(CSV_COLUMNS)
        for home in street:
            rows.writerow(
                [
                    home.meter_number, home.sgc, home.krn, home.ti, home.ea, home.tct,
                    home.tid_base, home.ken, home.tariff, home.tariff_category, "active",
                    ";".join(home.phones), home.language, home.region,
                ]
            )  # fmt: skip


def _numbers(chance: random.Random, count: int) -> list[tuple[SupplyGroup, str]]:
    made: dict[str, SupplyGroup] = {}
    while len(made) < count:
        group = GROUPS[len(made) % len(GROUPS)]
        manufacturer = "14" if group.drn_digits == 11 else "3140"  # noqa: PLR2004
        body = manufacturer + "".join(chance.choices("0123456789", k=8))
        made.setdefault(body + luhn_digit(body), group)
    return [(group, number) for number, group in made.items()]


def _home(chance: random.Random, place: int, numbered: tuple[SupplyGroup, str]) -> Home:
    group, number = numbered
    where = _neighbourhood(place)
    first = f"+2547000{place:05d}"
    # Every tenth household has a second phone: both are told, and the meter takes the token once.
    phones = (first, f"+2547001{place:05d}") if place % 10 == 9 else (first,)  # noqa: PLR2004
    return Home(
        meter_number=number,
        sgc=group.sgc,
        krn=_KRN,
        ti=chance.choice((1, 2)),
        ea=group.ea,
        tct=_TCT_KEYPAD,
        tid_base=14,
        ken=KEN_NEVER,
        tariff=where.tariff,
        tariff_category=where.tariff_category,
        phones=phones,
        language=where.language,
        region=where.region,
    )


def _neighbourhood(place: int) -> Neighbourhood:
    rank = place * 37 % 100
    for where in NEIGHBOURHOODS:
        if rank < where.share:
            return where
        rank -= where.share
    return NEIGHBOURHOODS[0]
