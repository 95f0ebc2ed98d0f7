"""A vending office for tests: the association's test key, the shipped tariffs, demo words."""

from datetime import timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import sts_core

from tests.builders import SGC, VENDING_KEY
from tests.conftest import SettableClock
from vending.ledger.accounts import Chart
from vending.notices import Wording
from vending.numbering import Numbers
from vending.office import Office
from vending.tariffs.catalogue import Catalogue
from vending.tariffs.document import parse
from vending.tokens.issuer import CoreIssuer, Issuer


@cache
def shipped_tariffs() -> Catalogue:
    """Return the catalogue of every schedule that ships with the server."""
    folder = resources.files("vending.tariffs") / "schedules"
    files = sorted(path.name for path in folder.iterdir() if path.name.endswith(".toml"))
    return Catalogue(parse((folder / name).read_text(encoding="utf-8")).tariff for name in files)


def a_ring() -> sts_core.KeyRing:
    """Return a ring with the test key of the test supply group."""
    ring = sts_core.KeyRing()
    key = bytearray.fromhex(VENDING_KEY)
    ring.load(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255, key=key)
    return ring


def an_office(clock: SettableClock, *, issuer: Issuer | None = None) -> Office:
    """Return an office whose clocks are believed five minutes ahead and thirty days behind."""
    return Office(
        issuer=issuer or CoreIssuer(a_ring()),
        catalogue=shipped_tariffs(),
        chart=Chart(),
        numbers=Numbers(clock, node=2),
        wording=Wording(
            utility_name="Demo Power",
            currency_symbol="KSh",
            help_line="97771",
            time_zone=ZoneInfo("Africa/Nairobi"),
        ),
        paid_at_future=timedelta(minutes=5),
        paid_at_past=timedelta(days=30),
    )
