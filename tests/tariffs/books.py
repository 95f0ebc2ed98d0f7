"""The tariff files that the tests price by: those shipped, and those of the tests alone."""

from functools import cache
from pathlib import Path

from vending.tariffs import catalogue
from vending.tariffs.document import parse
from vending.tariffs.tariff import Tariff

OWN = Path(__file__).parent / "schedules"

TEXTS = catalogue.shipped() | {
    path.stem: path.read_text(encoding="utf-8") for path in sorted(OWN.glob("*.toml"))
}


@cache
def book(name: str) -> Tariff:
    return parse(TEXTS[name]).tariff
