"""A tariff file: TOML in, a tariff and its golden examples out.

Sums and rates are written as text ("12.23") or as whole numbers, in currency units and
percents, energy in kWh; a number with a decimal point would be a binary fraction, and is refused.
Every key is known, every instant has its offset from UTC. See schedules/ for complete files.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, field

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
from vending.tariffs.example import Example
from vending.tariffs.tariff import Rounding, Tariff
from vending.tariffs.usage import Usage

MINOR_PER_UNIT = 100
WH_PER_KWH = 1000

TEXT_MAX = 1_000_000
"""Characters in a tariff file; the largest shipped one has a few thousand."""

YEAR_MIN, YEAR_MAX = 1900, 2999
"""Years that a tariff can be about: beyond them is a slip of the keyboard."""

_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")

Decimal = str | int
"""An exact decimal number in a file: "12.23" or 12."""

Instant = Annotated[datetime, Meta(tz=True)]


class _Struct(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; a key it does not know is a mistake, not an extension."""


class _Tender(_Struct):
    minimum: Decimal
    maximum: Decimal


class _Rounding(_Struct):
    account: str
    line_step: Decimal = "0.01"
    cash_step: Decimal = "0.01"


class _Debts(_Struct):
    account: str
    accounts: dict[str, str] = {}


class _Block(_Struct):
    rate: Decimal
    up_to_kwh: Decimal | None = None


class _Band(_Struct):
    code: str
    rate: Decimal | None = None
    block: list[_Block] = []
    up_to_kwh: Decimal | None = None


class _Class(_Struct):
    code: str
    band: list[_Band]
    average_months: int = 0
    without_history: str = ""


class _Rate(_Struct):
    starts: Instant | None = field(name="from", default=None)
    value: Decimal | None = None
    taxable: bool = False


class _Line(_Struct):
    code: str
    kind: ChargeKind
    account: str
    of: list[str] = []
    accumulates: bool = False
    since: int = 0
    value: Decimal | None = None
    taxable: bool | None = None
    rate: list[_Rate] = []


class _Usage(_Struct):
    month: int = 0
    energy_kwh: Decimal = 0
    history_kwh: tuple[Decimal, Decimal, Decimal] = (0, 0, 0)
    fees_paid_through: int = 0


class _Example(_Struct):
    name: str
    at: Instant
    tender: Decimal
    energy_kwh: Decimal
    lines: dict[str, Decimal]
    band: str
    category: str | None = None
    solve: Literal["energy", "tender"] = "energy"
    usage: _Usage = field(default_factory=_Usage)
    exact_kwh: str | None = None


class _File(_Struct):
    code: str
    version: str
    currency: str
    time_zone: str
    effective_from: Instant
    tender: _Tender
    rounding: _Rounding
    debts: _Debts
    classes: list[_Class] = field(name="class")
    lines: list[_Line] = field(name="line")
    examples: list[_Example] = field(name="example")
    taxes: TaxMode = TaxMode.ADDED
    title: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffDocument:
    """What a tariff file says: the tariff, and what purchases under it must come to."""

    tariff: Tariff
    examples: tuple[Example, ...]


def parse(text: str) -> TariffDocument:
    """Return what a tariff file says; raises TariffMalformed with the place and the reason.

    The examples are read and not run: `vending.tariffs.example.check` does that.
    """
    if len(text) > TEXT_MAX:
        raise TariffMalformed(where="file", why=f"it is longer than {TEXT_MAX} characters")
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides its own error, tomllib lets through what a number of thousands of digits or
        # brackets without end come to.
        raise TariffMalformed(where="file", why=str(error)) from None
    _refuse_floats(tables, "")
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$")
        raise TariffMalformed(where=where.strip("`.") or "file", why=why) from None
    if not file.examples:
        raise TariffMalformed(where="example", why="a tariff needs at least one golden example")
    return TariffDocument(
        tariff=_tariff(file), examples=tuple(_example(example) for example in file.examples)
    )


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TariffMalformed(
            where=where, why=f'{value} is a binary fraction: write it as text, "{value}"'
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_floats(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{index}]")


def _tariff(file: _File) -> Tariff:
    effective_from = _utc(file.effective_from, where="effective_from")
    try:
        zone = ZoneInfo(file.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TariffMalformed(where="time_zone", why=f"{file.time_zone!r} is unknown") from None
    return Tariff(
        code=file.code,
        version=file.version,
        currency=file.currency,
        time_zone=zone,
        effective_from=effective_from,
        classes=tuple(_class(each) for each in file.classes),
        charges=tuple(_charge(line, effective_from) for line in file.lines),
        taxes=file.taxes,
        rounding=Rounding(
            account=file.rounding.account,
            line_step_minor=_minor(file.rounding.line_step, where="rounding.line_step"),
            cash_step_minor=_minor(file.rounding.cash_step, where="rounding.cash_step"),
        ),
        tender_minimum_minor=_minor(file.tender.minimum, where="tender.minimum"),
        tender_maximum_minor=_minor(file.tender.maximum, where="tender.maximum"),
        debt_account=file.debts.account,
        debt_accounts=file.debts.accounts,
    )


def _class(table: _Class) -> CustomerClass:
    return CustomerClass(
        code=table.code,
        bands=tuple(_band(band) for band in table.band),
        average_months=table.average_months,
        without_history=table.without_history,
    )


def _band(table: _Band) -> Band:
    where = f"band {table.code!r}"
    if (table.rate is None) == (not table.block):
        raise TariffMalformed(where=where, why="a band has either a rate or blocks")
    blocks = table.block if table.rate is None else [_Block(rate=table.rate)]
    return Band(
        code=table.code,
        up_to_wh=_limit_wh(table.up_to_kwh, where=where),
        blocks=tuple(
            Block(
                up_to_wh=_limit_wh(block.up_to_kwh, where=where),
                minor_per_kwh=_exact(block.rate, where=where) * MINOR_PER_UNIT,
            )
            for block in blocks
        ),
    )


def _charge(table: _Line, effective_from: datetime) -> Charge:
    where = f"line {table.code!r}"
    if table.rate and (table.value is not None or table.taxable is not None):
        raise TariffMalformed(where=where, why="value and taxable belong in its [[line.rate]]")
    rates = table.rate or [_Rate(value=table.value, taxable=bool(table.taxable))]
    return Charge(
        code=table.code,
        account=table.account,
        kind=table.kind,
        of=tuple(table.of),
        accumulates=table.accumulates,
        since=table.since,
        rates=tuple(_rate(rate, table.kind, effective_from, where) for rate in rates),
    )


def _rate(table: _Rate, kind: ChargeKind, effective_from: datetime, where: str) -> Rate:
    if (kind is ChargeKind.ENERGY) == (table.value is not None):
        raise TariffMalformed(
            where=where, why="a rate has a value, except the energy line's: those are in the bands"
        )
    value = Fraction(0) if table.value is None else _exact(table.value, where=where)
    if kind in {ChargeKind.PERCENT, ChargeKind.TAX}:
        value /= 100
    else:
        value *= MINOR_PER_UNIT
    starts = effective_from if table.starts is None else _utc(table.starts, where=where)
    return Rate(starts=starts, value=value, taxable=table.taxable)


def _example(table: _Example) -> Example:
    where = f"example {table.name!r}"
    history = tuple(_wh(months, where=where) for months in table.usage.history_kwh)
    return Example(
        name=table.name,
        at=_utc(table.at, where=where),
        solve=table.solve,
        tender_minor=_minor(table.tender, where=where),
        energy_wh=_wh(table.energy_kwh, where=where),
        category=table.category,
        band=table.band,
        usage=Usage(
            month=table.usage.month,
            energy_wh=_wh(table.usage.energy_kwh, where=where),
            history_wh=(history[0], history[1], history[2]),
            fees_paid_through=table.usage.fees_paid_through,
        ),
        exact_kwh=table.exact_kwh,
        lines={code: _minor(amount, where=where) for code, amount in table.lines.items()},
    )


def _utc(instant: datetime, *, where: str) -> datetime:
    if not YEAR_MIN <= instant.year <= YEAR_MAX:
        raise TariffMalformed(where=where, why=f"the year {instant.year} is mistyped")
    return instant.astimezone(UTC)


def _exact(number: Decimal, *, where: str) -> Fraction:
    text = str(number)
    if isinstance(number, bool) or not _DECIMAL.fullmatch(text):
        raise TariffMalformed(where=where, why=f"{text!r} is not a number like 12.23")
    return Fraction(text)


def _whole(number: Decimal, per: int, *, where: str) -> int:
    exact = _exact(number, where=where) * per
    if exact.denominator != 1:
        raise TariffMalformed(where=where, why=f"{number!s} is finer than can be booked")
    return exact.numerator


def _minor(number: Decimal, *, where: str) -> int:
    return _whole(number, MINOR_PER_UNIT, where=where)


def _wh(number: Decimal, *, where: str) -> int:
    return _whole(number, WH_PER_KWH, where=where)


def _limit_wh(number: Decimal | None, *, where: str) -> int | None:
    return None if number is None else _wh(number, where=where)
