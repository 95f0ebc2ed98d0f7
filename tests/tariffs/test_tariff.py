"""Which band a meter is in, and what a tariff refuses to be."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.tariffs.books import book
from vending.tariffs.charge import (
    Band,
    Block,
    Charge,
    ChargeKind,
    CustomerClass,
    Rate,
    TariffMalformed,
    TaxMode,
)
from vending.tariffs.quote import Usage, price
from vending.tariffs.tariff import Tariff

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("months_wh", "band"),
    [
        ((0, 0, 0), "DC1"),
        ((30_000, 30_000, 30_000), "DC1"),
        ((90_000, 0, 0), "DC1"),
        ((90_100, 0, 0), "DC2"),
        ((100_000, 100_000, 100_000), "DC2"),
        ((300_100, 0, 0), "DC3"),
    ],
)
def test_kenyas_category_is_the_average_of_the_three_months_before(
    months_wh: tuple[int, int, int], band: str
) -> None:
    tariff = book("kenya-2025")
    usage = Usage(month=202510, energy_wh=999_000, history_wh=months_wh)

    quote = price(
        100_00,
        tariff=tariff,
        category="DC",
        usage=usage,
        at=datetime(2025, 10, 15, tzinfo=UTC),
    )

    assert quote.category == band


def test_a_month_without_a_purchase_counts_as_zero_in_the_average() -> None:
    tariff = book("kenya-2025")
    usage = Usage(month=202507, energy_wh=93_000, history_wh=(93_000, 93_000, 93_000))

    def band(at: datetime) -> str:
        return price(100_00, tariff=tariff, category="DC", usage=usage, at=at).category

    # July to September: 93 and twice nothing is 31; a month later nothing is left.
    assert band(datetime(2025, 10, 15, tzinfo=UTC)) == "DC2"
    assert band(datetime(2025, 11, 15, tzinfo=UTC)) == "DC1"


def test_a_late_payment_is_in_the_band_of_its_own_month() -> None:
    tariff = book("kenya-2025")
    usage = Usage(month=202511, energy_wh=5_000, history_wh=(200_000, 20_000, 30_000))

    def band(at: datetime) -> str:
        return price(100_00, tariff=tariff, category="DC", usage=usage, at=at).category

    assert band(datetime(2025, 11, 2, tzinfo=UTC)) == "DC2"
    assert band(datetime(2025, 10, 31, tzinfo=UTC)) == "DC1"


@pytest.mark.parametrize(
    ("category", "band"),
    [(None, "DC3"), ("", "DC3"), ("DC", "DC3"), ("SC", "SC3"), ("DC1", "DC1"), ("SC-BULK",) * 2],
)
def test_a_meters_record_names_its_class_or_its_band_or_nothing(
    category: str | None, band: str
) -> None:
    quote = price(
        100_00,
        tariff=book("kenya-2025"),
        category=category,
        usage=Usage(month=202510, history_wh=(200_000, 200_000, 200_000)),
        at=datetime(2025, 10, 15, tzinfo=UTC),
    )

    assert quote.category == band


def test_a_meter_without_history_is_in_the_band_its_class_says() -> None:
    tariff = book("every-kind")

    def band(usage: Usage) -> str:
        at = datetime(2026, 2, 1, tzinfo=UTC)
        return price(1000_00, tariff=tariff, category="HOUSE", usage=usage, at=at).category

    assert band(Usage()) == "HEAVY"
    assert band(Usage(month=202601, energy_wh=100)) == "LIGHT"
    # Two months count: 102 kWh and nothing average 51, and the third month is not looked at.
    assert band(Usage(month=202601, energy_wh=102_000)) == "HEAVY"
    assert band(Usage(month=202601, energy_wh=0, history_wh=(100_000, 9_000_000, 0))) == "LIGHT"


def changed(**by: Any) -> Tariff:
    return replace(book("three-step"), **by)


def line(code: str, kind: ChargeKind, **more: Any) -> Charge:
    rates = (Rate(starts=book("three-step").effective_from, value=Fraction(1), taxable=False),)
    return Charge(**{"code": code, "account": "x", "kind": kind, "rates": rates} | more)


def rates(*starts: datetime, value: int = 1) -> tuple[Rate, ...]:
    return tuple(Rate(starts=each, value=Fraction(value), taxable=False) for each in starts)


def block(limit_wh: int | None, rate: int = 1) -> Block:
    return Block(up_to_wh=limit_wh, minor_per_kwh=Fraction(rate))


def band(code: str, limit_wh: int | None = None) -> Band:
    return Band(code=code, up_to_wh=limit_wh, blocks=(block(None),))


ENERGY = line("energy", ChargeKind.ENERGY)
LATER = book("three-step").effective_from + timedelta(days=1)
EARLIER = book("three-step").effective_from - timedelta(days=1)

CONTRADICTIONS: dict[str, Callable[[], object]] = {
    "a code that cannot be a code": lambda: changed(code="no spaces"),
    "a version that cannot be a code": lambda: changed(version=""),
    "a currency that is none": lambda: changed(currency="kes"),
    "a beginning without an offset": lambda: changed(effective_from=datetime(2026, 1, 1)),  # noqa: DTZ001
    "a minimum above the maximum": lambda: changed(tender_minimum_minor=10**12),
    "a minimum of nothing": lambda: changed(tender_minimum_minor=0),
    "a rounding step of nothing": lambda: changed(
        rounding=replace(book("three-step").rounding, line_step_minor=0)
    ),
    "a debt account that cannot be one": lambda: changed(debt_accounts={"meter": "a b"}),
    "no class": lambda: changed(classes=()),
    "a class twice": lambda: changed(classes=book("three-step").classes * 2),
    "a band in two classes": lambda: changed(
        classes=(
            CustomerClass(code="A", bands=(band("X"),)),
            CustomerClass(code="B", bands=(band("X"),)),
        )
    ),
    "a band named like another class": lambda: changed(
        classes=(
            CustomerClass(code="A", bands=(band("B"),)),
            CustomerClass(code="B", bands=(band("X"),)),
        )
    ),
    "no energy line": lambda: changed(charges=(line("levy", ChargeKind.PER_KWH),)),
    "two energy lines": lambda: changed(charges=(ENERGY, line("more", ChargeKind.ENERGY))),
    "an energy line that begins late": lambda: changed(
        charges=(line("energy", ChargeKind.ENERGY, rates=rates(LATER)),)
    ),
    "a line twice": lambda: changed(charges=(ENERGY, ENERGY)),
    "a percentage of no line": lambda: changed(
        charges=(ENERGY, line("levy", ChargeKind.PERCENT, of=("fuel",)))
    ),
    "a percentage of a line after it": lambda: changed(
        charges=(line("levy", ChargeKind.PERCENT, of=("energy",)), ENERGY)
    ),
    "a percentage of a tax": lambda: changed(
        charges=(ENERGY, line("vat", ChargeKind.TAX), line("l", ChargeKind.PERCENT, of=("vat",)))
    ),
    "a rate from before the version": lambda: changed(
        charges=(ENERGY, line("levy", ChargeKind.PER_KWH, rates=rates(EARLIER)))
    ),
    "tax of the tender with an untaxed line": lambda: changed(
        charges=(ENERGY,), taxes=TaxMode.OF_TENDER
    ),
    "energy for nothing": lambda: changed(
        classes=(CustomerClass(code="A", bands=(Band(code="A", blocks=(block(None, rate=0),)),)),)
    ),
    "energy for less than nothing": lambda: changed(
        charges=(
            ENERGY,
            line(
                "forex",
                ChargeKind.PER_KWH,
                rates=rates(book("three-step").effective_from, value=-1001),
            ),
        )
    ),
    "a line called rounding": lambda: line("rounding", ChargeKind.PER_KWH),
    "a line called like a debt": lambda: line("debt:meter", ChargeKind.PER_KWH),
    "a line without a rate": lambda: line("levy", ChargeKind.PER_KWH, rates=()),
    "a percentage of nothing": lambda: line("levy", ChargeKind.PERCENT),
    "a sum per kWh of a line": lambda: line("levy", ChargeKind.PER_KWH, of=("energy",)),
    "a levy that accumulates": lambda: line(
        "levy", ChargeKind.PER_KWH, accumulates=True, since=202601
    ),
    "a fee that accumulates since ever": lambda: line("fee", ChargeKind.MONTHLY, accumulates=True),
    "a fee that accumulates since no month": lambda: line(
        "fee", ChargeKind.MONTHLY, accumulates=True, since=202613
    ),
    "two rates from one instant": lambda: line(
        "levy", ChargeKind.PER_KWH, rates=rates(LATER, LATER)
    ),
    "rates out of order": lambda: line("levy", ChargeKind.PER_KWH, rates=rates(LATER, START)),
    "a negative fee": lambda: line("fee", ChargeKind.MONTHLY, rates=rates(LATER, value=-1)),
    "a tax on tax": lambda: line(
        "vat", ChargeKind.TAX, rates=(Rate(starts=START, value=Fraction(1), taxable=True),)
    ),
    "no block": lambda: Band(code="A", blocks=()),
    "a last block that ends": lambda: Band(code="A", blocks=(block(100),)),
    "a block without end before the last": lambda: Band(code="A", blocks=(block(None),) * 2),
    "blocks that do not rise": lambda: Band(code="A", blocks=(block(100), block(100), block(None))),
    "a negative energy rate": lambda: Band(code="A", blocks=(block(None, rate=-1),)),
    "bands that do not rise": lambda: CustomerClass(
        code="A", average_months=3, bands=(band("X", 9), band("Y", 8), band("Z"))
    ),
    "an average of four months": lambda: CustomerClass(
        code="A", average_months=4, bands=(band("X"),)
    ),
    "several bands and no average": lambda: CustomerClass(
        code="A", bands=(band("X", 9), band("Y"))
    ),
    "a first band that is none": lambda: CustomerClass(
        code="A", bands=(band("X"),), without_history="Y"
    ),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_a_tariff_that_contradicts_itself_cannot_exist(contradiction: str) -> None:
    with pytest.raises(TariffMalformed) as refusal:
        CONTRADICTIONS[contradiction]()

    assert refusal.value.facts["where"]
    assert refusal.value.facts["why"]


def test_the_tariff_that_the_contradictions_start_from_is_sound() -> None:
    assert changed(charges=(ENERGY,)).charges == (ENERGY,)
