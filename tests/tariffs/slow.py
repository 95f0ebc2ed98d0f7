"""The pricing rules once more, in exact fractions and by search: slow, plain, and sharing nothing.

It reads the tariff's TOML by itself and knows nothing of slopes, scales or inverses: what an
energy costs is worked out line by line and kWh by kWh of each block, and the energy that money
buys is found by trying.
"""

import tomllib
from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

STEP_KWH = Fraction(1, 10)


def fraction(number: Any) -> Fraction:
    return Fraction(str(number))


class SlowTariff:
    """A tariff file, priced at one instant for one band."""

    def __init__(self, toml_text: str, *, band: str, at: datetime) -> None:
        self.file = tomllib.loads(toml_text)
        bands = [each for group in self.file["class"] for each in group["band"]]
        self.band = next(each for each in bands if each["code"] == band)
        self.month = int(at.astimezone(ZoneInfo(self.file["time_zone"])).strftime("%Y%m"))
        self.at = at
        self.mode = self.file.get("taxes", "added")

    def current(self, line: dict[str, Any]) -> dict[str, Any] | None:
        entries = line.get("rate", [line])
        begun = [e for e in entries if e.get("from", self.file["effective_from"]) <= self.at]
        return begun[-1] if begun else None

    def energy_units(self, kwh: Fraction, bought_kwh: Fraction) -> Fraction:
        """Return the energy charge in currency units, block by block."""
        total, lower = Fraction(0), Fraction(0)
        for block in self.band.get("block", [self.band]):
            upper = (
                fraction(block["up_to_kwh"])
                if block is not self.band and "up_to_kwh" in block
                else None
            )
            start = max(lower, bought_kwh)
            end = bought_kwh + kwh if upper is None else min(upper, bought_kwh + kwh)
            total += max(Fraction(0), end - start) * fraction(block["rate"])
            lower = upper or lower
        return total

    def fee_months(self, line: dict[str, Any], paid_through: int) -> int:
        if paid_through >= self.month:
            return 0
        if not line.get("accumulates") or paid_through == 0:
            return 1
        count, month = 0, paid_through
        while month < self.month:
            month = month + 1 if month % 100 < 12 else month + 89
            count += month >= line["since"]
        return count

    def charges(
        self, kwh: Fraction, *, bought_kwh: Fraction, paid_through: int
    ) -> dict[str, Fraction]:
        """Return each line in exact currency units, taxes added or split out."""
        lines = [(line, now) for line in self.file["line"] if (now := self.current(line))]
        sums: dict[str, Fraction] = {line["code"]: Fraction(0) for line in self.file["line"]}
        for line, now in lines:
            value = fraction(now.get("value", 0))
            match line["kind"]:
                case "energy":
                    sums[line["code"]] = self.energy_units(kwh, bought_kwh)
                case "per_kwh":
                    sums[line["code"]] = value * kwh
                case "percent":
                    sums[line["code"]] = value / 100 * sum(sums[of] for of in line["of"])
                case "monthly":
                    sums[line["code"]] = value * self.fee_months(line, paid_through)
                case "per_purchase":
                    sums[line["code"]] = value
                case _:  # taxes come last, on the sums
                    pass
        taxable = [line["code"] for line, now in lines if now.get("taxable")]
        taxes = {
            line["code"]: fraction(now["value"]) / 100
            for line, now in lines
            if line["kind"] == "tax"
        }
        if self.mode == "included":
            for code in taxable:
                sums[code] /= 1 + sum(taxes.values())
        base = sum(sums[code] for code in taxable)
        return sums | {code: share * base for code, share in taxes.items()}

    def total(self, kwh: Fraction, *, bought_kwh: Fraction, paid_through: int) -> Fraction:
        return sum(
            self.charges(kwh, bought_kwh=bought_kwh, paid_through=paid_through).values(),
            Fraction(0),
        )

    def steps(self, money: Fraction, *, bought_kwh: Fraction, paid_through: int) -> int:
        """Return the most tenths of a kWh that money buys, the last one even in part.

        Found by bisection. Where energy is free the most is the end of what is free.
        """

        def cost(tenths: int) -> Fraction:
            return self.total(tenths * STEP_KWH, bought_kwh=bought_kwh, paid_through=paid_through)

        few, many = 0, 20_000_000
        while few < many:
            middle = (few + many + 1) // 2
            few, many = (middle, many) if cost(middle) <= money else (few, middle - 1)
        return few if cost(few) == money else few + 1
