"""Curves of arrivals, and the people that come along them."""

import random

import pytest

from vending.loadtest.curve import Curve, arrivals, flat

HILL = Curve(((0, 0), (0.5, 100), (1, 0)))


def come(curve: Curve, seed: int, scale: float = 1.0) -> list[float]:
    return list(arrivals(curve, seconds=20, scale=scale, chance=random.Random(seed)))


def test_the_same_seed_brings_the_same_arrivals() -> None:
    assert come(HILL, 1) == come(HILL, 1)
    assert come(HILL, 1) != come(HILL, 2)


def test_arrivals_come_in_order_and_within_the_run() -> None:
    instants = come(HILL, 3)
    assert instants == sorted(instants)
    assert 0 < instants[0] < instants[-1] < 20


def test_as_many_come_as_lie_under_the_curve() -> None:
    assert HILL.mean == 50
    assert len(come(HILL, 4)) == pytest.approx(1000, rel=0.15)
    assert len(come(HILL, 4, scale=0.1)) == pytest.approx(100, rel=0.4)


def test_more_come_where_the_curve_is_high() -> None:
    instants = come(HILL, 5)
    middle = sum(5 <= at < 15 for at in instants)
    assert middle == pytest.approx(len(instants) * 0.75, rel=0.1)


def test_where_two_lines_meet_the_later_one_counts() -> None:
    step = Curve(((0, 10), (0.1, 10), (0.1, 350), (1, 0)))
    assert step.rate_at(0.05) == 10
    assert step.rate_at(0.1) == 350
    assert step.peak == 350


def test_nobody_comes_along_a_curve_of_nothing() -> None:
    assert come(flat(0), 1) == []


@pytest.mark.parametrize(
    "points",
    [
        ((0.1, 5), (1, 5)),
        ((0, 5), (0.9, 5)),
        ((0, 5), (0.6, 1), (0.5, 1), (1, 0)),
        ((0, -1), (1, 0)),
    ],
)
def test_what_is_no_curve_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="0"):
        Curve(points)
