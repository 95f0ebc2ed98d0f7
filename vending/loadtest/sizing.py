"""How large a vending system must be: the numbers, and the sums that lead to them."""

import math
from dataclasses import dataclass
from fractions import Fraction

DAYS_A_MONTH = 30
SECONDS_A_DAY = 86_400

PEAK_OVER_MEAN = 10
"""A month-end evening against the mean of all hours."""

EVENING_PERCENT = 20
"""How much more waits when the outage covers the evening."""

DISK_BYTES_A_VEND = 770
"""Rows and indexes, four ledger lines included: measured with ten million vends."""

WAL_BYTES_A_VEND = 1_450
"""In a steady stream, between checkpoints."""

WAL_BYTES_A_VEND_QUIET = 16_000
"""At a few vends a second every one logs whole pages again after a checkpoint."""

QUIET_VENDS_A_SECOND = 50
"""Below this, whole pages are what the log holds."""

REQUESTS_A_PURCHASE = 2
TEXTS_AN_HOUR = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number of a plan: what it is, how it was got, and the number in words."""

    what: str
    sum: str
    result: str


def plan(
    *,
    meters: int,
    purchases_a_month: Fraction,
    outage_hours: Fraction,
    vends_a_second: Fraction | None,
    speed_source: str = "",
) -> list[Line]:
    """Return the sizing of a utility; without a measured speed, the drain is left open.

    Rates are exact until they are written down, so the lines agree with each other.
    """
    a_day = meters * purchases_a_month / DAYS_A_MONTH
    mean = a_day / SECONDS_A_DAY
    peak = mean * PEAK_OVER_MEAN
    backlog = mean * outage_hours * 3600
    evening = backlog * (100 + EVENING_PERCENT) / 100
    hours = _number(outage_hours)
    lines = [
        Line(
            what="payments a day",
            sum=f"{meters:,} meters x {_number(purchases_a_month)} a month / {DAYS_A_MONTH} days",
            result=f"{_count(a_day)}",
        ),
        Line(what="mean", sum=f"{_count(a_day)} / {SECONDS_A_DAY:,} s", result=_rate(mean)),
        Line(
            what="peak",
            sum=f"{PEAK_OVER_MEAN} x the mean (a month's end, in the evening)",
            result=f"{_rate(peak)}, {_count(peak * REQUESTS_A_PURCHASE)} requests/s",
        ),
        Line(
            what="backlog",
            sum=f"{_rate(mean)} x {hours} h x 3,600 s",
            result=f"{_count(backlog)} payments",
        ),
        Line(
            what="backlog, evening",
            sum=f"{_count(backlog)} + {EVENING_PERCENT} % (the outage covers an evening)",
            result=f"{_count(evening)} payments",
        ),
    ]
    lines += [
        Line(
            what=f"to drain it in {name}",
            sum=f"{_count(evening)} / {seconds:,} s + {_rate(mean)} live",
            result=f"{_rate(evening / seconds + mean)} needed",
        )
        for name, seconds in (("15 minutes", 900), ("an hour", 3_600))
    ]
    lines.append(_drain(evening, mean, vends_a_second, speed_source))
    lines += _storage(a_day, mean, evening)
    return lines


def _drain(evening: Fraction, mean: Fraction, vends_a_second: Fraction | None, source: str) -> Line:
    if vends_a_second is None:
        return Line(
            what="drain time",
            sum="no speed was measured on this machine",
            result="run `make bench`, or give --measured-vends-per-second",
        )
    told = f"{_count(evening)} / ({_rate(vends_a_second)} - {_rate(mean)} live)"
    told += f"; {source}" if source else ""
    if vends_a_second <= mean:
        return Line(what="drain time", sum=told, result="never: it is slower than live traffic")
    return Line(what="drain time", sum=told, result=_duration(evening / (vends_a_second - mean)))


def _storage(a_day: Fraction, mean: Fraction, evening: Fraction) -> list[Line]:
    quiet = mean < QUIET_VENDS_A_SECOND
    wal = WAL_BYTES_A_VEND_QUIET if quiet else WAL_BYTES_A_VEND
    why = "whole pages at a quiet rate" if quiet else "a steady stream"
    return [
        Line(
            what="texts to drain",
            sum=f"{_count(evening)} receipts / {TEXTS_AN_HOUR:,} s: ask the carrier for this rate",
            result=f"{_count(evening / TEXTS_AN_HOUR)} texts/s for an hour",
        ),
        Line(
            what="disk a month",
            sum=f"{_count(a_day)} x {DAYS_A_MONTH} x {DISK_BYTES_A_VEND} bytes (rows, indexes)",
            result=_bytes(a_day * DAYS_A_MONTH * DISK_BYTES_A_VEND),
        ),
        Line(
            what="WAL a day",
            sum=f"{_count(a_day)} x {wal:,} bytes ({why})",
            result=_bytes(a_day * wal),
        ),
        Line(
            what="WAL of a drain",
            sum=f"{_count(evening)} x {WAL_BYTES_A_VEND:,} bytes",
            result=_bytes(evening * WAL_BYTES_A_VEND),
        ),
    ]


def _number(value: Fraction) -> str:
    return f"{float(value):g}"


def _count(value: Fraction) -> str:
    return f"{math.ceil(value):,}"


def _rate(value: Fraction) -> str:
    return f"{float(value):,.1f}/s" if value < 100 else f"{float(value):,.0f}/s"  # noqa: PLR2004


def _bytes(value: Fraction) -> str:
    size = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 -- a thousand of each make one of the next
            return f"{size:,.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _duration(seconds: Fraction) -> str:
    if seconds < 120:  # noqa: PLR2004 -- two minutes
        return f"{math.ceil(seconds)} s"
    if seconds < 7_200:  # noqa: PLR2004 -- two hours
        return f"{float(seconds) / 60:.0f} min"
    return f"{float(seconds) / 3600:.1f} h"
