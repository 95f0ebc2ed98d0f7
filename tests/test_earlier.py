"""The read of a meter's last moments stays a look-up; what it finds is tested at the counter."""

from vending import earlier
from vending.postgres.pool import Connection


async def test_a_read_planned_while_nothing_was_sold_still_goes_by_meter_and_payment(
    db: Connection,
) -> None:
    await db.execute("set enable_seqscan = off")
    await db.execute("set plan_cache_mode = force_generic_plan")
    await db.execute(f"prepare past as {earlier.READ}")
    plan = await db.fetch("explain execute past ('{}', '{}', '{}', now())")
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using outcome_token" in text, text
    assert "Index Scan using payment_pkey" in text, text
    assert "payment_vendor" not in text
