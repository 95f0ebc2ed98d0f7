"""Golden examples: what purchases under a tariff must come to, carried by the tariff's own file.

A schedule is copied from a gazette by hand. Its file therefore also carries worked purchases,
taken from somewhere else than the program, and is activated only when they all come out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Literal

from vending.errors import Refused, Rejected
from vending.tariffs.quote import cost, price, worth
from vending.tariffs.tariff import Tariff
from vending.tariffs.usage import Usage

WH_PER_KWH = 1000


class TariffExampleFails(Rejected):
    """A tariff does not give what one of its own examples says, and is not activated.

    Either the schedule or the example is mistyped: compare both with the gazette, mend the file
    and load it again.
    """

    code = "tariff_example_fails"

    def __init__(self, *, example: str, what: str, expected: object, got: object) -> None:
        super().__init__(example=example, what=what, expected=expected, got=got)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One purchase and what it comes to.

    With `solve` "energy" the tender is given and the rest is expected; with "tender" the energy
    is given. `exact_kwh`, if there, is what the tender is exactly worth, to the decimals written.
    `lines` are all the lines that are not zero, in cents.
    """

    name: str
    at: datetime
    solve: Literal["energy", "tender"]
    tender_minor: int
    energy_wh: int
    category: str | None
    band: str
    usage: Usage
    exact_kwh: str | None
    lines: dict[str, int]


def check(tariff: Tariff, examples: Sequence[Example]) -> None:
    """Work out every example; raises TariffExampleFails on the first that comes out otherwise."""
    for example in examples:
        try:
            _check(tariff, example)
        except Refused as refusal:
            raise TariffExampleFails(
                example=example.name, what="outcome", expected="a quote", got=str(refusal)
            ) from refusal


def _check(tariff: Tariff, example: Example) -> None:
    if example.solve == "energy":
        quote = price(
            example.tender_minor,
            tariff=tariff,
            category=example.category,
            usage=example.usage,
            at=example.at,
        )
    else:
        quote = cost(
            example.energy_wh,
            tariff=tariff,
            category=example.category,
            usage=example.usage,
            at=example.at,
        )
    got: dict[str, object] = {
        "band": quote.category,
        "tender": quote.tender_minor,
        "energy_wh": quote.energy_wh,
        "lines": {line.code: line.amount_minor for line in quote.lines},
    }
    expected: dict[str, object] = {
        "band": example.band,
        "tender": example.tender_minor,
        "energy_wh": example.energy_wh,
        "lines": example.lines,
    }
    if example.exact_kwh is not None:
        expected["exact_kwh"] = example.exact_kwh
        got["exact_kwh"] = _exact_kwh(tariff, example, example.exact_kwh)
    for what, value in expected.items():
        if got[what] != value:
            raise TariffExampleFails(example=example.name, what=what, expected=value, got=got[what])


def _exact_kwh(tariff: Tariff, example: Example, written: str) -> str:
    """Return what the tender is exactly worth, with as many decimals as the example has."""
    decimals = len(written.partition(".")[2])
    exact_wh = worth(
        example.tender_minor,
        tariff=tariff,
        category=example.category,
        usage=example.usage,
        at=example.at,
    )
    last_places = floor(exact_wh / WH_PER_KWH * 10**decimals + Fraction(1, 2))
    if not decimals:
        return str(last_places)
    return f"{last_places // 10**decimals}.{last_places % 10**decimals:0{decimals}d}"
