"""A tariff version: everything needed to turn money into energy and back, as one pure value.

A version is in force from one instant on, until the next version of the same code. Inside it,
each charge line may change its rate and its taxability at instants of its own, so that a monthly
levy needs no new version. The instant that counts is always the time of payment.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from vending.errors import Refused
from vending.tariffs.charge import (
    Charge,
    ChargeKind,
    CustomerClass,
    TariffMalformed,
    TaxMode,
    named,
)
from vending.tariffs.prices import Prices, boil


class TariffUnknown(Refused):
    """No tariff of this code is in force at the time of payment.

    Load a version that covers the time (`vending tariffs load`), or mend the meter's record.
    """

    code = "tariff_unknown"


class CategoryUnknown(Refused):
    """The meter's tariff has no such customer class.

    Mend the tariff category in the meter's record; the tariff lists its classes and bands.
    """

    code = "tariff_category_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How a quote comes to whole steps; energy always goes up to the step that a token carries.

    Each line is rounded to the nearest `line_step_minor`, halves up. A quote that starts from
    energy asks for whole `cash_step_minor`, rounded up. What is left, either way, is the line
    "rounding", booked to `account`: negative when the customer got more than was paid for.
    """

    account: str
    line_step_minor: int = 1
    cash_step_minor: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One version of a tariff. Raises TariffMalformed rather than exist with a contradiction.

    `classes[0]` is what a meter gets whose record names no class. `debt_accounts` are the ledger
    accounts of debts, by kind; `debt_account` is that of every other kind.
    """

    code: str
    version: str
    currency: str
    time_zone: ZoneInfo
    effective_from: datetime
    classes: tuple[CustomerClass, ...]
    charges: tuple[Charge, ...]
    taxes: TaxMode
    rounding: Rounding
    tender_minimum_minor: int
    tender_maximum_minor: int
    debt_account: str
    debt_accounts: dict[str, str] = field(default_factory=dict, hash=False)
    _by_name: dict[str, CustomerClass] = field(init=False, repr=False, compare=False)
    _instants: tuple[datetime, ...] = field(init=False, repr=False, compare=False)
    _prices: tuple[dict[str, Prices], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_head()
        _check_charges(self)
        object.__setattr__(self, "_by_name", _by_name(self.classes))
        # All prices are worked out here, a few hundred at most, so that a tariff that could not
        # price something is refused when it is loaded and not when somebody pays.
        starts = {rate.starts for charge in self.charges for rate in charge.rates}
        instants = sorted(starts | {self.effective_from})
        object.__setattr__(self, "_instants", tuple(instants))
        prices = tuple(self._prices_from(instant) for instant in instants)
        object.__setattr__(self, "_prices", prices)

    def customer_class(self, category: str | None) -> CustomerClass:
        """Return the class that a meter's record names; the first one when it names none.

        A record may also name a band: its meter then stays in that band whatever it buys. Raises
        CategoryUnknown.
        """
        if not category:
            return self.classes[0]
        try:
            return self._by_name[category]
        except KeyError:
            raise CategoryUnknown(
                tariff=self.code, version=self.version, category=category
            ) from None

    def prices(self, band: str, *, at: datetime) -> Prices:
        """Return a band's prices at an instant; raises TariffUnknown before the version begins."""
        index = bisect_right(self._instants, at) - 1
        if index < 0:
            raise TariffUnknown(tariff=self.code, version=self.version, at=at.isoformat())
        return self._prices[index][band]

    def _prices_from(self, instant: datetime) -> dict[str, Prices]:
        return {
            band.code: boil(
                band,
                charges=self.charges,
                taxes=self.taxes,
                at=instant,
                where=f"band {band.code!r} from {instant.isoformat()}",
            )
            for customer_class in self.classes
            for band in customer_class.bands
        }

    def _check_head(self) -> None:
        for what in ("code", "version", "debt_account"):
            named(getattr(self, what), where=what)
        named(self.rounding.account, where="rounding")
        for kind, account in self.debt_accounts.items():
            named(kind, where="debts")
            named(account, where=f"debts of kind {kind!r}")
        if len(self.currency) != 3 or not self.currency.isupper():  # noqa: PLR2004 -- ISO 4217
            raise TariffMalformed(where="currency", why=f"{self.currency!r} is not like KES")
        if self.effective_from.tzinfo is None:
            raise TariffMalformed(where="effective_from", why="it has no offset from UTC")
        if not 0 < self.tender_minimum_minor <= self.tender_maximum_minor:
            raise TariffMalformed(where="tender", why="0 < minimum <= maximum does not hold")
        if min(self.rounding.line_step_minor, self.rounding.cash_step_minor) < 1:
            raise TariffMalformed(where="rounding", why="a step is at least 0.01")


def _by_name(classes: Sequence[CustomerClass]) -> dict[str, CustomerClass]:
    """Return every class by its code, and by each band's code a class of that band alone."""
    if not classes:
        raise TariffMalformed(where="class", why="a tariff needs a customer class")
    named_classes: dict[str, CustomerClass] = {}
    for customer_class in classes:
        if customer_class.code in named_classes:
            raise TariffMalformed(where=f"class {customer_class.code!r}", why="it is there twice")
        named_classes[customer_class.code] = customer_class
    bands: set[str] = set()
    for customer_class in classes:
        for band in customer_class.bands:
            alone = len(customer_class.bands) == 1 and band.code == customer_class.code
            if band.code in bands or (band.code in named_classes and not alone):
                raise TariffMalformed(where=f"band {band.code!r}", why="its code is there twice")
            bands.add(band.code)
            named_classes.setdefault(
                band.code,
                CustomerClass(code=band.code, bands=(replace(band, up_to_wh=None),)),
            )
    return named_classes


def _check_charges(tariff: Tariff) -> None:
    """Refuse lines that contradict each other or the version they are in."""
    earlier: dict[str, Charge] = {}
    for charge in tariff.charges:
        where = f"line {charge.code!r}"
        if charge.code in earlier:
            raise TariffMalformed(where=where, why="it is there twice")
        for code in charge.of:
            if code not in earlier or earlier[code].kind is ChargeKind.TAX:
                raise TariffMalformed(
                    where=where, why=f"it is a percentage of {code!r}, which is no line before it"
                )
        if charge.rates[0].starts < tariff.effective_from:
            raise TariffMalformed(where=where, why="a rate begins before its version does")
        if tariff.taxes is TaxMode.OF_TENDER and not all(
            rate.taxable or charge.kind is ChargeKind.TAX for rate in charge.rates
        ):
            raise TariffMalformed(
                where=where, why="tax is taken of the whole tender, so every line is taxable"
            )
        earlier[charge.code] = charge
    energy = [charge for charge in tariff.charges if charge.kind is ChargeKind.ENERGY]
    if len(energy) != 1 or energy[0].rates[0].starts != tariff.effective_from:
        raise TariffMalformed(
            where="line", why="a tariff has one energy line, from its beginning on"
        )
