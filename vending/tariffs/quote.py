"""Money into energy and back, exactly, without a clock or a database.

A purchase pays, in this order: monthly and per-purchase charges; debts; energy with all that
hangs on it. The rules, which a receipt's reader can follow with the tariff in hand:

- Energy is the exact solution, rounded up to the step a token carries, so nobody loses by it.
- Every line is computed from that energy and rounded by itself, halves up. What then is missing
  to the tender, or is over, is the line "rounding"; so the lines always sum to the tender.
- Debts are taken by priority and then by age (`debt_id`): a share of the tender rounded down, a
  fixed sum, or all; never more than the balance, and never so much that the purchase would not
  buy one step of energy. A meter that must not buy at all is blocked by its status, not here.
- A monthly charge is due with the first purchase of a calendar month in the tariff's time zone,
  once. One that accumulates is due for every month since the last one paid. A meter for which no
  payment is known (0) owes the current month only.
- Energy counts towards the month of payment. A payment that is priced after a later one of the
  next month is priced, and counted, in its own month, as far as the meter's state reaches back.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from operator import attrgetter
from typing import Literal

import msgspec

from vending.errors import Refused
from vending.quantities import TENTHS_MAX, WH_PER_TENTH, months_between, tenths_carried
from vending.tariffs.charge import DEBT, ROUNDING
from vending.tariffs.prices import Line, MonthlyFee, Prices, Sold, sold_of
from vending.tariffs.tariff import Tariff
from vending.tariffs.usage import Usage, after, as_of, month_at

__all__ = [
    "AmountTooLarge",
    "AmountTooSmall",
    "Debt",
    "Line",
    "Quote",
    "Usage",
    "cost",
    "minimum",
    "price",
    "worth",
]

PPM = 1_000_000

REMEMBERED_MAX = 4_096
"""Sums remembered for a band's prices: a few megabytes at most over all bands."""

ENERGY_MAX_WH = TENTHS_MAX * WH_PER_TENTH


class AmountTooSmall(Refused):
    """The money does not buy the smallest step of energy after what must be paid first.

    Pay at least `minimum_minor` in one payment.
    """

    code = "amount_too_small"

    def __init__(self, *, minimum_minor: int) -> None:
        self.minimum_minor = minimum_minor
        super().__init__(minimum_minor=minimum_minor)


class AmountTooLarge(Refused):
    """The money is more than one purchase may be.

    Pay at most `maximum_minor` in one payment.
    """

    code = "amount_too_large"

    def __init__(self, *, maximum_minor: int) -> None:
        self.maximum_minor = maximum_minor
        super().__init__(maximum_minor=maximum_minor)


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter owes, and how a purchase pays it off.

    Mode "percent" takes `rate_ppm` millionths of the tender, "fixed" takes `amount_minor`, "all"
    takes all it can; none takes more than `balance_minor`. Lowest priority number first.
    """

    debt_id: int
    kind: str
    priority: int
    mode: Literal["percent", "fixed", "all"]
    rate_ppm: int = 0
    amount_minor: int = 0
    balance_minor: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a tender buys: the lines sum to it to the cent (P5), and lines of zero are left out.

    `category` is the band that was charged. `usage_after` is what the meter's state becomes if
    the sale happens, `debts_taken` the pairs of debt and cents that it pays. `charged` and `booked`
    are the lines as the receipt and the ledger keep them: (code, cents) and (account, cents).
    """

    tender_minor: int
    lines: tuple[Line, ...]
    charged: tuple[tuple[str, int], ...]
    booked: tuple[tuple[str, int], ...]
    energy_wh: int
    category: str
    tariff: str
    version: str
    usage_after: Usage
    debts_taken: tuple[tuple[int, int], ...]


class _Footing(msgspec.Struct, frozen=True):
    """Where a purchase starts from: the band's prices, the month so far, the charges due."""

    prices: Prices
    band: str
    month: int
    bought_wh: int
    due: tuple[int, ...]
    due_total: int


def price(
    tender_minor: int,
    *,
    tariff: Tariff,
    category: str | None,
    usage: Usage,
    debts: Sequence[Debt] = (),
    at: datetime,
) -> Quote:
    """Return what a tender in cents buys at an instant: the energy of one token, and the lines.

    `category` is the customer class in the meter's record ("DC", "SC"), or a band that the meter
    is always charged at ("DC2"), or None for the tariff's first class.

    Raises AmountTooSmall, AmountTooLarge, CategoryUnknown, and TariffUnknown when the version is
    not in force yet.
    """
    footing = _footing(tariff, category, usage, at)
    if not debts:
        sold = _sold_before(tender_minor, tariff, footing)
        return _quoted(tender_minor, sold, tariff, footing, usage, ())
    money_minor, taken, debt_lines = _after_debts(tender_minor, tariff, footing, debts)
    sold = _sold(tender_minor, money_minor, debt_lines, tariff, footing)
    return _quoted(tender_minor, sold, tariff, footing, usage, taken)


def cost(
    energy_wh: int, *, tariff: Tariff, category: str | None, usage: Usage, at: datetime
) -> Quote:
    """Return the smallest tender that is worth an energy, debts aside, and its lines.

    A token carries multiples of 100 Wh; other energies are for checking bills. The tender is the
    exact cost, rounded up to the tariff's cash step. Tender limits do not apply. Raises
    CategoryUnknown, TariffUnknown, and ValueError for an energy that no token carries.
    """
    if not 0 < energy_wh <= ENERGY_MAX_WH:
        raise ValueError(energy_wh)
    footing = _footing(tariff, category, usage, at)
    step = tariff.rounding.cash_step_minor
    tender_minor = -(-_total(energy_wh, footing) // (footing.prices.scale * step)) * step
    lines = _lines(energy_wh, tender_minor, tariff, footing)
    _add_rounding(lines, tender_minor, tariff)
    return _quoted(tender_minor, sold_of(energy_wh, lines), tariff, footing, usage, ())


def worth(
    tender_minor: int,
    *,
    tariff: Tariff,
    category: str | None,
    usage: Usage,
    debts: Sequence[Debt] = (),
    at: datetime,
) -> Fraction:
    """Return the exact energy in Wh that a tender is worth, before it goes up to a token's step.

    Raises as `price` does.
    """
    footing = _footing(tariff, category, usage, at)
    money_minor, _, _ = _after_debts(tender_minor, tariff, footing, debts)
    start_wh, scaled, slope = _last_block(money_minor, footing)
    return start_wh + Fraction(scaled, slope)


def minimum(*, tariff: Tariff, category: str | None, usage: Usage, at: datetime) -> int:
    """Return the smallest tender in cents that `price` accepts: fees due and one step of energy.

    Debts do not raise it, because they never take a purchase's first step of energy. Raises
    CategoryUnknown and TariffUnknown.
    """
    return _minimum(tariff, _footing(tariff, category, usage, at))


def _footing(tariff: Tariff, category: str | None, usage: Usage, at: datetime) -> _Footing:
    month = month_at(at, tariff.time_zone)
    bought_wh, before_wh = as_of(usage, month)
    band = tariff.customer_class(category).band(before_wh).code
    prices = tariff.prices(band, at=at)
    due, due_total = prices.purchase_sums, prices.purchase_total
    for fee in prices.monthly:
        months = _months_due(fee, usage.fees_paid_through, month)
        if months:
            due = tuple(old + months * new for old, new in zip(due, fee.sums, strict=True))
            due_total += months * fee.total
    return _Footing(prices, band, month, bought_wh, due, due_total)


def _sold_before(tender_minor: int, tariff: Tariff, footing: _Footing) -> Sold:
    """Return what a tender without debts buys, from memory if the same was bought before."""
    remembered = footing.prices.remembered
    bought_wh = footing.bought_wh if len(footing.prices.edges_wh) > 1 else 0
    what = (tender_minor, footing.due, bought_wh)
    sold = remembered.get(what)
    if sold is None:
        money_minor, _, _ = _after_debts(tender_minor, tariff, footing, ())
        sold = _sold(tender_minor, money_minor, [], tariff, footing)
        if len(remembered) >= REMEMBERED_MAX:
            remembered.clear()
        remembered[what] = sold
    return sold


def _sold(
    tender_minor: int,
    money_minor: int,
    debt_lines: list[Line],
    tariff: Tariff,
    footing: _Footing,
) -> Sold:
    energy_wh = _whole_steps(money_minor, tariff, footing)
    lines = _lines(energy_wh, money_minor, tariff, footing) + debt_lines
    _add_rounding(lines, tender_minor, tariff)
    return sold_of(energy_wh, lines)


def _quoted(
    tender_minor: int,
    sold: Sold,
    tariff: Tariff,
    footing: _Footing,
    usage: Usage,
    taken: tuple[tuple[int, int], ...],
) -> Quote:
    energy_wh, lines, charged, booked = sold
    return Quote(
        tender_minor=tender_minor,
        lines=lines,
        charged=charged,
        booked=booked,
        energy_wh=energy_wh,
        category=footing.band,
        tariff=tariff.code,
        version=tariff.version,
        usage_after=after(usage, month=footing.month, energy_wh=energy_wh),
        debts_taken=taken,
    )


def _months_due(fee: MonthlyFee, paid_through: int, month: int) -> int:
    if paid_through >= month:
        return 0
    if not fee.accumulates or paid_through == 0:
        return 1
    return max(0, min(months_between(paid_through, month), months_between(fee.since, month) + 1))


def _after_debts(
    tender_minor: int, tariff: Tariff, footing: _Footing, debts: Sequence[Debt]
) -> tuple[int, tuple[tuple[int, int], ...], list[Line]]:
    """Return the money left after debts, and what each debt takes; refuse what is too little."""
    if tender_minor > tariff.tender_maximum_minor:
        raise AmountTooLarge(maximum_minor=tariff.tender_maximum_minor)
    if tender_minor < tariff.tender_minimum_minor:
        raise AmountTooSmall(minimum_minor=_minimum(tariff, footing))
    scale = footing.prices.scale
    first_step = _total(WH_PER_TENTH, footing)
    if tender_minor * scale < first_step:
        raise AmountTooSmall(minimum_minor=_minimum(tariff, footing))
    if not debts:
        return tender_minor, (), []
    room_minor = tender_minor - -(-first_step // scale)
    taken: list[tuple[int, int]] = []
    lines: list[Line] = []
    for debt in sorted(debts, key=attrgetter("priority", "debt_id")):
        sum_minor = max(0, min(_asked(debt, tender_minor), debt.balance_minor, room_minor))
        if sum_minor:
            room_minor -= sum_minor
            taken.append((debt.debt_id, sum_minor))
            account = tariff.debt_accounts.get(debt.kind, tariff.debt_account)
            lines.append(Line(code=DEBT + debt.kind, account=account, amount_minor=sum_minor))
    return tender_minor - sum(minor for _, minor in taken), tuple(taken), lines


def _asked(debt: Debt, tender_minor: int) -> int:
    match debt.mode:
        case "percent":
            return tender_minor * debt.rate_ppm // PPM
        case "fixed":
            return debt.amount_minor
        case "all":
            return debt.balance_minor


def _minimum(tariff: Tariff, footing: _Footing) -> int:
    first_step = -(-_total(WH_PER_TENTH, footing) // footing.prices.scale)
    return max(tariff.tender_minimum_minor, first_step)


def _total(energy_wh: int, footing: _Footing) -> int:
    """Return the exact cost of an energy with the charges due, scaled."""
    prices = footing.prices
    return footing.due_total + sum(
        part_wh * prices.totals[block] for block, part_wh in _parts(energy_wh, footing)
    )


def _parts(energy_wh: int, footing: _Footing) -> list[tuple[int, int]]:
    """Return how much of an energy falls into each block, given what the month has had so far."""
    edges_wh = footing.prices.edges_wh
    if len(edges_wh) == 1:
        return [(0, energy_wh)]
    parts = []
    at_wh = footing.bought_wh
    end_wh = at_wh + energy_wh
    for block, edge_wh in enumerate(edges_wh):
        if at_wh < edge_wh:
            upper_wh = min(edge_wh, end_wh)
            parts.append((block, upper_wh - at_wh))
            at_wh = upper_wh
            if at_wh == end_wh:
                break
    return parts


def _last_block(money_minor: int, footing: _Footing) -> tuple[int, int, int]:
    """Return the energy of the blocks that money buys whole, the scaled rest, and its slope."""
    prices = footing.prices
    left = money_minor * prices.scale - footing.due_total
    bought_wh = 0
    at_wh = footing.bought_wh
    for edge_wh, slope in zip(prices.edges_wh, prices.totals, strict=True):
        if at_wh < edge_wh:
            whole = (edge_wh - at_wh) * slope
            if left < whole or (left == whole and slope):
                return bought_wh, left, slope
            left -= whole
            bought_wh += edge_wh - at_wh
            at_wh = edge_wh
    raise AssertionError(money_minor)  # the last block has no end


def _whole_steps(money_minor: int, tariff: Tariff, footing: _Footing) -> int:
    """Return the energy that money buys, rounded up to what a token carries."""
    start_wh, left, slope = _last_block(money_minor, footing)
    tenths = -(-(start_wh * slope + left) // (slope * WH_PER_TENTH))
    if tenths > TENTHS_MAX:
        most_minor = _total(ENERGY_MAX_WH, footing) // footing.prices.scale
        raise AmountTooLarge(maximum_minor=min(most_minor, tariff.tender_maximum_minor))
    return tenths_carried(tenths) * WH_PER_TENTH


def _lines(energy_wh: int, money_minor: int, tariff: Tariff, footing: _Footing) -> list[Line]:
    """Return the charges for an energy, each rounded by itself; lines of zero are left out."""
    prices = footing.prices
    parts = _parts(energy_wh, footing)
    if len(parts) == 1:
        block, _ = parts[0]
        sums = [energy_wh * slope for slope in prices.slopes[block]]
    else:
        sums = [0] * len(prices.codes)
        for block, part_wh in parts:
            sums = [s + part_wh * k for s, k in zip(sums, prices.slopes[block], strict=True)]
    if footing.due_total:
        sums = [s + due for s, due in zip(sums, footing.due, strict=True)]
    for index, share in prices.tender_shares:
        sums[index] = money_minor * share
    step = tariff.rounding.line_step_minor
    half = step * prices.scale
    whole = 2 * half
    return [
        Line(code=code, account=account, amount_minor=amount)
        for code, account, scaled in zip(prices.codes, prices.accounts, sums, strict=True)
        if (amount := (2 * scaled + half) // whole * step)
    ]


def _add_rounding(lines: list[Line], tender_minor: int, tariff: Tariff) -> None:
    rest_minor = tender_minor - sum([line.amount_minor for line in lines])
    if rest_minor:
        account = tariff.rounding.account
        lines.append(Line(code=ROUNDING, account=account, amount_minor=rest_minor))
