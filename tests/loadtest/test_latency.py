"""Histograms of durations."""

import random

import pytest

from vending.loadtest import latency


@pytest.mark.parametrize("seconds", [2e-6, 0.000_8, 0.012, 1.0, 59.0])
def test_a_bucket_is_within_three_hundredths_of_what_is_in_it(seconds: float) -> None:
    upper = latency.upper_seconds(latency.bucket_of(seconds))
    assert seconds <= upper <= seconds * 1.03


def test_nothing_takes_less_than_the_first_bucket() -> None:
    assert latency.bucket_of(0.0) == latency.bucket_of(-1.0) == 0


def test_percentiles_are_those_of_the_sorted_values() -> None:
    chance = random.Random(5)
    values = sorted(chance.expovariate(100) for _ in range(5000))
    counts = latency.merged([{latency.bucket_of(value): 1} for value in values])
    for share in (0.5, 0.9, 0.99):
        found = latency.percentile(counts, share)
        assert found is not None
        assert found == pytest.approx(values[int(5000 * share) - 1], rel=0.04)
    assert latency.percentile(counts, 1.0) == pytest.approx(values[-1], rel=0.03)


def test_of_nothing_there_is_no_percentile() -> None:
    assert latency.percentile({}, 0.99) is None
