"""Lanes: who is served when, how a backlog yields to live payments, and when it will be gone."""

import math
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import a_payment
from tests.conftest import SettableClock
from vending import lanes, metrics
from vending.claims import Claim
from vending.lanes import SIDELINED_SHARE, Drain, Lanes, Speed

BATCH = 100
GUARANTEED = int(BATCH * SIDELINED_SHARE)


def claims(count: int, clock: SettableClock, *, ago: timedelta = timedelta(0)) -> list[Claim]:
    return [
        Claim(payment=one, reference=one.notice.account_reference)
        for one in (a_payment(received_at=clock() - ago) for _ in range(count))
    ]


def numbers(some: list[Claim]) -> list[int]:
    return [one.payment.payment_id for one in some]


def test_live_payments_are_served_in_the_order_of_arrival(clock: SettableClock) -> None:
    waiting = claims(250, clock)
    held = Lanes(batch_max=BATCH)
    held.arrive(waiting, now=clock())
    assert [len(held), held.fresh, held.sidelined] == [250, 250, 0]
    taken = [*held.take(at=0.0), *held.take(at=0.0), *held.take(at=0.0)]
    assert numbers(taken) == numbers(waiting)
    assert len(held) == 250  # what is in hand still waits for its outcome
    for one in taken:
        held.settled(one)
    assert len(held) == 0
    assert held.oldest is None


def test_a_payment_that_is_old_when_it_arrives_is_sidelined(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.arrive(claims(3, clock, ago=timedelta(hours=15)), now=clock())
    held.arrive(claims(2, clock, ago=timedelta(seconds=59)), now=clock())
    assert [held.fresh, held.sidelined] == [2, 3]
    assert held.oldest == clock() - timedelta(hours=15)


def test_memory_is_bounded_and_what_is_left_out_waits_elsewhere(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.arrive(claims(lanes.FRESH_MAX + 5, clock), now=clock())
    held.arrive(claims(lanes.SIDELINED_MAX + 5, clock, ago=timedelta(hours=1)), now=clock())
    assert [held.fresh, held.sidelined] == [lanes.FRESH_MAX, lanes.SIDELINED_MAX]
    assert held.full
    assert held.room() == 0


def test_the_backlog_has_its_share_however_many_live_payments_wait(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.sideline(claims(1_000, clock))
    held.arrive(claims(1_000, clock), now=clock())
    for _ in range(3):
        assert sum(one.doubtful for one in held.take(at=0.0)) == GUARANTEED


def test_a_backlog_is_drained_a_little_at_a_time_beside_few_live_payments(
    clock: SettableClock,
) -> None:
    held = Lanes(batch_max=500)
    held.sideline(claims(1_000, clock))
    held.arrive(claims(5, clock), now=clock())
    taken = held.take(at=0.0)
    assert numbers(taken[:5]) == numbers([one for one in taken if not one.doubtful])
    assert len(taken) == 5 + lanes.DRAIN_LEAST


def test_a_smaller_batch_keeps_the_same_share_for_the_backlog(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.sideline(claims(1_000, clock))
    held.arrive(claims(1_000, clock), now=clock())
    taken = held.take(at=0.0, most=BATCH // 2)
    assert [len(taken), sum(one.doubtful for one in taken)] == [BATCH // 2, GUARANTEED // 2]
    assert len(held.take(at=0.0, most=BATCH * 9)) == BATCH


def test_what_was_taken_and_not_settled_comes_first_and_in_doubt(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    waiting = claims(5, clock)
    held.arrive(waiting, now=clock())
    taken = held.take(at=0.0)
    held.settled(taken[1])
    held.sideline(claims(3, clock))
    held.put_back()
    again = held.take(at=0.0)
    assert numbers(again)[:4] == numbers([waiting[0], *waiting[2:]])
    assert all(one.doubtful for one in again)


def test_a_payment_is_held_once(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    waiting = claims(2, clock)
    for _ in range(2):
        held.arrive(waiting, now=clock())
        held.sideline(waiting)
    taken = held.take(at=0.0)
    held.arrive(waiting, now=clock())
    held.bring_forward(waiting)
    assert len(taken) == len(held) == 2


def test_who_asks_for_a_waiting_payment_is_served_next(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    live, old = claims(500, clock), claims(500, clock)
    held.arrive(live, now=clock())
    held.sideline(old)
    assert held.bump(live[300].payment.payment_id)
    assert held.bump(old[499].payment.payment_id)
    assert numbers(held.take(at=0.0))[:2] == numbers([old[499], live[300]])
    assert held.bump(live[0].payment.payment_id)  # in hand: nothing to do, and nothing to fetch
    assert held.wanted() == []


def test_who_asks_for_what_is_only_on_disk_has_it_fetched(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.arrive(claims(10, clock), now=clock())
    (far,) = claims(1, clock)
    assert not held.bump(far.payment.payment_id)
    assert held.wanted() == [far.payment.payment_id]
    assert held.wanted() == []
    held.bring_forward([far])
    first = held.take(at=0.0)[0]
    assert numbers([first]) == numbers([far])
    assert first.doubtful


def test_what_was_undecided_since_a_watch_began_is_in_no_doubt(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    held.arrive(claims(3, clock), now=clock())
    before, meanwhile, later = held.take(at=0.0)
    held.settled(before)
    settled = held.watch()
    held.settled(meanwhile)
    (left_behind,) = claims(1, clock)
    held.sideline([meanwhile, later, left_behind], settled=settled)
    held.settled(later)
    (taken,) = held.take(at=0.0)
    assert taken == left_behind
    assert not taken.doubtful


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(Lanes.unwatch, id="somebody else vended"),
        pytest.param(Lanes.put_back, id="a batch is in doubt"),
        pytest.param(Lanes.clear, id="the right to vend was lost"),
        pytest.param(Lanes.watch, id="another watch began"),
    ],
)
def test_a_watch_that_has_ended_takes_no_doubt_away(
    clock: SettableClock, ends: Callable[[Lanes], object]
) -> None:
    held = Lanes(batch_max=BATCH)
    settled = held.watch()
    ends(held)
    held.sideline(claims(1, clock), settled=settled)
    assert [one.doubtful for one in held.take(at=0.0)] == [True]


def test_a_watch_is_good_for_one_look(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    settled = held.watch()
    for _ in range(2):
        held.sideline(claims(1, clock), settled=settled)
    assert [one.doubtful for one in held.take(at=0.0)] == [False, True]


def test_the_backlog_is_told_from_live_payments_however_it_was_served(
    clock: SettableClock,
) -> None:
    held = Lanes(batch_max=BATCH)
    live, old, asked, fetched = claims(4, clock)
    held.arrive([live], now=clock())
    held.sideline([old, asked], settled=held.watch())
    held.bump(asked.payment.payment_id)
    held.bring_forward([fetched])
    held.take(at=0.0)
    held.put_back()
    late = {number: held.settled(one) for one in held.take(at=0.0) for number in numbers([one])}
    assert [late[number] for number in numbers([live, old, asked, fetched])] == [True] * 4
    held.arrive([live], now=clock())
    assert [held.settled(one) for one in held.take(at=0.0)] == [False]


def test_what_is_asked_for_is_bounded_too() -> None:
    held = Lanes(batch_max=BATCH)
    for number in range(lanes.WANTED_MAX + 10):
        held.bump(number)
    assert len(held.wanted()) == lanes.WANTED_MAX


def test_clearing_returns_everything_once(clock: SettableClock) -> None:
    held = Lanes(batch_max=2)
    waiting = claims(5, clock)
    held.arrive(waiting, now=clock())
    held.take(at=0.0)
    assert numbers(held.clear()) == numbers(waiting)
    assert len(held) == 0
    held.arrive(waiting, now=clock())
    assert len(held) == 5


def _seconds(drain: Drain, count: int, *, waits: list[float], drained: int) -> None:
    for _ in range(count):
        drain.note(waits, drained=drained, at=_seconds.now)  # type: ignore[attr-defined]
        _seconds.now += 1.0  # type: ignore[attr-defined]


_seconds.now = 0.0  # type: ignore[attr-defined]


def test_a_drain_yields_to_slow_live_payments_down_to_its_least_and_no_further() -> None:
    drain = Drain(least=GUARANTEED, most=BATCH)
    assert drain.most_now == GUARANTEED
    _seconds(drain, 9, waits=[], drained=500)
    assert drain.most_now == BATCH
    _seconds(drain, 3, waits=[0.5] * 50, drained=500)
    assert GUARANTEED < drain.most_now < BATCH
    _seconds(drain, 20, waits=[0.5] * 50, drained=500)
    assert drain.most_now == GUARANTEED


def test_a_drain_grows_again_when_live_payments_are_quick_or_gone() -> None:
    for waits in ([0.001] * 50, []):
        drain = Drain(least=GUARANTEED, most=BATCH)
        _seconds(drain, 20, waits=[0.5] * 50, drained=500)
        _seconds(drain, 40, waits=waits, drained=500)
        assert drain.most_now == BATCH


def test_a_backlog_that_can_be_no_smaller_a_part_goes_at_a_pace() -> None:
    drain = Drain(least=GUARANTEED, most=BATCH)
    quick, slow = [0.001] * 50, [0.5] * 50
    for second in range(20):
        drain.note(slow, drained=40_000, at=float(second))
    saved = int(lanes.PACE_LEAST * lanes.SAVED_SECONDS)
    for _ in range(saved // GUARANTEED):  # nothing was taken for long
        assert drain.part(20.0) == GUARANTEED
        drain.took(GUARANTEED)
    assert drain.part(20.0) == 0
    rest = drain.rest(20.0)
    assert rest == pytest.approx((GUARANTEED - saved % GUARANTEED) / lanes.PACE_LEAST)
    assert drain.part(20.0 + rest / 2) == 0
    assert drain.part(20.0 + rest * 1.01) == GUARANTEED
    for second in range(20, 40):
        drain.note(quick, drained=int(lanes.PACE_LEAST), at=float(second))
        drain.took(drain.part(float(second)))
    drain.note(quick, drained=1_000, at=41.0)  # by far not what the pace allows
    assert drain.rest(41.0) == 0.0
    assert drain.part(41.0) >= GUARANTEED


def test_a_pace_ends_when_nobody_else_is_there() -> None:
    drain = Drain(least=GUARANTEED, most=BATCH)
    for second in range(20):
        drain.note([0.5] * 50, drained=40_000, at=float(second))
    while taken := drain.part(20.0):
        drain.took(taken)
    assert drain.rest(20.0) > 0.0
    drain.note([], drained=40_000, at=21.0)
    assert drain.rest(21.0) == 0.0


def test_lanes_rest_only_while_nothing_but_the_backlog_waits(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    assert held.rest(0.0) == math.inf
    for second in range(20):
        held.drain.note([0.5] * 50, drained=40_000, at=float(second))
    held.sideline(claims(1_000, clock))
    assert len(held.take(at=20.0)) == lanes.DRAIN_LEAST
    while held.take(at=20.0):
        pass
    assert 0.0 < held.rest(20.0) < 1.0
    held.arrive(claims(10, clock), now=clock())
    assert held.rest(20.0) == 0.0
    assert len(held.take(at=20.0)) == 14  # ten, and their share of the backlog


def test_where_live_payments_are_slow_by_themselves_the_drain_is_not_to_blame() -> None:
    drain = Drain(least=GUARANTEED, most=BATCH)
    _seconds(drain, 20, waits=[0.3] * 50, drained=0)
    _seconds(drain, 40, waits=[0.4] * 50, drained=500)
    assert drain.most_now == BATCH
    _seconds(drain, 20, waits=[0.7] * 50, drained=500)
    assert drain.most_now == GUARANTEED


def test_the_eta_is_what_waits_over_what_is_drained_in_a_second() -> None:
    drain = Drain(least=GUARANTEED, most=BATCH)
    assert drain.eta(0) == 0.0
    assert drain.eta(10) == math.inf
    _seconds(drain, 10, waits=[], drained=500)
    assert 9 < drain.eta(5_000) < 11
    _seconds(drain, 2, waits=[], drained=0)
    assert drain.eta(5_000) == math.inf


def _told() -> tuple[float, float]:
    """Return how many wait and in how long they are gone, as it was published."""
    return metrics.backlog_payments._value.get(), metrics.backlog_eta_seconds._value.get()


def test_the_backlog_counts_what_lies_in_the_spool(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    _seconds(held.drain, 10, waits=[], drained=500)
    held.sideline(claims(100, clock))
    held.beyond, held.spooled = 400, 500
    held.publish()
    waits, eta = _told()
    assert waits == 1_000
    assert eta == held.drain.eta(1_000)


def test_the_end_of_a_backlog_that_cannot_be_counted_is_unknown(clock: SettableClock) -> None:
    held = Lanes(batch_max=BATCH)
    _seconds(held.drain, 10, waits=[], drained=500)
    held.sideline(claims(100, clock))
    held.beyond = None
    held.publish()
    assert _told() == (100, math.inf)


def test_the_end_of_the_backlog_is_unknown_while_the_database_is_away() -> None:
    held = Lanes(batch_max=BATCH)
    held.away = True
    held.publish()
    assert _told() == (0, math.inf)
    held.away = False
    held.publish()
    assert _told() == (0, 0.0)


def test_speed_follows_large_batches_and_is_not_misled_by_small_ones() -> None:
    speed = Speed()
    for _ in range(1_000):
        speed.note(1, seconds=0.003)
    assert speed.per_second == lanes.SPEED_AT_FIRST
    for _ in range(50):
        speed.note(500, seconds=0.05)
    assert round(speed.per_second) == 10_000
    for _ in range(50):
        speed.note(500, seconds=1.0)
    assert round(speed.per_second) == 500
