"""Quotas that several processes count together."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from vending.api.v1.quotas import BURST_SECONDS, QuotaExceeded, Quotas, Shared
from vending.config import Vendors

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass(slots=True)
class Front:
    """A process that lets vendors in, at a time that the test sets."""

    settings: Vendors
    at: float = 0.0
    now: datetime = NOW
    shared: Shared = field(default_factory=Shared)
    quotas: Quotas = field(init=False)

    def __post_init__(self) -> None:
        self.quotas = Quotas(
            self.settings, chance=random.Random(1), clock=lambda: self.now,
            seconds=lambda: self.at, shared=self.shared,
        )  # fmt: skip

    def lets_in(self, times: int) -> int:
        """Return how many of so many requests are let in."""
        let_in = 0
        for _ in range(times):
            try:
                self.quotas.take("acme", now=self.now)
            except QuotaExceeded:
                continue
            let_in += 1
        return let_in

    def told(self) -> str:
        return dict(self.quotas.headers("acme", now=NOW))["RateLimit"]


def exchanged(*fronts: Front) -> None:
    for front in fronts:
        counts = front.shared.untold()
        for other in fronts:
            if other is not front:
                other.shared.hear(counts)


def two(*, burst_quota: int, day_quota: int) -> tuple[Front, Front]:
    settings = Vendors(burst_quota=burst_quota, day_quota=day_quota)
    return Front(settings), Front(settings)


def test_what_one_lets_in_is_used_up_at_the_other() -> None:
    one, other = two(burst_quota=10, day_quota=100)
    assert one.lets_in(7) == 7
    exchanged(one, other)
    assert '"burst";r=3' in other.told()
    assert '"day";r=93' in other.told()
    assert other.lets_in(10) == 3
    exchanged(one, other)
    assert one.lets_in(10) == 0


def test_what_both_let_in_before_they_heard_is_owed() -> None:
    one, other = two(burst_quota=10, day_quota=100)
    assert one.lets_in(20) + other.lets_in(20) == 20
    exchanged(one, other)
    assert '"burst";r=0;t=20' in one.told()
    one.at = other.at = float(BURST_SECONDS)
    assert one.lets_in(20) + other.lets_in(20) == 0
    one.at = other.at = 2.0 * BURST_SECONDS
    assert one.lets_in(20) == 10


def test_a_vendor_that_never_stops_asking_gets_its_quota_and_no_more() -> None:
    one, other = two(burst_quota=10, day_quota=10_000)
    let_in = 0
    for tenth in range(10 * 10 * BURST_SECONDS):
        one.at = other.at = tenth / 10
        let_in += one.lets_in(5) + other.lets_in(5)
        exchanged(one, other)
    assert 10 * 10 <= let_in <= 10 * 10 + 2 * 10


def test_a_day_is_shared_too() -> None:
    one, other = two(burst_quota=10, day_quota=8)
    assert one.lets_in(6) == 6
    exchanged(one, other)
    assert other.lets_in(6) == 2
    with pytest.raises(QuotaExceeded, match="day"):
        other.quotas.take("acme", now=NOW)
    assert other.told() == f'"burst";r=2;t=8, "day";r=0;t={16 * 3600}'
    other.quotas.take("acme", now=NOW + timedelta(days=1))


def test_what_others_let_in_long_ago_is_not_owed_any_more() -> None:
    one, other = two(burst_quota=10, day_quota=1_000)
    for _ in range(20):
        assert one.lets_in(10) == 10
        exchanged(one, other)
        one.at += BURST_SECONDS
        other.at += BURST_SECONDS
    assert other.lets_in(10) == 10


def test_what_others_let_in_yesterday_is_no_part_of_today() -> None:
    one, other = two(burst_quota=10, day_quota=10)
    assert one.lets_in(10) == 10
    exchanged(one, other)
    other.at += 86_400
    other.now += timedelta(days=1)
    assert other.lets_in(10) == 10


def test_what_was_told_is_told_once_and_of_each_vendor() -> None:
    front = Front(Vendors())
    front.quotas.take("acme", now=NOW)
    front.quotas.take("bolt", now=NOW)
    assert front.shared.untold() == {"acme": 1, "bolt": 1}
    assert front.shared.untold() == {}
    front.shared.hear({"bolt": 5})
    assert front.shared.untold() == {}
