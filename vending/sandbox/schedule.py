"""The sandbox's tariffs: fixed for ever, so that the same sale always has the same lines."""

import functools
from typing import Final

from vending.tariffs.catalogue import Catalogue
from vending.tariffs.document import parse

TARIFF: Final = "SANDBOX"
TARIFF_OF_MINIMUM: Final = "SANDBOX-MINIMUM"
CATEGORY: Final = "HOME"

MINIMUM_MINOR: Final = 1_000
MINIMUM_MINOR_RAISED: Final = 100_000

_TEXT: Final = """
code = "{code}"
version = "1"
title = "The sandbox: one rate, a levy, and VAT on both"
currency = "KES"
time_zone = "Africa/Nairobi"
effective_from = 2000-01-01T00:00:00+03:00
taxes = "added"

[tender]
minimum = "{minimum}.00"
maximum = "50000.00"

[rounding]
account = "rounding"

[debts]
account = "debts"

[[class]]
code = "HOME"

[[class.band]]
code = "HOME"

[[class.band.block]]
rate = "20.00"

[[line]]
code = "energy"
kind = "energy"
account = "revenue:energy"
taxable = true

[[line]]
code = "levy"
kind = "percent"
of = ["energy"]
account = "levy:rural"
value = "5"

[[line]]
code = "vat"
kind = "tax"
account = "tax:vat"
value = "16"

[[example]]
name = "a hundred kilowatt-hours"
at = 2026-03-02T09:00:00+03:00
tender = "2420.00"
band = "HOME"
energy_kwh = "100.0"
exact_kwh = "100.0000"

[example.lines]
energy = "2000.00"
levy = "100.00"
vat = "320.00"
"""


@functools.cache
def catalogue() -> Catalogue:
    """Return the sandbox's tariffs."""
    return Catalogue(parse(text).tariff for text in texts())


def texts() -> list[str]:
    """Return the tariffs as files would say them."""
    return [
        _TEXT.format(code=code, minimum=minimum_minor // 100)
        for code, minimum_minor in (
            (TARIFF, MINIMUM_MINOR),
            (TARIFF_OF_MINIMUM, MINIMUM_MINOR_RAISED),
        )
    ]
