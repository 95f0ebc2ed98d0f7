"""Commission: rates by vendor, product, size and date, and what they come to on a sale."""

from datetime import timedelta

import pytest

from tests.conftest import SettableClock
from vending.ledger.entry import Posting
from vending.postgres.pool import Connection
from vending.vendors import commission
from vending.vendors.commission import (
    Band,
    CommissionBackdated,
    CommissionMalformed,
    CommissionRepeated,
    Rates,
)
from vending.vendors.vendor import PRODUCT, Vendor, VendorUnknown

FLAT = (Band(rate_ppm=15_000),)
BANDS = (Band(from_minor=100_000, rate_ppm=10_000), Band(rate_ppm=20_000, fixed_minor=5))


async def _add(app: Connection, clock: SettableClock, **facts: object) -> None:
    given = {"product": PRODUCT, "effective_from": clock(), "bands": FLAT} | facts
    await commission.add(app, "acme", who="Jane", now=clock(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tender", "earned"), [(1, 5), (50, 6), (99_999, 2_004), (100_000, 1_000), (100_099, 1_000)]
)
async def test_a_tender_earns_by_its_band_and_parts_of_a_cent_are_not_paid(
    app: Connection, acme: Vendor, clock: SettableClock, tender: int, earned: int
) -> None:
    await _add(app, clock, bands=BANDS)
    (table,) = await commission.read(app, [acme.vendor_id])
    assert table.earned(tender) == earned
    found = Rates([table]).postings("acme", PRODUCT, tender_minor=tender, at=clock())
    wanted: tuple[Posting, ...] = (
        ("commission:expense", earned), ("commission:payable:acme", -earned),
    )  # fmt: skip
    assert found == wanted


async def test_a_later_table_ends_the_one_before(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    begins = clock()
    await _add(app, clock, effective_from=begins, bands=BANDS)
    await _add(app, clock, effective_from=begins + timedelta(days=1))
    rates = Rates(await commission.read(app, [acme.vendor_id]))

    def earned(**after: float) -> int:
        at = begins + timedelta(**after)
        return sum(
            minor for account, minor in rates.postings("acme", PRODUCT, tender_minor=1000, at=at)
            if account == commission.EXPENSE
        )  # fmt: skip

    assert (earned(seconds=-1), earned(), earned(hours=23), earned(days=1)) == (0, 25, 25, 15)
    assert rates.postings("other", PRODUCT, tender_minor=1000, at=begins) == ()
    assert rates.postings("acme", "postpaid", tender_minor=1000, at=begins) == ()


async def test_rates_are_never_rewritten_nor_backdated(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    await _add(app, clock)
    with pytest.raises(CommissionRepeated):
        await _add(app, clock, bands=(Band(rate_ppm=1),))
    with pytest.raises(CommissionBackdated):
        await _add(app, clock, effective_from=clock() - timedelta(seconds=1))
    (table,) = await commission.read(app, [acme.vendor_id])
    assert table.bands == FLAT


@pytest.mark.parametrize(
    "bands",
    [
        (),
        (Band(from_minor=1, rate_ppm=1),),
        (Band(rate_ppm=1), Band(rate_ppm=2)),
        (Band(rate_ppm=-1),),
        (Band(rate_ppm=1_000_001),),
        (Band(rate_ppm=1, fixed_minor=-1),),
        (Band(rate_ppm=1), Band(from_minor=10**13 + 1, rate_ppm=1)),
        tuple(Band(from_minor=place, rate_ppm=1) for place in range(21)),
    ],
)
async def test_rates_that_are_no_table_are_refused(
    app: Connection, acme: Vendor, clock: SettableClock, bands: tuple[Band, ...]
) -> None:
    assert acme.vendor_id == "acme"
    with pytest.raises(CommissionMalformed):
        await _add(app, clock, bands=bands)


async def test_a_vendor_nobody_knows_earns_nothing(app: Connection, clock: SettableClock) -> None:
    with pytest.raises(VendorUnknown):
        await _add(app, clock)
