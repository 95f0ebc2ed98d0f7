"""What a meter has bought month by month, moved on lazily: no job runs when a month begins."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from vending.quantities import month_of, months_between
from vending.tariffs.charge import HISTORY_MONTHS

Months = tuple[int, int, int]
"""The energy of three months in Wh, newest first."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter has bought: its state row, as pricing sees it.

    `month` is the yyyymm that `energy_wh` was bought in, 0 when nothing ever was; `history_wh` is
    the energy of the three months before it, newest first. `fees_paid_through` is the last month
    whose monthly charges are paid, 0 when none is known to be.
    """

    month: int = 0
    energy_wh: int = 0
    history_wh: tuple[int, int, int] = (0, 0, 0)
    fees_paid_through: int = 0


_INSIDE: dict[ZoneInfo, tuple[datetime, datetime, int]] = {}
"""From when until when it is surely the month that a zone was last asked for."""


def month_at(at: datetime, zone: ZoneInfo) -> int:
    """Return the month of an instant as `month_of` does, at a fifth of its cost.

    No zone is a day away from UTC: from the 2nd to the 27th there, a month is the same everywhere.
    """
    inside = _INSIDE.get(zone)
    if inside is not None and inside[0] <= at < inside[1]:
        return inside[2]
    month = month_of(at, zone)
    year, of_year = divmod(month, 100)
    begins = datetime(year, of_year, 2, tzinfo=UTC)
    _INSIDE[zone] = begins, datetime(year, of_year, 28, tzinfo=UTC), month
    return month


def as_of(usage: Usage, month: int) -> tuple[int, tuple[int, ...]]:
    """Return the energy bought in a month so far, and in the known months before it.

    Months after the state's own shift its history, and those without a purchase are zero. For a
    month before the state's own, what has dropped out of the history is not made up: only the
    months still known are returned, at the least the oldest one.
    """
    if month == usage.month:
        return usage.energy_wh, usage.history_wh
    if month > usage.month:
        return 0, _shifted(usage, month)
    back = months_between(month, usage.month)
    if back <= HISTORY_MONTHS:
        return usage.history_wh[back - 1], usage.history_wh[back:] or usage.history_wh[-1:]
    return 0, usage.history_wh[-1:]


def after(usage: Usage, *, month: int, energy_wh: int) -> Usage:
    """Return a meter's usage after a purchase that counts in `month`, whose fees it paid.

    Energy bought in a month that the state has left goes into its history, and nowhere when it
    is older than that.
    """
    fees_paid_through = max(usage.fees_paid_through, month)
    if month >= usage.month:
        before_wh = usage.history_wh
        if month > usage.month:
            before_wh = _shifted(usage, month)
        else:
            energy_wh += usage.energy_wh
        return Usage(
            month=month,
            energy_wh=energy_wh,
            history_wh=before_wh,
            fees_paid_through=fees_paid_through,
        )
    back = months_between(month, usage.month)
    newest, middle, oldest = (
        wh + energy_wh * (back == ago) for ago, wh in enumerate(usage.history_wh, start=1)
    )
    return Usage(
        month=usage.month,
        energy_wh=usage.energy_wh,
        history_wh=(newest, middle, oldest),
        fees_paid_through=fees_paid_through,
    )


def _shifted(usage: Usage, month: int) -> Months:
    """Return the history as a later month sees it: gaps are months without a purchase."""
    if usage.month == 0:
        return 0, 0, 0
    newest, middle, _ = usage.history_wh
    match months_between(usage.month, month):
        case 1:
            return usage.energy_wh, newest, middle
        case 2:
            return 0, usage.energy_wh, newest
        case 3:
            return 0, 0, usage.energy_wh
        case _:
            return 0, 0, 0
