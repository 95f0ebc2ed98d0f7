"""A clock that is set back, and the one in front of it that only rises."""

from datetime import UTC, datetime, timedelta

from tests.conftest import SettableClock
from vending.clock import SET_BACK_MAX, RisingClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Pair:
    """A clock on the wall, a steady one, and the rising clock between them."""

    def __init__(self) -> None:
        self.wall = SettableClock(NOON)
        self.seconds = 0.0
        self.rising = RisingClock(self.wall, steady=lambda: self.seconds)

    def passes(self, **by: float) -> datetime:
        self.wall.advance(**by)
        self.seconds += timedelta(**by).total_seconds()
        return self.rising()


def test_it_shows_what_the_wall_shows() -> None:
    pair = Pair()
    assert pair.passes(seconds=5) == NOON + timedelta(seconds=5)
    pair.wall.advance(hours=1)  # set ahead
    assert pair.rising() == NOON + timedelta(hours=1, seconds=5)


def test_set_back_by_an_hour_it_runs_at_half_speed_until_the_wall_has_caught_up() -> None:
    pair = Pair()
    pair.wall.advance(hours=-1)
    assert pair.rising() == NOON
    assert pair.passes(minutes=30) == NOON + timedelta(minutes=15)
    for minute in range(1, 61):
        assert pair.passes(minutes=1) == NOON + timedelta(minutes=15 + minute / 2)
    assert pair.wall() == NOON + timedelta(minutes=30)
    for _ in range(40):
        pair.passes(minutes=1)
    assert pair.rising() == pair.wall() == NOON + timedelta(minutes=70)


def test_set_back_by_far_it_follows() -> None:
    pair = Pair()
    pair.wall.advance(seconds=-SET_BACK_MAX.total_seconds() - 1)
    assert pair.rising() == pair.wall()
