"""The worked purchases: each schedule's own, and the known ones figure by figure."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from tests.tariffs.books import TEXTS, book
from tests.tariffs.purchases import Purchase
from vending.tariffs.document import parse
from vending.tariffs.example import check
from vending.tariffs.quote import Quote, Usage, cost, price

OCTOBER_2025 = datetime(2025, 10, 15, 9, 0, tzinfo=UTC)
BAND_USES = {"DC1": 30_000, "DC2": 100_000, "DC3": 100_100}


def amounts(quote: Quote) -> dict[str, int]:
    return {line.code: line.amount_minor for line in quote.lines}


def uses(energy_wh: int) -> Usage:
    return Usage(month=202510, history_wh=(energy_wh, energy_wh, energy_wh))


@pytest.mark.parametrize("name", TEXTS)
def test_every_schedule_gives_what_its_own_examples_say(name: str) -> None:
    document = parse(TEXTS[name])

    check(document.tariff, document.examples)


@pytest.mark.parametrize(
    ("band", "exact_kwh", "energy_wh"),
    [("DC1", "48.29", 48_300), ("DC2", "38.74", 38_800), ("DC3", "34.57", 34_600)],
)
def test_a_thousand_shillings_in_october_2025(band: str, exact_kwh: str, energy_wh: int) -> None:
    purchase = Purchase(
        tariff=book("kenya-2025-explainer"),
        band="DC",
        usage=uses(BAND_USES[band]),
        at=OCTOBER_2025,
    )

    quote = purchase.price(1000_00)

    assert f"{float(purchase.worth(1000_00)) / 1000:.2f}" == exact_kwh
    assert (quote.category, quote.energy_wh) == (band, energy_wh)


def test_the_split_of_ordinary_use_in_october_2025() -> None:
    exact_38_7364_kwh = cost(
        38_736,
        tariff=book("kenya-2025-explainer"),
        category="DC",
        usage=uses(100_000),
        at=OCTOBER_2025,
    )

    assert amounts(exact_38_7364_kwh) == {
        "energy": 637_21,
        "fec": 142_94,
        "ferfa": 59_58,
        "epra": 3_10,
        "wra": 48,
        "rep": 31_86,
        "vat": 124_82,
    }
    assert exact_38_7364_kwh.tender_minor == 999_99


def test_the_two_purchases_of_2014_cross_the_block_where_they_did() -> None:
    tariff = book("kenya-2014")
    at = datetime(2014, 9, 5, 7, 0, tzinfo=UTC)

    first = price(500_00, tariff=tariff, category=None, usage=Usage(), at=at)
    second = price(500_00, tariff=tariff, category=None, usage=first.usage_after, at=at)

    assert (first.energy_wh, second.energy_wh) == (32_300, 31_300)


def test_one_kwh_of_may_2021_is_rounded_to_whole_shillings_by_a_line_of_its_own() -> None:
    quote = cost(
        1_000,
        tariff=book("kenya-2021"),
        category="DC-O",
        usage=Usage(),
        at=datetime(2021, 5, 20, tzinfo=UTC),
    )

    lines = amounts(quote)
    assert (quote.tender_minor, lines.pop("rounding"), sum(lines.values())) == (24_00, 24, 23_76)


def test_twenty_thousand_ugandan_shillings() -> None:
    purchase = Purchase(
        tariff=book("uganda-2021"),
        band=None,
        usage=Usage(month=202101, energy_wh=40_000, fees_paid_through=202101),
        at=datetime(2021, 2, 3, tzinfo=UTC),
    )

    quote = purchase.price(20_000_00)

    vat = Fraction(20_000_00 * 18, 118)
    lifeline, rate = Fraction(3750_00), Fraction(750_90, 1000)
    exact_wh = 15_000 + (20_000_00 - vat - 3360_00 - lifeline) / rate
    assert purchase.worth(20_000_00) == exact_wh
    assert f"{float(exact_wh) / 1000:.1f}" == "28.1"
    assert quote.energy_wh == 28_200
    assert (amounts(quote)["vat"], amounts(quote)["monthly_fee"]) == (3051_00, 3360_00)
