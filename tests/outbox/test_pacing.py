"""Waits keep their bounds, the rate holds in every second, an absent carrier is probed."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from vending.outbox.message import BUCKETS, Answer, bucket_of
from vending.outbox.pacing import Carrier, Pace, RateWindow, wait_after

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PACE = Pace(per_second_max=100, attempts_max=12)
SECOND = timedelta(seconds=1)


@given(st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_a_wait_is_within_its_bounds(attempt: int, chance: random.Random) -> None:
    wait = wait_after(attempt, pace=PACE, chance=chance)
    assert timedelta(seconds=7) <= wait <= timedelta(seconds=PACE.wait_seconds_max)


def test_twelve_tries_outlast_an_outage_of_two_hours() -> None:
    class Unlucky(random.Random):
        def randint(self, a: int, b: int) -> int:
            return a

    waits = (wait_after(attempt, pace=PACE, chance=Unlucky()) for attempt in range(1, 12))
    assert sum(waits, timedelta()) > timedelta(hours=2, minutes=30)


@given(st.lists(st.integers(0, 1500), max_size=60), st.integers(1, 40))
def test_no_second_holds_more_than_the_rate(gaps_ms: list[int], rate: int) -> None:
    window = RateWindow(rate)
    now = START
    left: list[datetime] = []
    for gap in gaps_ms:
        now += timedelta(milliseconds=gap)
        may = window.allowance(now)
        window.leave(now, may)
        left += [now] * may
        assert may == 0 or window.opens_in(now) > timedelta(0)
    for instant in left:
        assert sum(instant - SECOND < other <= instant for other in left) <= rate


def test_where_the_rate_holds_messages_they_leave_a_tenth_of_a_second_at_a_time() -> None:
    window = RateWindow(100)
    window.leave(START, 5)
    window.leave(START + SECOND / 4, 90)
    assert window.allowance(START + SECOND / 2) == 0
    assert window.opens_in(START + SECOND / 2) == SECOND / 2
    assert window.allowance(START + SECOND) == 10


def test_a_clock_set_back_does_not_stop_the_rate() -> None:
    window = RateWindow(2)
    window.leave(START, 2)
    assert window.allowance(START - timedelta(hours=1)) == 2


def test_probes_of_an_absent_carrier_become_rarer_and_stop_with_the_first_success() -> None:
    carrier = Carrier(failures_max=32, probe_seconds_max=30)
    now = START
    assert carrier.allowance(now, in_flight=5) is None
    assert carrier.heard(Answer.AWAY, now)
    gaps = []
    for _ in range(8):
        assert carrier.allowance(now, in_flight=0) == 0
        gap = carrier.probes_in(now)
        gaps.append(gap.total_seconds())
        now += gap
        assert carrier.allowance(now, in_flight=0) == 1
        assert carrier.allowance(now, in_flight=1) == 0
        assert not carrier.heard(Answer.RETRY, now)
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30]
    assert carrier.heard(Answer.REFUSED, now)
    assert not carrier.away
    assert not carrier.heard(Answer.ACCEPTED, now)


def test_answers_that_were_in_the_air_together_count_as_one_probe() -> None:
    carrier = Carrier(failures_max=32, probe_seconds_max=30)
    changes = [carrier.heard(Answer.AWAY, START) for _ in range(32)]
    assert changes == [True] + [False] * 31
    assert carrier.probes_in(START) == SECOND


def test_single_failures_among_successes_are_the_messages_own() -> None:
    carrier = Carrier(failures_max=3, probe_seconds_max=30)
    for answer in (Answer.RETRY, Answer.RETRY, Answer.ACCEPTED, Answer.RETRY, Answer.RETRY):
        assert not carrier.heard(answer, START)
    assert carrier.heard(Answer.RETRY, START)
    assert carrier.away


def test_numbers_of_a_quiet_day_spread_over_all_buckets() -> None:
    quiet = [(millisecond * 977) << 22 for millisecond in range(1600)]
    counts = [sum(bucket_of(number) == bucket for number in quiet) for bucket in range(BUCKETS)]
    assert min(counts) > 60
    burst = [(5 << 22) | number for number in range(1600)]
    counts = [sum(bucket_of(number) == bucket for number in burst) for bucket in range(BUCKETS)]
    assert min(counts) > 60
