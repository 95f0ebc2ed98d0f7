"""Purchases of any kind: by every tariff file, by made-up ones, from any state of a meter."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import strategies as st

from tests.tariffs.books import TEXTS, book
from tests.tariffs.slow import SlowTariff
from vending.quantities import month_of
from vending.tariffs.document import parse
from vending.tariffs.quote import Debt, Quote, Usage, cost, minimum, price, worth
from vending.tariffs.tariff import Tariff

BANDS = {name: [band.code for each in book(name).classes for band in each.bands] for name in TEXTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    tariff: Tariff
    band: str | None
    usage: Usage
    at: datetime
    text: str = ""

    def slow(self) -> SlowTariff:
        assert self.band is not None
        return SlowTariff(self.text, band=self.band, at=self.at)

    def price(self, tender_minor: int, debts: tuple[Debt, ...] = ()) -> Quote:
        return price(
            tender_minor,
            tariff=self.tariff,
            category=self.band,
            usage=self.usage,
            debts=debts,
            at=self.at,
        )

    def worth(self, tender_minor: int) -> Fraction:
        return worth(
            tender_minor, tariff=self.tariff, category=self.band, usage=self.usage, at=self.at
        )

    def cost(self, energy_wh: int, usage: Usage | None = None) -> Quote:
        return cost(
            energy_wh,
            tariff=self.tariff,
            category=self.band,
            usage=usage or self.usage,
            at=self.at,
        )

    def minimum(self) -> int:
        return minimum(tariff=self.tariff, category=self.band, usage=self.usage, at=self.at)

    @property
    def month(self) -> int:
        return month_of(self.at, self.tariff.time_zone)

    @property
    def bought_kwh(self) -> Fraction:
        """The energy bought in the month of payment, for states of that month or earlier ones."""
        same = self.usage.month == self.month
        return Fraction(self.usage.energy_wh * same, 1000)


def months_before(month: int, count: int) -> int:
    index = month // 100 * 12 + month % 100 - 1 - count
    return index // 12 * 100 + index % 12 + 1


decimals = st.integers(0, 9_999_999).map(lambda n: f"{n // 10_000}.{n % 10_000:04d}")


@st.composite
def made_up_texts(draw: st.DrawFn) -> str:
    """Write a tariff with any blocks, levies and taxes; every band's last block costs something."""
    mode = draw(st.sampled_from(["added", "included", "of_tender"]))
    taxable = st.just("true") if mode == "of_tender" else st.sampled_from(["true", "false"])
    head = f"""
code = "ANY"
version = "1"
currency = "KES"
time_zone = "Africa/Nairobi"
effective_from = 2024-01-01T00:00:00Z
taxes = "{mode}"
tender = {{ minimum = "0.01", maximum = "99999999.00" }}
rounding = {{ account = "rounding", line_step = "{draw(st.sampled_from(["0.01", "0.05", "1"]))}" }}
debts = {{ account = "debts" }}
"""
    tax = f"""
[[line]]
code = "vat"
kind = "tax"
account = "vat"
value = "{draw(st.sampled_from(["0", "7.5", "16", "18"]))}"
"""
    return head + draw(made_up_bands()) + draw(made_up_lines(taxable)) + tax + EXAMPLE


@st.composite
def made_up_bands(draw: st.DrawFn) -> str:
    limits = sorted(draw(st.sets(st.integers(1, 400), max_size=4)))
    blocks = "".join(
        f'[[class.band.block]]\nrate = "{draw(decimals)}"\nup_to_kwh = "{limit}"\n'
        for limit in limits
    )
    return f"""
[[class]]
code = "C"
[[class.band]]
code = "B"
{blocks}
[[class.band.block]]
rate = "1{draw(decimals)}"
"""


@st.composite
def made_up_lines(draw: st.DrawFn, taxable: st.SearchStrategy[str]) -> str:
    return f"""
[[line]]
code = "fee"
kind = "monthly"
account = "fee"
value = "{draw(st.integers(0, 500))}"
taxable = {draw(taxable)}
accumulates = true
since = {draw(st.sampled_from([202406, 202411]))}
[[line]]
code = "handling"
kind = "per_purchase"
account = "handling"
value = "{draw(st.integers(0, 50))}"
taxable = {draw(taxable)}
[[line]]
code = "energy"
kind = "energy"
account = "energy"
taxable = {draw(taxable)}
[[line]]
code = "levy"
kind = "per_kwh"
account = "levy"
value = "{draw(decimals)}"
taxable = {draw(taxable)}
[[line]]
code = "share"
kind = "percent"
of = ["energy", "fee"]
account = "share"
value = "{draw(st.integers(0, 40))}"
taxable = {draw(taxable)}
"""


EXAMPLE = """
[[example]]
name = "none is checked here"
at = 2024-01-01T00:00:00Z
tender = "1"
energy_kwh = "1"
band = "B"
lines = {}
"""


@st.composite
def purchases(draw: st.DrawFn) -> Purchase:
    if draw(st.booleans()):
        text, band = draw(made_up_texts()), "B"
        tariff = parse(text).tariff
    else:
        name = draw(st.sampled_from(sorted(TEXTS)))
        text, tariff, band = TEXTS[name], book(name), draw(st.sampled_from(BANDS[name]))
    at = tariff.effective_from + timedelta(minutes=draw(st.integers(0, 3 * 365 * 24 * 60)))
    month = month_of(at, tariff.time_zone)
    last = months_before(month, draw(st.integers(0, 3)))
    usage = Usage(
        month=draw(st.sampled_from([0, last])),
        energy_wh=draw(st.integers(0, 4000)) * 100,
        history_wh=draw(st.tuples(*[st.integers(0, 4000).map(lambda tenths: tenths * 100)] * 3)),
        fees_paid_through=draw(st.sampled_from([0, last, months_before(last, 4)])),
    )
    return Purchase(text=text, tariff=tariff, band=band, usage=usage, at=at)


tenders = st.integers(0, 500_000_00) | st.integers(0, 5_000_00)


def accepted(purchase: Purchase, over_minor: int) -> int:
    """Return a tender that lies this much over the smallest, within the tariff's limits."""
    return min(purchase.minimum() + over_minor, purchase.tariff.tender_maximum_minor)


def three_step(usage: Usage, tender_minor: int, debts: tuple[Debt, ...] = ()) -> Quote:
    return price(
        tender_minor,
        tariff=book("three-step"),
        category=None,
        usage=usage,
        debts=debts,
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )
