"""What a meter would get now: prices for look-ups and quotes, apart from the vend itself.

The tariffs are read here anew, whichever process asks, and the meter as it stands: with every
sale that is committed, and none that is in flight. So a quote is a promise only together with the
look that the vend takes at it.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from vending import shelf
from vending.errors import Refused
from vending.in_flight import NOTHING
from vending.meters import customer
from vending.meters.meter import (
    Meter,
    MeterState,
    parse_meter_number,
    require_active,
)
from vending.postgres.pool import Session
from vending.quantities import month_of
from vending.shelf import usage_of
from vending.tariffs import catalogue, quote
from vending.tariffs.catalogue import Catalogue
from vending.tariffs.prices import WH_PER_KWH
from vending.tariffs.quote import AmountTooLarge, Debt, Quote
from vending.tariffs.tariff import Tariff
from vending.tariffs.usage import as_of
from vending.tokens import special_rows
from vending.tokens.special import SpecialKind
from vending.values import Value, replace

FRESH_SECONDS = 3.0
"""How soon a newly loaded tariff is seen, as by the vend itself."""


class LookUp(Value, frozen=True, kw_only=True):
    """A meter as a vendor sees it before it sells; what depends on a tariff is None without one.

    `why_not` is the code of what stops every sale. `name` is the customer's, masked; None where
    none is known. `kwh_minor` is the price of one more kilowatt-hour, charges on the purchase left
    out. `free_wh` is what is due to the meter for nothing this month, 0 once it was given; None
    for a meter that is due none in any month.
    """

    meter_number: str
    why_not: str | None
    name: str | None = None
    tariff: str
    tariff_version: str | None = None
    tariff_category: str | None = None
    minimum_minor: int | None = None
    maximum_minor: int | None = None
    kwh_minor: int | None = None
    debts: tuple[Debt, ...] = ()
    free_wh: int | None = None

    @property
    def arrears_minor(self) -> int:
        """What the meter owes in all."""
        return sum(debt.balance_minor for debt in self.debts)


class Standing(Value, frozen=True, kw_only=True):
    """A meter as it stands now: its record, its state and its debts with a balance."""

    meter: Meter
    state: MeterState
    debts: tuple[Debt, ...]


class PriceList:
    """The tariffs, and what they say of meters; free units are of a month in `zone`."""

    def __init__(
        self, db: Session, *, zone: ZoneInfo, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._zone = zone
        self._steady = steady
        self._catalogue = Catalogue(())
        self._versions = 0
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    async def look_up(self, typed: str, *, at: datetime) -> LookUp:
        """Return what a vendor may know of a meter. Raises MeterNumberMalformed, MeterUnknown."""
        standing = await self._standing(typed)
        told = seen(standing, tariffs=await self._current(), at=at)
        whose = await customer.find(self._db, told.meter_number)
        given = bool(whose.free_month_wh) and await self._given(told.meter_number, at=at)
        return replace(told, name=whose.masked, free_wh=whose.due_wh(given=given))

    async def for_money(
        self, typed: str, amount_minor: int, *, at: datetime
    ) -> tuple[Meter, Quote]:
        """Return what a sum buys a meter. Raises what stops the sale."""
        standing = await self._standing(typed)
        tariffs = await self._current()
        return standing.meter, for_money(standing, amount_minor, tariffs=tariffs, at=at)

    async def for_energy(self, typed: str, energy_wh: int, *, at: datetime) -> tuple[Meter, Quote]:
        """Return the smallest sum that buys a meter so much. Raises what stops the sale."""
        standing = await self._standing(typed)
        tariffs = await self._current()
        return standing.meter, for_energy(standing, energy_wh, tariffs=tariffs, at=at)

    async def _given(self, meter_number: str, *, at: datetime) -> bool:
        """Whether a meter has had its free basic units of the month."""
        month = str(month_of(at, self._zone))
        asked = {(meter_number, SpecialKind.FREE_BASIC.value, month)}
        return bool(await special_rows.used(self._db, asked))

    async def _standing(self, typed: str) -> Standing:
        number = parse_meter_number(typed)
        found = await shelf.read(self._db, [number], in_flight=NOTHING)
        meter, state, debts = found.take(number)
        return Standing(meter=meter, state=state, debts=debts)

    async def _current(self) -> Catalogue:
        async with self._looking:
            now = self._steady()
            if self._looked_at is None or now - self._looked_at > FRESH_SECONDS:
                versions = await catalogue.count(self._db)
                if versions != self._versions:
                    self._catalogue = await catalogue.read(self._db)
                    self._versions = versions
                self._looked_at = now
            return self._catalogue


def seen(standing: Standing, *, tariffs: Catalogue, at: datetime) -> LookUp:
    """Return what a vendor may know of a meter that stands so."""
    meter = standing.meter
    plain = LookUp(
        meter_number=meter.meter_number,
        why_not=_why_not(meter),
        tariff=meter.tariff,
        debts=standing.debts,
    )
    return _priced(plain, standing, tariffs=tariffs, at=at)


def for_money(standing: Standing, amount_minor: int, *, tariffs: Catalogue, at: datetime) -> Quote:
    """Return what a sum buys. Raises what stops the sale."""
    return _price(standing, amount_minor, _selling(standing, tariffs, at), at)


def for_energy(standing: Standing, energy_wh: int, *, tariffs: Catalogue, at: datetime) -> Quote:
    """Return the smallest sum that buys at least so much. Raises what stops the sale.

    More money never buys less, so the sum is found by halving.
    """
    tariff = _selling(standing, tariffs, at)
    lowest = _minimum(standing, tariff, at)
    highest = _maximum(standing, tariff, at)
    best = _price(standing, highest, tariff, at)
    if best.energy_wh < energy_wh:
        raise AmountTooLarge(maximum_minor=highest)
    while lowest < highest:
        middle = (lowest + highest) // 2
        priced = _price(standing, middle, tariff, at)
        if priced.energy_wh >= energy_wh:
            best, highest = priced, middle
        else:
            lowest = middle + 1
    return best


def _selling(standing: Standing, tariffs: Catalogue, at: datetime) -> Tariff:
    require_active(standing.meter)
    return tariffs.in_force(standing.meter.tariff, at)


def _priced(seen: LookUp, standing: Standing, *, tariffs: Catalogue, at: datetime) -> LookUp:
    """Return a look-up with its prices, or with what is wrong with the meter's tariff."""
    meter, state = standing.meter, standing.state
    try:
        tariff = tariffs.in_force(meter.tariff, at)
        usage = usage_of(state)
        month = month_of(at, tariff.time_zone)
        bought_wh, before_wh = as_of(usage, month)
        band = tariff.customer_class(meter.tariff_category).band(before_wh).code
        prices = tariff.prices(band, at=at)
    except Refused as reason:
        return replace(seen, why_not=seen.why_not or reason.code)
    block = next(place for place, edge in enumerate(prices.edges_wh) if bought_wh < edge)
    per_kwh = Fraction(prices.totals[block] * WH_PER_KWH, prices.scale)
    return replace(
        seen,
        tariff_version=tariff.version,
        tariff_category=band,
        minimum_minor=_minimum(standing, tariff, at),
        maximum_minor=_maximum(standing, tariff, at),
        kwh_minor=int(per_kwh + Fraction(1, 2)),
    )


def _why_not(meter: Meter) -> str | None:
    try:
        require_active(meter)
    except Refused as reason:
        return reason.code
    return None


def _price(standing: Standing, amount_minor: int, tariff: Tariff, at: datetime) -> Quote:
    return quote.price(
        amount_minor,
        tariff=tariff,
        category=standing.meter.tariff_category,
        usage=usage_of(standing.state),
        debts=standing.debts,
        at=at,
    )


def _minimum(standing: Standing, tariff: Tariff, at: datetime) -> int:
    return quote.minimum(
        tariff=tariff,
        category=standing.meter.tariff_category,
        usage=usage_of(standing.state),
        at=at,
    )


def _maximum(standing: Standing, tariff: Tariff, at: datetime) -> int:
    """Return the largest sum: the tariff's own, or what one token can carry."""
    try:
        _price(standing, tariff.tender_maximum_minor, tariff, at)
    except AmountTooLarge as reason:
        return reason.maximum_minor
    return tariff.tender_maximum_minor
