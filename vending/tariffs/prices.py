"""A band's charges at an instant, boiled down to whole numbers for the quote to add and divide.

Every charge is linear in the energy bought within a block, so the price of a block is one slope
for each line. All slopes and fixed sums of a `Prices` are over one common denominator, `scale`:
exact, and as quick as whole numbers are.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from itertools import chain
from math import lcm

import msgspec

from vending.tariffs.charge import Band, Charge, ChargeKind, Rate, TariffMalformed, TaxMode

WH_PER_KWH = 1000

ENDLESS_WH = 1 << 62
"""The upper edge of a last block: above any energy a meter could have bought."""


class MonthlyFee(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed monthly charge with its taxes: per line, and in all, scaled."""

    accumulates: bool
    since: int
    sums: tuple[int, ...]
    total: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a receipt: what it is for, the ledger account it is credited to, cents."""

    code: str
    account: str
    amount_minor: int


Sold = tuple[int, tuple[Line, ...], tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]
"""What a tender buys: watt-hours and the receipt's lines, rounding included.

And the lines twice more, as (code, cents) and as (account, cents), so that they are made once for
every sale of a sum.
"""


def sold_of(energy_wh: int, lines: Sequence[Line]) -> Sold:
    """Return what is sold with the lines of its receipt."""
    return (
        energy_wh,
        tuple(lines),
        tuple([(line.code, line.amount_minor) for line in lines]),
        tuple([(line.account, line.amount_minor) for line in lines]),
    )


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What a band costs while no rate changes; scaled numbers are cents times `scale`.

    `slopes[b][i]` is what one watt-hour of block `b` costs on line `i`, `totals[b]` on all lines.
    `tender_shares`, when there are any, are the taxes taken of the tender: pairs of a line's index
    and the scaled tax in one cent of the tender. `remembered` holds what round sums bought: most
    people pay the same few, and the prices do not change while this value lives.
    """

    scale: int
    codes: tuple[str, ...]
    accounts: tuple[str, ...]
    edges_wh: tuple[int, ...]
    totals: tuple[int, ...]
    slopes: tuple[tuple[int, ...], ...]
    purchase_sums: tuple[int, ...]
    purchase_total: int
    monthly: tuple[MonthlyFee, ...]
    tender_shares: tuple[tuple[int, int], ...]
    remembered: dict[tuple[int, tuple[int, ...], int], Sold] = msgspec.field(default_factory=dict)


def boil(
    band: Band, *, charges: Sequence[Charge], taxes: TaxMode, at: datetime, where: str
) -> Prices:
    """Return a band's prices while the rates in force at an instant last.

    Raises TariffMalformed, naming `where`, when the energy of a block would cost less than
    nothing, or that of the last block nothing: money could not be turned into energy.
    """
    rated = [(charge, rate) for charge in charges if (rate := charge.rate_at(at)) is not None]
    fees = [charge for charge, _ in rated if charge.kind is ChargeKind.MONTHLY]
    rows = _taxed(_rows(band, rated, fees), rated, taxes)
    rated = [pair for pair in rated if any(rows[pair[0].code])]
    blocks = len(band.blocks)
    shares = _tender_shares(rated) if taxes is TaxMode.OF_TENDER else {}
    cells = [*chain.from_iterable(rows.values()), *shares.values()]
    scale = lcm(*(cell.denominator for cell in cells))
    columns = [
        tuple(int(rows[charge.code][column] * scale) for charge, _ in rated)
        for column in range(blocks + 1 + len(fees))
    ]
    totals = tuple(sum(column) for column in columns[:blocks])
    if min(totals) < 0 or totals[-1] == 0:
        raise TariffMalformed(where=where, why="a block costs nothing or less")
    return Prices(
        scale=scale,
        codes=tuple(charge.code for charge, _ in rated),
        accounts=tuple(charge.account for charge, _ in rated),
        edges_wh=(*(block.up_to_wh or ENDLESS_WH for block in band.blocks[:-1]), ENDLESS_WH),
        totals=totals,
        slopes=tuple(columns[:blocks]),
        purchase_sums=columns[blocks],
        purchase_total=sum(columns[blocks]),
        monthly=tuple(
            MonthlyFee(accumulates=fee.accumulates, since=fee.since, sums=column, total=sum(column))
            for fee, column in zip(fees, columns[blocks + 1 :], strict=True)
        ),
        tender_shares=tuple(
            (index, int(shares[charge.code] * scale))
            for index, (charge, _) in enumerate(rated)
            if charge.code in shares
        ),
    )


def _tender_shares(rated: Sequence[tuple[Charge, Rate]]) -> dict[str, Fraction]:
    """Return the share of each tax in money that contains all of them: 18 % is 18/118."""
    taxes = {charge.code: rate.value for charge, rate in rated if charge.kind is ChargeKind.TAX}
    whole = 1 + sum(taxes.values(), Fraction(0))
    return {code: share / whole for code, share in taxes.items()}


def _rows(
    band: Band, rated: Sequence[tuple[Charge, Rate]], fees: Sequence[Charge]
) -> dict[str, list[Fraction]]:
    """Return what each line costs before tax: per Wh of each block, per purchase, per fee."""
    blocks = len(band.blocks)
    width = blocks + 1 + len(fees)
    rows: dict[str, list[Fraction]] = {}
    for charge, rate in rated:
        row = [Fraction(0)] * width
        match charge.kind:
            case ChargeKind.ENERGY:
                row[:blocks] = [block.minor_per_kwh / WH_PER_KWH for block in band.blocks]
            case ChargeKind.PER_KWH:
                row[:blocks] = [rate.value / WH_PER_KWH] * blocks
            case ChargeKind.PERCENT:
                of = [rows[code] for code in charge.of if code in rows]
                row = [rate.value * sum(cells, Fraction(0)) for cells in zip(*of, strict=True)]
            case ChargeKind.MONTHLY:
                row[blocks + 1 + fees.index(charge)] = rate.value
            case ChargeKind.PER_PURCHASE:
                row[blocks] = rate.value
            case ChargeKind.TAX:
                pass  # needs every other line first
        rows[charge.code] = row or [Fraction(0)] * width
    return rows


def _taxed(
    rows: dict[str, list[Fraction]], rated: Sequence[tuple[Charge, Rate]], taxes: TaxMode
) -> dict[str, list[Fraction]]:
    """Return the rows with the tax lines filled in, and net of tax where rates contain it."""
    tax_rates = {c.code: rate.value for c, rate in rated if c.kind is ChargeKind.TAX}
    taxable = [charge.code for charge, rate in rated if rate.taxable]
    net = dict(rows)
    if taxes is TaxMode.INCLUDED:
        whole = 1 + sum(tax_rates.values(), Fraction(0))
        net |= {code: [cell / whole for cell in rows[code]] for code in taxable}
    for code, share in tax_rates.items():
        base = [sum(cells, Fraction(0)) for cells in zip(*(net[c] for c in taxable), strict=True)]
        net[code] = [share * cell for cell in base] or rows[code]
    return net
