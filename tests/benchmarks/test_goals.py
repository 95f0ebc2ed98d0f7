"""Figures are judged by their bounds, and a missing one says why."""

import pytest

from benchmarks import goals
from benchmarks.goals import GOALS, Result, judged, percentile, ratios


def a_result() -> Result:
    return Result(made_at="2026-11-22T08:00:00+00:00", command="python -m benchmarks")


def test_the_keys_that_releases_are_held_to_are_there() -> None:
    keys = [goal.key for goal in GOALS]
    assert len(keys) == len(set(keys))
    assert {
        *("vend_over_tpcb", "callback_over_tpcb", "cpu_vend_over_echo", "ack_over_echo"),
        *("surge_p99_ms", "overload_goodput", "drain_540k_s", "slow_disk", "growth"),
        *("import_rows_per_s", "kct_rows_per_s", "rss_mb"),
    } <= set(keys)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.key)
def test_an_aim_is_never_easier_than_its_bound(goal: goals.Goal) -> None:
    assert goal.aim <= goal.must if goal.at_most else goal.aim >= goal.must


def test_more_is_better_where_the_bound_is_a_floor() -> None:
    goal = goals.goal_of("vend_over_tpcb")
    assert (judged(goal, 1.4).must_met, judged(goal, 1.5).must_met) == (False, True)
    assert (judged(goal, 2.9).aim_met, judged(goal, 3.0).aim_met) == (False, True)


def test_less_is_better_where_the_bound_is_a_ceiling() -> None:
    goal = goals.goal_of("surge_p99_ms")
    assert (judged(goal, 50.1).must_met, judged(goal, 50).must_met) == (False, True)


def test_a_figure_is_the_median_of_its_rounds_whatever_one_of_them_says() -> None:
    result = a_result()
    result.set("growth", rounds=[1.1, 9.0, 1.2])
    assert result.figures["growth"].value == 1.2
    assert result.figures["growth"].rounds == [1.1, 9.0, 1.2]


def test_a_figure_that_is_missing_must_say_why_and_meets_nothing() -> None:
    with pytest.raises(ValueError, match="growth"):
        judged(goals.goal_of("growth"), None)
    figure = judged(goals.goal_of("growth"), None, reason="no history was laid in")
    assert not figure.must_met
    assert not figure.aim_met


def test_a_key_that_no_release_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        a_result().set("fastest_ever", 1.0)


def test_a_complete_result_has_every_key_in_order_and_nothing_made_up() -> None:
    result = a_result()
    result.set("slow_disk", 0.7)
    result.complete()
    assert list(result.figures) == [goal.key for goal in GOALS]
    assert [one.key for one in result.figures.values() if one.value is not None] == ["slow_disk"]
    assert all(one.reason for one in result.figures.values() if one.value is None)
    assert result.musts_met


def test_books_that_do_not_balance_spoil_a_result() -> None:
    result = a_result()
    result.books = [("vend: payments", True, ""), ("vend: ledger", False, "1 cent")]
    assert not result.sound


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([10.0, 30.0], [5.0])


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0
    with pytest.raises(IndexError):
        percentile([], 0.5)
