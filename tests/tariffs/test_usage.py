"""A meter's months move on by themselves, and a late payment finds its own month."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.quantities import month_of
from vending.tariffs.usage import Usage, after, as_of, month_at

NOVEMBER = Usage(
    month=202611, energy_wh=11_000, history_wh=(10_000, 9_000, 8_000), fees_paid_through=202611
)


@pytest.mark.parametrize(
    ("month", "bought_wh", "before_wh"),
    [
        (202611, 11_000, (10_000, 9_000, 8_000)),
        (202612, 0, (11_000, 10_000, 9_000)),
        (202701, 0, (0, 11_000, 10_000)),
        (202702, 0, (0, 0, 11_000)),
        (202703, 0, (0, 0, 0)),
        (203003, 0, (0, 0, 0)),
        (202610, 10_000, (9_000, 8_000)),
        (202609, 9_000, (8_000,)),
        (202608, 8_000, (8_000,)),
        (202607, 0, (8_000,)),
        (202511, 0, (8_000,)),
    ],
)
def test_a_state_is_seen_from_any_month(
    month: int, bought_wh: int, before_wh: tuple[int, ...]
) -> None:
    assert as_of(NOVEMBER, month) == (bought_wh, before_wh)


def test_a_meter_that_never_bought_has_no_history() -> None:
    assert as_of(Usage(), 202611) == (0, (0, 0, 0))


@pytest.mark.parametrize(
    ("month", "energy_wh", "history_wh"),
    [
        (202611, 11_500, (10_000, 9_000, 8_000)),
        (202612, 500, (11_000, 10_000, 9_000)),
        (202610, 11_000, (10_500, 9_000, 8_000)),
        (202609, 11_000, (10_000, 9_500, 8_000)),
        (202608, 11_000, (10_000, 9_000, 8_500)),
        (202607, 11_000, (10_000, 9_000, 8_000)),
    ],
)
def test_a_purchase_counts_in_its_own_month(
    month: int, energy_wh: int, history_wh: tuple[int, int, int]
) -> None:
    used = after(NOVEMBER, month=month, energy_wh=500)

    assert used.month == max(month, 202611)
    assert (used.energy_wh, used.history_wh) == (energy_wh, history_wh)
    assert used.fees_paid_through == max(month, 202611)


@given(
    purchases=st.lists(
        st.tuples(st.sampled_from([202611, 202612, 202701]), st.integers(1, 900)), min_size=1
    )
)
def test_the_order_in_which_payments_are_priced_leaves_the_same_months(
    purchases: list[tuple[int, int]],
) -> None:
    def through(order: list[tuple[int, int]]) -> Usage:
        usage = NOVEMBER
        for month, energy_wh in order:
            usage = after(usage, month=month, energy_wh=energy_wh)
        return usage

    assert through(purchases) == through(sorted(purchases))


ZONES = ("UTC", "Africa/Nairobi", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Casablanca")


@given(
    hours=st.lists(st.integers(min_value=0, max_value=24 * 90), min_size=2),
    zone=st.sampled_from(ZONES),
)
def test_the_month_of_an_instant_is_that_of_its_zone_whatever_was_asked_before(
    hours: list[int], zone: str
) -> None:
    there = ZoneInfo(zone)
    instants = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in hours]
    assert [month_at(at, there) for at in instants] == [month_of(at, there) for at in instants]
