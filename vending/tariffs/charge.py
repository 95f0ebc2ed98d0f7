"""What a tariff is made of: dated charge lines, and the bands and blocks of its energy rates.

Money in a tariff is an exact fraction of minor units (cents), because a rate such as 0.0124 KES
per kWh is less than a cent. Each class refuses to hold what could not be charged.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from vending.errors import Rejected

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""The shape of every code in a tariff: codes end up in receipts, ledgers and file names."""

ROUNDING = "rounding"
"""The line that makes a receipt sum to the tender; no charge may take its name."""

DEBT = "debt:"
"""How the lines of debts taken begin; no charge may begin so."""

HISTORY_MONTHS = 3
"""How many whole months of use a meter's state keeps, and so the longest average."""


class TariffMalformed(Rejected):
    """The tariff file says something that cannot be charged.

    Mend the place named in `where` and load the file again; nothing has been changed.
    """

    code = "tariff_malformed"

    def __init__(self, *, where: str, why: str) -> None:
        super().__init__(where=where, why=why)


class ChargeKind(StrEnum):
    """What a charge line is computed from."""

    ENERGY = "energy"
    """The band's own rate for each kWh; exactly one line of a tariff is this."""
    PER_KWH = "per_kwh"
    """The same sum for each kWh, whatever the band: fuel, forex, levies. May be negative."""
    PERCENT = "percent"
    """A share of the lines it names."""
    TAX = "tax"
    """A share of every line that is taxable at that instant."""
    MONTHLY = "monthly"
    """A fixed sum once in a calendar month, with the first purchase."""
    PER_PURCHASE = "per_purchase"
    """A fixed sum with every purchase."""


class TaxMode(StrEnum):
    """How tax and the other rates of a tariff stand to each other."""

    ADDED = "added"
    """Rates are net; tax is added to the lines that are taxable."""
    INCLUDED = "included"
    """Rates contain the tax; it is split out of the lines that are taxable."""
    OF_TENDER = "of_tender"
    """Rates are net, and tax is the inclusive share of all the money that is not paying debts:
    18 % is 18/118 of it (Uganda). Every line is taxable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a line charges from an instant on, until its next rate.

    `value` is cents per kWh, a share (5 % is 1/20), or cents, as the line's kind has it; it has
    no meaning for the energy line, whose rates are in the bands.
    """

    starts: datetime
    value: Fraction
    taxable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of a receipt: its code, the ledger account it is booked to, its dated rates.

    `of` names the lines a percentage is taken of. A monthly charge that `accumulates` is owed for
    every month since the last one paid, counted from the month `since` (yyyymm) at the earliest.
    """

    code: str
    account: str
    kind: ChargeKind
    rates: tuple[Rate, ...]
    of: tuple[str, ...] = ()
    accumulates: bool = False
    since: int = 0

    def __post_init__(self) -> None:
        where = f"line {self.code!r}"
        named(self.code, where=where)
        named(self.account, where=f"{where}, account")
        if self.code == ROUNDING or self.code.startswith(DEBT):
            raise TariffMalformed(where=where, why="this name is kept for the quote's own lines")
        if bool(self.of) != (self.kind is ChargeKind.PERCENT):
            raise TariffMalformed(
                where=where, why="`of` belongs to a percent line, and a percent line needs it"
            )
        if self.accumulates and self.kind is not ChargeKind.MONTHLY:
            raise TariffMalformed(where=where, why="only a monthly line can accumulate")
        if self.accumulates != (self.since > 0) or (self.since and not is_month(self.since)):
            raise TariffMalformed(
                where=where,
                why="an accumulating line needs `since`, the first month owed, such as 202101",
            )
        self._check_rates(where)

    def _check_rates(self, where: str) -> None:
        if not self.rates:
            raise TariffMalformed(where=where, why="a line needs a rate")
        for earlier, later in pairwise(self.rates):
            if later.starts <= earlier.starts:
                raise TariffMalformed(
                    where=where,
                    why=f"rates overlap: the one from {later.starts.isoformat()} follows the one "
                    f"from {earlier.starts.isoformat()}",
                )
        for rate in self.rates:
            if rate.value < 0 and self.kind is not ChargeKind.PER_KWH:
                raise TariffMalformed(where=where, why="only a sum per kWh may be negative")
            if rate.taxable and self.kind is ChargeKind.TAX:
                raise TariffMalformed(where=where, why="a tax is not itself taxable")

    def rate_at(self, at: datetime) -> Rate | None:
        """Return the rate in force at an instant, or None before the first."""
        found = None
        for rate in self.rates:
            if rate.starts > at:
                break
            found = rate
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of a month's energy at one rate: up to `up_to_wh`, or without end when None.

    `minor_per_kwh` is cents per kWh.
    """

    up_to_wh: int | None
    minor_per_kwh: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A category that a meter is charged at: one block is a flat rate, several rise or decline.

    `up_to_wh` is the largest monthly average that still belongs here; None is without end.
    """

    code: str
    blocks: tuple[Block, ...]
    up_to_wh: int | None = None

    def __post_init__(self) -> None:
        where = f"band {self.code!r}"
        named(self.code, where=where)
        rising([block.up_to_wh for block in self.blocks], where=f"{where}, blocks")
        if any(block.minor_per_kwh < 0 for block in self.blocks):
            raise TariffMalformed(where=where, why="an energy rate may not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerClass:
    """The kind of customer that a meter's record names, and how its band is found.

    With `average_months` 1 to 3 the band is the first one whose limit is not below the average
    energy of that many whole calendar months before the month of payment (a month without a
    purchase counts as zero). A meter that bought nothing in them is in the band `without_history`.
    With `average_months` 0 the class has one band, by the register alone.
    """

    code: str
    bands: tuple[Band, ...]
    average_months: int = 0
    without_history: str = ""

    def __post_init__(self) -> None:
        where = f"class {self.code!r}"
        named(self.code, where=where)
        rising([band.up_to_wh for band in self.bands], where=f"{where}, bands")
        if not 0 <= self.average_months <= HISTORY_MONTHS:
            raise TariffMalformed(where=where, why=f"average_months is 0 to {HISTORY_MONTHS}")
        if self.average_months == 0 and len(self.bands) > 1:
            raise TariffMalformed(where=where, why="several bands need average_months to choose")
        if self.without_history and self.without_history not in {b.code for b in self.bands}:
            raise TariffMalformed(where=where, why="without_history names no band of the class")

    def band(self, months_before_wh: tuple[int, ...]) -> Band:
        """Return the band for the energy of the months before this one, newest first.

        Months that are no longer known are left out of the average, never counted as zero.
        """
        if self.average_months == 0:
            return self.bands[0]
        counted = months_before_wh[: self.average_months]
        total = sum(counted)
        if total == 0 and self.without_history:
            return next(band for band in self.bands if band.code == self.without_history)
        for band in self.bands:
            if band.up_to_wh is None or total <= band.up_to_wh * len(counted):
                return band
        raise AssertionError(self.code)  # the last band has no end


def named(text: str, *, where: str) -> None:
    """Refuse a code that is not letters, digits and ``_ . : -``, at most 64 of them."""
    if not NAME.fullmatch(text):
        raise TariffMalformed(where=where, why=f"{text!r} is not letters, digits and _ . : -")


def is_month(month: int) -> bool:
    """Return whether a number is a month written as yyyymm."""
    return 1900 <= month // 100 <= 9999 and 1 <= month % 100 <= 12  # noqa: PLR2004


def rising(limits: list[int | None], *, where: str) -> None:
    """Refuse limits that do not rise from above zero to one last "no end"."""
    if not limits or limits[-1] is not None:
        raise TariffMalformed(where=where, why="the last one has no up_to_kwh")
    before = 0
    for limit in limits[:-1]:
        if limit is None or limit <= before:
            raise TariffMalformed(
                where=where, why="each up_to_kwh but the last is above the one before"
            )
        before = limit
