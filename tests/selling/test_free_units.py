"""What a look-up says is due for nothing: a month's free units, until they were given."""

from tests.builders import a_meter_number
from tests.selling.shop import Shop
from vending.tokens import special_rows
from vending.tokens.special import Reason, SpecialKind, SpecialToken


async def test_free_units_are_due_again_with_the_next_month_of_the_utility(shop: Shop) -> None:
    meter, clock = await shop.meter(), shop.clock
    await shop.market.yard.db.execute("update meter set free_month_wh = 50000")

    async def due() -> int | None:
        return (await shop.counter.look_up(meter)).free_wh

    # Others' units, and what two persons gave for another reason, use up nothing.
    await _given(shop, a_meter_number(77_777), SpecialKind.FREE_BASIC, "202611")
    await _given(shop, meter, SpecialKind.FREE_ISSUE, "once")
    await _given(shop, meter, SpecialKind.FREE_BASIC, None)
    assert await due() == 50_000
    await _given(shop, meter, SpecialKind.FREE_BASIC, "202611")
    assert await due() == 0
    assert (await shop.counter.look_up(meter)).why_not is None
    # Nairobi is three hours ahead: there the month ends at 21:00 UTC.
    clock.advance(days=8, hours=12, minutes=59)
    assert f"{clock():%Y-%m-%d %H:%M}" == "2026-11-30 20:59"
    assert await due() == 0
    clock.advance(minutes=1)
    assert await due() == 50_000


async def _given(shop: Shop, meter: str, kind: SpecialKind, entitlement: str | None) -> None:
    """Note a token for free units, as the vend does."""
    number = shop.numbers.next()
    token = SpecialToken(
        special_id=number, operator="vendor:acme", reference=str(number), kind=kind,
        meter_number=meter, tid_base=93, tid=number % 1_000_000, token="0" * 20, value=50_000,
        entitlement=entitlement, reason=Reason.ENTITLEMENT, asked_by="acme by till",
        approved_by=None, facts=b"", day=shop.clock().date(), nth=number % 1_000_000,
        day_energy_wh=50_000, day_tokens_max=1_000_000, day_energy_max_wh=50_000,
        decided_at=shop.clock(),
    )  # fmt: skip
    columns = special_rows.columns([token])
    await shop.market.yard.db.execute(special_rows.insert_special(1), *columns)
